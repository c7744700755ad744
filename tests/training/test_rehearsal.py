"""A step on shapes against the same step on tensors, and full size against what a GPU's allocator said."""

import copy
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy import small_config, write_toy

from llava_corr.config import load_config
from llava_corr.datasets.collate import Collator
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.models.passes import in_passes
from llava_corr.record_files import write_samples
from llava_corr.training import memory_log
from llava_corr.training.memory_log import StepMeter, compare
from llava_corr.training.memory_plan import MemoryPlanner
from llava_corr.training.model import build_model
from llava_corr.training.rehearsal import FEATURES, BatchShape, Rehearser, checkpoint_activations
from llava_corr.training.sft import train
from llava_corr.training.zero import Zero

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
        checkpoint_activations(model, {"use_reentrant": False})
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
        loss = output.loss
        del output  # as the trainer does
        loss.backward()
    meter.gradients_are_there(model)
    optimiser.step()
    meter.step_is_done(optimiser, model)
    return compare(config, model.config, meter, Zero(), 1)["bytes"], model, processor


def measured_of(found):
    """Every entry but the buffers, which one process has none of."""
    assert found.pop("buffers") == {"planned": 0, "measured": None}
    return found.items()


@pytest.mark.parametrize("case", CASES)
def test_planned_is_measured(tmp_path, case):
    found, _, _ = one_step(small_config(tmp_path, *CASES[case]), write_toy(tmp_path, 4, images=(1, 2, 3, 2)))
    near = 0.01 if "bfloat16" in case else 0.0001
    for name, of in measured_of(found):
        exact = name in ("weights", "gradients", "optimiser")
        assert of["planned"] == pytest.approx(of["measured"], rel=0 if exact else near), (name, of)


def test_a_failed_rehearsal_ends_no_run(tmp_path, monkeypatch, caplog):
    def unheard_of(*_):
        raise NotImplementedError("an operation that shapes do not know")

    write_toy(tmp_path, 2)
    monkeypatch.setattr(memory_log, "compare", unheard_of)
    words = ("training.max_steps=1", "training.batch_size=2", "training.memory_log=true")
    with caplog.at_level(logging.INFO):
        run = train(small_config(tmp_path, *words))
    assert (run / "model").is_dir()
    found = json.loads((run / "memory.json").read_text())
    assert found["batch"]["dialogues"] == 2
    assert {of["planned"] for of in found["bytes"].values()} == {None}
    assert {name for name, of in found["bytes"].items() if of["measured"] is None} == {"buffers"}
    assert "training goes on: NotImplementedError: an operation that shapes do not know" in caplog.text
    assert "weights not known / " in caplog.text


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
    for name, of in measured_of(found):
        assert of["planned"] == pytest.approx(of["measured"], rel=0.001), (name, of)


def test_planned_is_measured_without_pictures(tmp_path):
    sample = write_toy(tmp_path, 1)[0]
    turn = sample.turns[0].model_copy(update={"user": "What is red?", "assistant": "A colour."})
    words = [sample.model_copy(update={"id": str(k), "images": (), "turns": (turn,), "targets": ()}) for k in (0, 1)]
    write_samples(tmp_path / "train.jsonl", words)
    found, _, _ = one_step(small_config(tmp_path), words)
    for name, of in measured_of(found):
        assert of["planned"] == pytest.approx(of["measured"], rel=0.005), (name, of)


def full(name):
    config = load_config(name)
    rows = config.model.tokenizer.vocab_size
    return config, build_config(config.model, Vocabulary.of_size(rows))


@pytest.mark.slow
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


NO_MEMORY = """
import resource
from test_rehearsal import BatchShape, Rehearser, full

config, sizes = full("calico.yaml")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Rehearser(config, sizes, half=True, gpu=True).step(BatchShape.assumed(sizes, 2, 2, 64, 2))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_no_memory_is_taken():
    """Ten billion parameters are rehearsed in less than 1 GB; their weights alone would take 19. In a process of its
    own: the most that one ever took never goes down, and other tests take more."""
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run([sys.executable, "-c", NO_MEMORY], env=os.environ | {"PYTHONPATH": places},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 1_000_000  # kilobytes


@pytest.mark.slow
def test_many_passes_are_as_all_of_them(tmp_path, monkeypatch):
    """Passes in the middle are left out: the peak is the same."""
    config = small_config(tmp_path, *PARTS, "model.max_images_per_tower_pass=2")
    sizes = build_config(config.model, Vocabulary(400, 1, 2, 0, 400, 5))
    shapes = [BatchShape.assumed(sizes, dialogues, 3, 40, 2) for dialogues in (3, 4)]  # the last pass whole, or not
    few = [Rehearser(config, sizes, half=False, gpu=True).step(shape) for shape in shapes]
    monkeypatch.setattr(Rehearser, "_in_few_passes", lambda self, *a: in_passes(*a[:2], a[2:], 2))
    assert few == [Rehearser(config, sizes, half=False, gpu=True).step(shape) for shape in shapes]


def test_flash_attention_is_rehearsed_as_sdpa(tmp_path):
    config = small_config(tmp_path, *PARTS)
    sizes = build_config(config.model, Vocabulary(400, 1, 2, 0, 400, 5))
    flash = copy.deepcopy(sizes)
    for part in (flash.vision_config, flash.text_config):
        part._attn_implementation_internal = "flash_attention_2"
    shape = BatchShape.assumed(sizes, 2, 2, 40, 2)
    steps = [Rehearser(config, of, half=False, gpu=True).step(shape) for of in (sizes, flash)]
    assert steps[0] == steps[1]
    assert flash.text_config._attn_implementation == "flash_attention_2", "the model's own is left alone"


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


@pytest.mark.slow
def test_the_same_twice(tmp_path):
    """Nothing of a step is left over in the model of shapes."""
    config = small_config(tmp_path, *PARTS, "training.gradient_checkpointing=true")
    sizes = build_config(config.model, Vocabulary(400, 1, 2, 0, 400, 5))
    rehearser = Rehearser(config, sizes, half=True, gpu=True)
    shape = BatchShape.assumed(sizes, 2, 2, 40, 2)
    assert rehearser.step(shape) == rehearser.step(shape)
    assert rehearser.step(shape, gradients=True).step <= rehearser.step(shape).step
