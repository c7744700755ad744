"""Greedy matching and the recall loop: closed forms, and plain loops written a second time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llava_corr.metrics.masks import greedy_pairs, image_iou, recall_pairs

SIZES = st.tuples(st.integers(0, 5), st.integers(0, 5))
IOUS = SIZES.flatmap(lambda s: arrays(float, s, elements=st.sampled_from([0.0, 0.2, 0.49, 0.5, 0.51, 0.8, 1.0])))


def loop_pairs(iou):
    """Greedy matching over an explicit list of pairs: no zeroing, no argmax."""
    pairs = [(-iou[p][t], p, t) for p in range(len(iou)) for t in range(len(iou[p])) if iou[p][t] > 0]
    taken = []
    for _, p, t in sorted(pairs):
        if all(p != q and t != u for q, u in taken):
            taken.append((p, t))
    return taken


def loop_recall(iou, similarity, breaking):
    pairs = sorted((-iou[p][t], p, t) for p in range(len(iou)) for t in range(len(iou[p])))
    taken = []
    for negative, p, t in pairs:
        if any(p == q or t == u for q, u in taken):
            continue
        if -negative < 0.5:
            break
        if similarity[p][t] < 0.5:
            if breaking:
                break
            continue
        taken.append((p, t))
    return taken


def test_greedy_takes_the_best_pair_first_even_if_the_sum_is_lower():
    iou = np.array([[0.9, 0.8], [0.7, 0.0]])
    assert greedy_pairs(iou) == [(0, 0)]  # 0.8 + 0.7 would be more; prediction 1 has nothing left


def test_greedy_leaves_its_argument_alone():
    iou = np.array([[0.9, 0.8], [0.7, 0.1]])
    before = iou.copy()
    greedy_pairs(iou)
    recall_pairs(iou, iou)
    np.testing.assert_array_equal(iou, before)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_match(shape):
    assert greedy_pairs(np.zeros(shape)) == []
    assert recall_pairs(np.zeros(shape), np.zeros(shape)) == []


def test_the_three_readings_of_image_iou():
    iou = np.array([[0.8, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.0]])
    quality = image_iou(iou)
    assert quality.matched == pytest.approx((0.8 + 0.4) / 2)
    assert quality.strict == pytest.approx((0.8 + 0.4) / 3)
    assert quality.penalised == pytest.approx((0.8 + 0.4) / 5)  # 2 pairs, 1 missed truth, 2 spurious masks


def test_image_iou_without_truth_or_predictions():
    assert image_iou(np.zeros((0, 0))) == (0.0, None, None)
    assert image_iou(np.zeros((2, 0))) == (0.0, None, 0.0)
    assert image_iou(np.zeros((0, 2))) == (0.0, 0.0, 0.0)


def test_breaking_loop_ends_at_a_wrong_name_of_high_iou():
    iou = np.array([[0.9, 0.0], [0.0, 0.6]])
    similarity = np.array([[0.1, 0.0], [0.0, 1.0]])
    assert recall_pairs(iou, similarity) == []
    assert recall_pairs(iou, similarity, breaking=False) == [(1, 1)]


def test_recall_thresholds_are_reached_by_equality():
    assert recall_pairs(np.array([[0.5]]), np.array([[0.5]])) == [(0, 0)]
    assert recall_pairs(np.array([[0.4999]]), np.array([[1.0]])) == []
    assert recall_pairs(np.array([[1.0]]), np.array([[0.4999]]), breaking=False) == []


@given(IOUS)
@settings(max_examples=300, deadline=None)
def test_greedy_agrees_with_the_sorted_loop(iou):
    assert greedy_pairs(iou) == loop_pairs(iou.tolist())


@given(IOUS, st.data())
@settings(max_examples=300, deadline=None)
def test_recall_agrees_with_the_sorted_loop(iou, data):
    similarity = data.draw(arrays(float, iou.shape, elements=st.sampled_from([-0.1, 0.3, 0.5, 1.0])))
    for breaking in (True, False):
        expected = loop_recall(iou.tolist(), similarity.tolist(), breaking)
        assert recall_pairs(iou, similarity, breaking=breaking) == expected
    assert len(recall_pairs(iou, similarity)) <= len(recall_pairs(iou, similarity, breaking=False))


@given(
    arrays(float, (4, 3), elements=st.floats(0, 1), unique=True), st.permutations(range(4)), st.permutations(range(3))
)
@settings(max_examples=100, deadline=None)
def test_order_of_masks_does_not_matter_without_ties(iou, rows, columns):
    renamed = {(rows.index(p), columns.index(t)) for p, t in greedy_pairs(iou)}
    assert set(greedy_pairs(iou[np.ix_(rows, columns)])) == renamed


@given(IOUS)
@settings(max_examples=100, deadline=None)
def test_stricter_readings_are_never_higher(iou):
    quality = image_iou(iou)
    if quality.strict is not None:
        assert quality.penalised <= quality.strict + 1e-12
        assert quality.strict <= quality.matched + 1e-12 <= 1 + 2e-12
