"""Shared fixtures: a tiny model with its processor, on coloured squares."""

import os

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """(model in eval mode, processor, samples) with fresh weights."""
    from toy import small_config, write_toy

    from llava_corr.training.model import build_model

    folder = tmp_path_factory.mktemp("toy")
    samples = write_toy(folder, 12)
    parts, processor = build_model(small_config(folder), samples)
    return parts.model.eval(), processor, samples


@pytest.fixture
def stirred(toy):
    """A copy of the toy model whose layers that start at zero have been stirred, so that CEM and CAMs matter."""
    import copy

    import torch

    from llava_corr.models.correspondence import ZeroLinear

    model = copy.deepcopy(toy[0])
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, ZeroLinear):
            torch.nn.init.normal_(module.weight, std=0.3)
            torch.nn.init.normal_(module.bias, std=0.3)
    return model
