"""A step on shapes against the same step on tensors, and full size against what a GPU's allocator said."""

import json
from pathlib import Path

import pytest
import torch
from toy import small_config, write_toy

from llava_corr.config import load_config
from llava_corr.datasets.collate import Collator
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.record_files import write_samples
from llava_corr.training.memory_log import StepMeter, compare
from llava_corr.training.memory_plan import MemoryPlanner, Zero
from llava_corr.training.model import build_model
from llava_corr.training.rehearsal import FEATURES, BatchShape, Rehearser

PARTS = ["training.lora={rank: 4, alpha: 8}", "training.trainable=[correspondence.attention, adaptation, "
         "grounding.sam.mask_decoder]"]  # fmt: skip
CASES = {
    "everything is trained": [],
    "eager attention": ["model.attention=eager"],
    "parts are trained": PARTS,
    "checkpointing": [*PARTS, "training.gradient_checkpointing=true"],
    "a picture at a time": [*PARTS, "model.max_images_per_tower_pass=1"],
    "focal loss": [*PARTS, "training.losses.mask_kind=focal"],
    "no masks": [*PARTS, "training.losses.mask=0", "training.losses.dice=0"],
    "patches are tokens": ["model.qformer=null", "model.correspondence=null", "model.adaptation=null"],
    "trained rows": ["training.lora={targets: [], token_rows: ['[SEG]', <p>]}",
                     "training.trainable=[seg_projection]"],
    "bfloat16": ["training.bf16=true"],
    "frozen weights in bfloat16": [*PARTS, "training.bf16=true", "model.frozen_dtype=bfloat16",
                                   "training.gradient_checkpointing=true"],
}  # fmt: skip


def one_step(config, samples, batch=None):
    """Planned and measured bytes of a real step of the real model."""
    parts, processor = build_model(config, samples)
    model = parts.model
    if config.training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    batch = batch or Collator(processor, grounding=config.training.losses.draw)(samples)
    batch.pop("sample_ids", None)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    meter = StepMeter()
    with meter.micro_step():
        meter.forward_begins(model, batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.training.bf16):
            output = model(**batch)
        meter.forward_is_done()
        output.loss.backward()
    meter.gradients_are_there(model)
    optimiser.step()
    meter.step_is_done(optimiser, model)
    return compare(config, model.config, meter, Zero(), 1)["bytes"], model, processor


@pytest.mark.parametrize("case", CASES)
def test_planned_is_measured(tmp_path, case):
    found, _, _ = one_step(small_config(tmp_path, *CASES[case]), write_toy(tmp_path, 4, images=(1, 2, 3, 2)))
    near = 0.03 if "bfloat16" in case else 0.005
    for name, of in found.items():
        exact = name in ("weights", "gradients", "optimiser")
        assert of["planned"] == pytest.approx(of["measured"], rel=0 if exact else near), (name, of)


def test_planned_is_measured_with_cached_features(tmp_path):
    samples = write_toy(tmp_path, 3)
    config = small_config(tmp_path, *PARTS)
    _, model, processor = one_step(config, samples)
    batch = Collator(processor)(samples)
    with torch.no_grad():
        seen = model.features(**{k: v for k, v in batch.items() if k in ("pixel_values", "grounding_pixels",
                                                                        "grounding_sizes")})  # fmt: skip
    rest = {k: v for k, v in batch.items() if k not in ("pixel_values", "semantic_pixels", "grounding_pixels")}
    found, _, _ = one_step(config, samples, rest | seen)
    for name, of in found.items():
        assert of["planned"] == pytest.approx(of["measured"], rel=0.01), (name, of)


def test_planned_is_measured_without_pictures(tmp_path):
    sample = write_toy(tmp_path, 1)[0]
    turn = sample.turns[0].model_copy(update={"user": "What is red?", "assistant": "A colour."})
    words = [sample.model_copy(update={"id": str(k), "images": (), "turns": (turn,), "targets": ()}) for k in (0, 1)]
    write_samples(tmp_path / "train.jsonl", words)
    found, _, _ = one_step(small_config(tmp_path), words)
    for name, of in found.items():
        assert of["planned"] == pytest.approx(of["measured"], rel=0.01), (name, of)


def full(name):
    config = load_config(name)
    rows = config.model.tokenizer.vocab_size
    return config, build_config(config.model, Vocabulary(rows, 1, 2, 0, rows, min(32004, rows - 1)))


def test_full_size_against_a_gpu():
    """The peak of the paper's model on an H100 (random weights), with its optimiser, without DeepSpeed."""
    measured = json.loads((Path(__file__).parents[2] / "perf/gpu/results/full-size-steps.json").read_text())
    row, settings = measured["rows"]["calico"], measured["settings"]
    config, sizes = full("calico.yaml")
    planner = MemoryPlanner(config, sizes)
    words = row["tokens_per_step"] // settings["batch_size"] - settings["images"] * row["tokens_per_image"]
    shape = planner.shape(settings["batch_size"], images=settings["images"], text=words, masks=settings["masks"])
    planned = planner.memory(shape, Zero())
    assert planned.total / 1e9 == pytest.approx(row["peak_memory_gb"], rel=0.01)
    assert planned.weights / 1e9 == pytest.approx(19.36, abs=0.01)


def test_no_memory_is_taken():
    """Ten billion parameters in both precisions; a machine of 24 GB has no room for their tensors."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    config, sizes = full("calico.yaml")
    Rehearser(config, sizes, half=True, gpu=True).step(BatchShape.assumed(sizes, 2, 2, 64, 2))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes


def test_more_of_anything_takes_more(tmp_path):
    config = small_config(tmp_path, *PARTS)
    rows = 400
    sizes = build_config(config.model, Vocabulary(rows, 1, 2, 0, rows, 5))
    rehearser = Rehearser(config, sizes, half=False, gpu=True)
    base = rehearser.step(BatchShape.assumed(sizes, 2, 2, 40, 2))
    for more in ((4, 2, 40, 2), (2, 3, 40, 2), (2, 2, 60, 2), (2, 2, 40, 4)):
        assert rehearser.step(BatchShape.assumed(sizes, *more)).saved > base.saved, more
    kept = rehearser.step(BatchShape.assumed(sizes, 2, 2, 40, 2).cached(FEATURES))
    assert kept.towers < base.towers
    assert base.towers > 0


def test_the_same_twice(tmp_path):
    """Nothing of a step is left over in the model of shapes."""
    config = small_config(tmp_path, *PARTS, "training.gradient_checkpointing=true")
    sizes = build_config(config.model, Vocabulary(400, 1, 2, 0, 400, 5))
    rehearser = Rehearser(config, sizes, half=True, gpu=True)
    shape = BatchShape.assumed(sizes, 2, 2, 40, 2)
    assert rehearser.step(shape) == rehearser.step(shape)
    assert rehearser.step(shape, gradients=True).step <= rehearser.step(shape).step
