"""Muon and AdamW as one: parameters move as under their own optimiser, one schedule drives both, state comes back."""

import copy

import torch
from torch import nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR

from llava_corr.zoo.optimising import MuonWithAdamW, optimiser


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        self.out = nn.Linear(6, 3)

    def forward(self, ids):
        hidden = self.embedding(ids)
        for layer in self.layers:
            hidden = layer(hidden).relu()
        return self.out(hidden).pow(2).sum()


def net():
    torch.manual_seed(0)
    return Net()


def take(model, step, count=3):
    for k in range(count):
        model.zero_grad()
        model(torch.tensor([k, k + 1, 5])).backward()
        step()


def test_matrices_of_layers_go_to_muon_and_move_as_under_it():
    together, apart = net(), net()
    both = optimiser(together, 0.02, 0.01, 0.1)
    matrices = [layer.weight for layer in apart.layers]
    others = [p for p in apart.parameters() if all(p is not m for m in matrices)]
    muon = Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = AdamW(others, lr=0.01, weight_decay=0.1, betas=(0.9, 0.98))
    take(together, both.step)
    take(apart, lambda: (muon.step(), adamw.step()))
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_schedule_drives_both():
    model = net()
    both = optimiser(model, 0.02, 0.01, 0.0)
    schedule = LambdaLR(both, lambda step: 0.5**step)
    take(model, both.step, 1)
    schedule.step()
    assert [group["lr"] for part in both.parts for group in part.param_groups] == [0.01, 0.005]


def test_state_comes_back():
    model = net()
    both = optimiser(model, 0.02, 0.01, 0.1)
    take(model, both.step)
    other = copy.deepcopy(model)
    again = optimiser(other, 0.5, 0.5, 0.5)
    again.load_state_dict(copy.deepcopy(both.state_dict()))
    assert isinstance(again, MuonWithAdamW)
    assert [group["lr"] for group in again.param_groups] == [0.02, 0.01]
    take(model, both.step)
    take(other, again.step)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    again.param_groups[0]["lr"] = 0.25
    assert again.parts[0].param_groups[0]["lr"] == 0.25
