"""Alignment, then fine-tuning on top of it: each stage trains its own parts and keeps those of the one before."""

import pytest
import torch
from toy import small_config, toy_samples, write_toy

from llava_corr.config import load_config
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.record_files import write_samples
from llava_corr.training.model import build_model
from llava_corr.training.sft import train

STEPS = ("training.max_steps=4", "training.batch_size=2", "training.gradient_accumulation=1", "training.warmup_steps=0",
         "training.learning_rate=0.01")  # fmt: skip


@pytest.fixture
def base(tmp_path):
    """Whole random weights to start from, samples of one image for the first stage and of two for the second."""
    samples = write_toy(tmp_path, 6)
    parts, processor = build_model(small_config(tmp_path), samples)
    parts.model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    write_samples(tmp_path / "one.jsonl", toy_samples(tmp_path / "one", 6, images=1))
    return tmp_path / "base"


def stage(folder, name, files, weights, data):
    """A real configuration's training section on the toy model's sizes."""
    training = load_config(files).training
    lora = "null" if training.lora is None else str(training.lora.model_dump(mode="json") | {"dropout": 0.0})
    parts = list(training.trainable)
    return small_config(
        folder, f"name={name}", *STEPS, f"model.weights={weights}", f"data.train={folder / data}",
        f"training.lora={lora}".replace("'", '"'), f"training.trainable=[{', '.join(parts)}]",
    )  # fmt: skip


def moved(before, after):
    return {n for n, value in after.items() if n not in before or not torch.equal(value, before[n])}


def test_the_projection_alone_is_aligned_and_fine_tuning_keeps_it(tmp_path, base):
    aligned = train(stage(tmp_path, "align", ["calico_align.yaml"], base, "one.jsonl")) / "model"
    start, first = load_model(base).state_dict(), load_model(aligned).state_dict()
    assert moved(start, first) == {"visual_tokens.projection.weight", "visual_tokens.projection.bias"}

    tuned = train(stage(tmp_path, "tune", ["calico.yaml"], aligned, "train.jsonl")) / "model"
    second = load_model(tuned).state_dict()
    changed = moved(first, second)
    assert torch.equal(second["visual_tokens.projection.weight"], first["visual_tokens.projection.weight"])
    groups = ("trunk.model.layers.", "correspondence.attention.", "adaptation.", "grounding.sam.mask_decoder.")
    assert all(name.startswith(groups) for name in changed)
    assert {name.split(".")[-2] for name in changed if name.startswith("trunk")} == {"q_proj", "v_proj"}
    assert any(name.startswith("adaptation.") for name in changed)
    (answer,) = Predictor.from_pretrained(tuned, max_new_tokens=4).predict(
        toy_samples(tmp_path / "asked", 1), progress=False
    )
    assert answer.sample_id == "toy0"


def test_on_another_base_the_rows_of_special_tokens_are_aligned_too(tmp_path, base):
    aligned = train(stage(tmp_path, "rows", ["calico_align.yaml", "align_rows.yaml"], base, "one.jsonl")) / "model"
    start, first = load_model(base).state_dict(), load_model(aligned).state_dict()
    changed = moved(start, first)
    assert {name for name in changed if not name.startswith("seg_projection.")} == {
        "trunk.model.embed_tokens.weight", "trunk.lm_head.weight",
        "visual_tokens.projection.weight", "visual_tokens.projection.bias",
    }  # fmt: skip
    assert {name for name in start if name.startswith("seg_projection.")} < changed
    rows = (start["trunk.lm_head.weight"] != first["trunk.lm_head.weight"]).any(1).nonzero()[:, 0].tolist()
    tokenizer = Predictor.from_pretrained(aligned).processor.tokenizer
    assert rows == sorted(tokenizer.convert_tokens_to_ids(["[SEG]", "<p>", "</p>"]))
