"""Two stages: words first, without the grounding tower, then words and masks from those weights."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from toy import small_config, write_toy

from llava_corr.errors import CheckpointError, ConfigError
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.training.model import build_model
from llava_corr.training.sft import train

WORDS_ONLY = ("training.losses.mask=0", "training.losses.dice=0")


def test_words_first_then_masks_from_those_weights(tmp_path):
    samples = write_toy(tmp_path, 8)
    steps = ("training.batch_size=8", "training.warmup_steps=3", "training.learning_rate=0.01",
             "training.logging_steps=5", "training.max_steps=20")  # fmt: skip
    first = small_config(tmp_path, "name=words", *steps, *WORDS_ONLY)
    fresh = build_model(first, samples)[0].model.state_dict()
    folder = train(first)
    rows = [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "language" in row]
    assert all(row["masks"] == 0 and row["dice"] == 0 for row in rows)
    assert rows[-1]["language"] < 0.6 * rows[0]["language"]
    learned = load_model(folder / "model").state_dict()
    frozen = [name for name in learned if name.startswith(("grounding", "seg_projection"))]
    assert frozen
    assert all(torch.equal(learned[name], fresh[name]) for name in frozen)
    assert not torch.equal(learned["trunk.lm_head.weight"], fresh["trunk.lm_head.weight"])

    second = small_config(tmp_path, "name=masks", f"model.weights={folder / 'model'}", *steps)
    parts, processor = build_model(second, samples)
    state = parts.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in learned.items())
    assert processor.tokenizer.get_vocab() == build_model(first, samples)[1].tokenizer.get_vocab()
    start = json.loads((train(second) / "train_log.jsonl").read_text().splitlines()[0])
    assert start["masks"] > 0
    assert start["language"] < 0.6 * rows[0]["language"]


def test_weights_of_another_model_are_refused(tmp_path):
    samples = write_toy(tmp_path, 4)
    folder = train(small_config(tmp_path, "name=words", "training.max_steps=1", *WORDS_ONLY))
    other = small_config(
        tmp_path, f"model.weights={folder / 'model'}", "model.trunk.num_attention_heads=4", "model.qformer.dropout=0.1"
    )
    with pytest.raises(ConfigError) as caught:
        build_model(other, samples)
    assert "text_config.num_attention_heads: the experiment has 4, the weights 2" in str(caught.value)
    assert "hidden_dropout_prob" in str(caught.value)


def test_missing_weights_are_named(tmp_path):
    samples = write_toy(tmp_path, 2)
    with pytest.raises(CheckpointError, match="nowhere"):
        build_model(small_config(tmp_path, f"model.weights={tmp_path / 'nowhere'}"), samples)


def test_a_run_cut_off_before_its_model_was_written_ends_with_the_same_weights(tmp_path):
    write_toy(tmp_path, 4)
    config = small_config(tmp_path, "training.max_steps=4", "training.save_steps=2", "training.batch_size=2")
    folder = train(config)
    whole = load_file(folder / "model" / "model.safetensors")
    shutil.rmtree(folder / "model")
    again = load_file(train(config) / "model" / "model.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
