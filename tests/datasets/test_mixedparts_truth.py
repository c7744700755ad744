"""Common, unique and the clear choice against plain enumeration."""

from __future__ import annotations

from itertools import product
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.datasets.mixedparts import truth
from llava_corr.datasets.mixedparts.views import ClassView, ImageView
from llava_corr.records import ImageRef, Mask

EMPTY = Mask(size=(1, 1), counts="1")
KIN = {"a": {"a", "b"}, "b": {"a", "b", "c"}, "c": {"b", "c"}, "d": {"d"}}
PART_SETS = st.lists(st.frozensets(st.sampled_from("pqrst")), min_size=2, max_size=5)


def view(shares: dict[str, float]) -> ImageView:
    classes = {n: ClassView(EMPTY, share, {}, frozenset()) for n, share in shares.items()}
    return ImageView("", "", ImageRef(path="", height=1, width=1), classes)


@given(PART_SETS)
def test_common_and_unique_parts(part_names):
    letters = "pqrst"
    held = {x: [k for k, names in enumerate(part_names) if x in names] for x in letters}
    assert truth.common_parts(part_names) == [x for x in letters if len(held[x]) == len(part_names)]
    assert truth.unique_parts(part_names) == [[x for x in letters if held[x] == [k]] for k in range(len(part_names))]


@given(PART_SETS)
def test_pairs_split_their_parts_into_common_and_unique(part_names):
    first, second = pair = part_names[:2]
    common, unique = truth.common_parts(pair), truth.unique_parts(pair)
    assert set(common) | set(unique[0]) | set(unique[1]) == first | second
    assert not set(common) & set(unique[0] + unique[1])
    assert truth.unique_parts([second, first]) == unique[::-1]


@settings(max_examples=300)
@given(st.lists(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 16), min_size=1), min_size=2, max_size=4))
def test_clear_choice_is_what_enumeration_says(shares):
    """Shares are multiples of 1/16 and the margin is 1/2: all products are exact."""
    views = [view({n: v / 16 for n, v in each.items()}) for each in shares]
    kin = {n: frozenset(others) for n, others in KIN.items()}

    def fits(choice):
        return all(y in KIN.get(x, ()) for x in choice for y in choice)

    weights = {
        choice: prod(each[n] / 16 for each, n in zip(shares, choice, strict=True))
        for choice in product(*shares)
        if fits(choice)
    }
    for choice, weight in weights.items():
        rivals = [w for other, w in weights.items() if other != choice]
        clear = all(w < weight * 0.5 ** len(views) for w in rivals)
        assert truth.is_clear_choice(views, choice, kin, 0.5) == clear


def test_images_of_one_object_are_always_clear():
    assert truth.is_clear_choice(
        [view({"a": 0.1}), view({"b": 0.9})], ["a", "b"], {k: frozenset(v) for k, v in KIN.items()}, 1
    )


def test_shared_classes():
    assert truth.shared_classes([view({"b": 1, "a": 1, "c": 1}), view({"a": 1, "b": 1, "d": 1})]) == ["a", "b"]
    assert truth.shared_classes([view({"a": 1}), view({"b": 1})]) == []
