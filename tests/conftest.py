"""Shared fixtures: a tiny model with its processor, on coloured squares."""

import os

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """(model in eval mode, processor, samples) with fresh weights."""
    from toy import small_config, write_toy

    from llava_corr.training.sft import build_model

    folder = tmp_path_factory.mktemp("toy")
    samples = write_toy(folder, 12)
    model, processor = build_model(small_config(folder), samples)
    return model.eval(), processor, samples
