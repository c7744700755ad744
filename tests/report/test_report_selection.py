"""The draw of shown samples: fair, repeatable, described truthfully."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.records import Sample
from llava_corr.report.selection import BANDS, RANDOM, UNSCORED, choose_samples, describe_choice

TASKS = ("common_objects", "common_parts", "unique_parts")


def sample(task, source, k):
    return Sample(id=f"{task}-{source}-{k:03}", split="test", source=source, task=task, images=(), turns=())


def grid(per_cell=30, sources=("a", "b", "c")):
    return [sample(task, source, k) for task in TASKS for source in sources for k in range(per_cell)]


def test_every_stratum_gives_the_same_number_of_every_third():
    samples = grid()
    values = {s.id: k / len(samples) for k, s in enumerate(samples)}
    chosen = choose_samples(samples, values, 24, seed=3)
    assert len(chosen) == 27
    counts = Counter((c.sample.task, c.sample.source, c.band) for c in chosen)
    assert set(counts.values()) == {1}
    assert {band for _, _, band in counts} == set(BANDS)


def test_thirds_are_thirds():
    samples = grid(per_cell=9, sources=("a",))[:9]
    values = {s.id: k / 9 for k, s in enumerate(samples)}
    for c in choose_samples(samples, values, 9, seed=0):
        third = BANDS[2 - int(c.value * 9 + 1e-9) // 3]
        assert c.band == third


def test_uncovered_samples_are_drawn_too():
    samples = grid(per_cell=12)
    values = {s.id: 0.5 for s in samples if not s.id.endswith("000")}
    chosen = choose_samples(samples, values, 24, seed=0)
    assert Counter(c.band for c in chosen)[UNSCORED] == 3
    assert all(c.value is None for c in chosen if c.band == UNSCORED)


def test_without_scores_the_draw_is_plain():
    chosen = choose_samples(grid(), {}, 24, seed=0)
    assert {c.band for c in chosen} == {RANDOM}
    assert set(Counter((c.sample.task, c.sample.source) for c in chosen).values()) == {3}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 14), st.randoms(use_true_random=False))
def test_size_order_and_seed(count, seed, per_cell, random):
    samples = grid(per_cell, ("a", "b"))
    values = {s.id: random.random() for s in samples if random.random() < 0.9}
    chosen = choose_samples(samples, values, count, seed)
    assert len(chosen) >= min(count, len(samples))
    assert len({c.sample.id for c in chosen}) == len(chosen)
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert choose_samples(shuffled, values, count, seed) == chosen


def test_seed_changes_the_draw():
    samples = grid()
    values = {s.id: 0.1 for s in samples}
    draws = {tuple(c.sample.id for c in choose_samples(samples, values, 24, seed)) for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize("name", ["strict mIoU", None])
def test_description_counts_what_was_drawn(name):
    samples = grid()
    chosen = choose_samples(samples, {s.id: 0.1 for s in samples} if name else {}, 24, seed=4)
    text = describe_choice(chosen, len(samples), name, seed=4)
    assert text.startswith("27 of 270 samples, none picked by hand")
    assert "9 combinations" in text
    assert "seed 4" in text
    assert ("9 best third, 9 middle third, 9 worst third" if name else "27 random") in text
