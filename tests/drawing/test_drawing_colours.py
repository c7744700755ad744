"""Colours of labels: stable, distinct, readable."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_corr.drawing.colours import PALETTE, colour_of, ink_on, label_colours, to_hex

NAMES = ["seat", "back", "leg", "arm", "wheel", "head", "tail", "body", "lid", "rim", "handle", "base", "drawer"]


def test_palette_is_distinct():
    # CIE Lab difference by an independent route: sRGB -> XYZ (D65) -> Lab; 10 is far above a just noticeable one (2.3)
    def lab(colour):
        c = np.asarray(colour) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        xyz = matrix @ linear / np.array([0.9505, 1.0, 1.089])
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    assert min(np.linalg.norm(lab(a) - lab(b)) for a, b in combinations(PALETTE, 2)) > 20


def test_colours_do_not_repeat_before_all_are_used():
    colours = label_colours(NAMES)
    assert len(set(colours.values())) == len(NAMES)
    many = label_colours(f"part {k}" for k in range(2 * len(PALETTE)))
    counts = [list(many.values()).count(colour) for colour in PALETTE]
    assert counts == [2] * len(PALETTE)


@given(st.lists(st.text(max_size=8), max_size=40), st.lists(st.text(max_size=8), max_size=10))
def test_truth_keeps_its_colours_whatever_follows(truth, predicted):
    alone, together = label_colours(truth), label_colours([*truth, *predicted])
    assert all(together[name] == colour for name, colour in alone.items())


def test_spellings_of_one_label_share_a_colour():
    colours = label_colours(["the seat_cushion", "Seat cushion."])
    assert len(colours) == 1
    assert colour_of("A seat cushion", colours) == colour_of("seat_cushion", colours)


def test_first_choice_is_the_same_everywhere():
    assert label_colours(["leg"])["leg"] == label_colours(["leg", "arm"])["leg"] == colour_of("the leg", {})


@pytest.mark.parametrize("colour", [*PALETTE, (0, 0, 0), (255, 255, 255), (118, 118, 118)])
def test_ink_is_readable(colour):
    def luminance(c):
        v = np.asarray(c) / 255
        return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    high, low = sorted([luminance(colour), luminance(ink_on(colour))], reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_hex():
    assert to_hex((1, 171, 255)) == "#01abff"
