"""A twin's training that is cut off goes on from its last whole checkpoint and ends with the same weights."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from llava_corr.errors import LlavaCorrError
from llava_corr.zoo.command import keep_recipe
from llava_corr.zoo.fitting import fit, last_whole_checkpoint
from llava_corr.zoo.recipe import FitSection, load_recipe

SCHEDULE = FitSection(steps=256, batch=4, muon=1e-2, adamw=1e-2, warmup=5)


class Numbers(Dataset):
    def __len__(self):
        return SCHEDULE.steps * SCHEDULE.batch

    def __getitem__(self, index):
        return torch.randn(8, generator=torch.Generator().manual_seed(index))


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.first = nn.Linear(8, 8)

    def forward(self, numbers):
        hidden = self.first(numbers)
        for layer in self.layers:
            hidden = hidden + torch.tanh(layer(hidden))
        return {"loss": ((hidden - numbers.flip(1)) ** 2).mean() + 0.01 * torch.rand(())}


def stack(items):
    return {"numbers": torch.stack(items)}


def state(task):
    return {name: value.clone() for name, value in task.state_dict().items()}


def test_a_training_that_is_cut_off_ends_like_one_that_is_not(tmp_path):
    whole = Toy()
    fit(whole, Numbers(), stack, SCHEDULE, tmp_path / "whole", seed=3)
    calls = []

    def breaks(items):
        calls.append(1)
        if len(calls) == 254:  # after the checkpoint at step 250
            raise RuntimeError("the power went")
        return stack(items)

    with pytest.raises(RuntimeError, match="the power went"):
        fit(Toy(), Numbers(), breaks, SCHEDULE, tmp_path / "cut", seed=3)
    half = tmp_path / "cut" / "checkpoint-251"  # the power went while this one was written
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    again = Toy()
    fit(again, Numbers(), stack, SCHEDULE, tmp_path / "cut", seed=3)
    assert not half.exists()
    for name, value in state(whole).items():
        torch.testing.assert_close(state(again)[name], value, rtol=0, atol=0, msg=name)
    assert last_whole_checkpoint(tmp_path / "cut").endswith("checkpoint-256")


def test_twins_of_two_recipes_are_not_mixed(tmp_path):
    keep_recipe(load_recipe("tiny/zoo.yaml"), tmp_path)
    keep_recipe(load_recipe("tiny/zoo.yaml"), tmp_path)
    with pytest.raises(LlavaCorrError, match="another recipe; what differs: masks, align_steps"):
        keep_recipe(load_recipe("tiny/zoo.yaml", ["align_steps=5", "masks.steps=7"]), tmp_path)
