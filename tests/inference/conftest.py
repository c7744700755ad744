"""A run folder of a tiny model, trained until it draws masks (2 s), and the samples it was trained on."""

import pytest
from toy import small_config, write_toy

from llava_corr.training.sft import train


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """(run folder, samples file of 12 samples)"""
    folder = tmp_path_factory.mktemp("tiny-run")
    write_toy(folder, 12)
    steps = ("training.max_steps=40", "training.batch_size=8", "training.learning_rate=0.01", "training.warmup_steps=3")
    answers = ("prediction.batch_size=4", "prediction.max_new_tokens=24")
    return train(small_config(folder, "name=tiny", *steps, *answers)), folder / "train.jsonl"
