"""Counting live tensors: against sizes worked out by hand, and whatever operations there are."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from llava_corr.training.live_bytes import LiveBytes


def test_what_is_let_go_counts_no_longer():
    with LiveBytes() as live:
        first = torch.ones(100)
        second = first * 2
        assert live.now == 800
        view = second[10:20]
        del first, second
        assert live.now == 400, "a view keeps all of what it views"
        assert live.peak == 800
        live.mark()
        assert live.peak == 400
        del view
    assert live.now == 0


def test_what_was_there_before_does_not_count():
    weight, batch = torch.ones(10, 10), torch.ones(5, 10)
    with LiveBytes([weight, batch]) as live:
        rows = batch[:2]
        turned = weight.T
        assert live.now == 0
        result = rows @ turned
        assert live.now == result.nbytes


def test_what_comes_from_nowhere_was_there_before():
    """A bucket that was made earlier and is first seen when a part of it is filled."""
    bucket = torch.zeros(1000)
    with LiveBytes() as live:
        part = bucket.narrow(0, 10, 20)
        part.copy_(torch.ones(20))
        assert live.now == 0
        assert live.peak == 80, "the ones"


def test_an_operation_in_place_takes_no_memory():
    with LiveBytes() as live:
        x = torch.zeros(50)
        x.add_(1).mul_(2)
        assert live.now == live.peak == 200


def test_saved_activations_of_a_network_by_hand():
    """Linear, ReLU, Linear: autograd keeps the ReLU's result, which is the second layer's input; the first input was
    there. Without a graph nothing but the result stays."""
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.randn(32, 8)
    with LiveBytes([*net.parameters(), x]) as live:
        out = net(x)
        assert live.now == 4 * (32 * 16 + 32 * 4)
        out.sum().backward()
        assert live.now == sum(p.grad.nbytes for p in net.parameters()) + out.nbytes
    with LiveBytes([*net.parameters(), x]) as live, torch.no_grad():
        out = net(x)
        assert live.now == out.nbytes


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["new", "drop", "view"]), st.integers(0, 30)), max_size=40))
def test_as_a_plain_list_of_what_is_held(steps):
    kept, owners = [], []
    names, peak = itertools.count(), 0
    with LiveBytes() as live:
        for step, number in steps:
            if step == "new":
                kept.append(torch.ones(number + 1))
                owners.append((next(names), kept[-1].nbytes))
            elif kept and step == "view":
                kept.append(kept[number % len(kept)].view(-1))
                owners.append(owners[number % len(owners)])
            elif kept:
                kept.pop(number % len(kept))
                owners.pop(number % len(owners))
            peak = max(peak, sum(dict(owners).values()))
            assert live.now == sum(dict(owners).values())
    assert live.peak == peak
