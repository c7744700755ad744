"""The run-length check of ``Mask``: it accepts what pycocotools writes and refuses runs that miss the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llava_corr.errors import MaskError
from llava_corr.records import Mask


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
@settings(max_examples=100, deadline=None)
def test_round_trip_of_any_mask(pixels):
    mask = Mask.from_array(pixels)
    mask.check()
    np.testing.assert_array_equal(mask.to_array(), pixels)


def test_large_runs_need_several_characters():
    pixels = np.zeros((2000, 3000), dtype=bool)
    pixels[700:1500, 100:2900] = True
    np.testing.assert_array_equal(Mask.from_array(pixels).to_array(), pixels)


@pytest.mark.parametrize("counts", ["", "0", "P2P2", "zz", "o", "ooooo", "P" * 15, "é", "P2 ", "N2"])
def test_runs_that_do_not_cover_the_image_are_refused(counts):
    with pytest.raises(MaskError, match="needs 64"):
        Mask(size=(8, 8), counts=counts).to_array()


def test_right_runs_of_another_size_are_refused():
    mask = Mask.from_array(np.ones((8, 8)))
    with pytest.raises(MaskError, match="covers 64 pixels, size \\(8, 9\\) needs 72"):
        Mask(size=(8, 9), counts=mask.counts).check()
