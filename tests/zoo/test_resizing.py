"""Weights for patches of another side say of a patch what the given ones say of it at their own side."""

import pytest
import torch
from torch.nn import functional as F

from llava_corr.zoo.resizing import resized_patches, resized_positions


@pytest.mark.parametrize("side", [4, 8, 12, 18])
def test_a_patch_says_what_it_says_once_it_is_resized(side):
    torch.manual_seed(0)
    weight, picture = torch.randn(5, 3, 12, 12), torch.rand(2, 3, 6 * side, 6 * side)
    new = F.conv2d(picture, resized_patches(weight, side), stride=side)
    for row, column in [(0, 0), (2, 5), (5, 1)]:
        patch = picture[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side]
        resized = F.interpolate(patch, (12, 12), mode="bilinear", align_corners=False)
        wanted = F.conv2d(resized, weight)[:, :, 0, 0]
        torch.testing.assert_close(new[:, :, row, column], wanted, atol=1e-4, rtol=1e-4)


def test_patches_of_the_same_side_stay_as_they_are():
    weight = torch.randn(5, 3, 7, 7)
    assert torch.equal(resized_patches(weight, 7), weight)
    assert resized_patches(weight.half(), 5).dtype == torch.float16


def test_positions_run_from_the_same_corner_to_the_same_corner():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    table = torch.stack([rows, columns], -1)[None]
    assert torch.equal(resized_positions(table, 16), table)
    fine = resized_positions(table, 24)
    places = (torch.arange(24) + 0.5) * 16 / 24 - 0.5  # centres of the finer cells, in coarser ones
    inner = slice(2, -2)  # at the border there is nothing to interpolate with
    torch.testing.assert_close(fine[0, inner, 7, 0], places[inner], atol=0.05, rtol=0)
    torch.testing.assert_close(fine[0, 7, inner, 1], places[inner], atol=0.05, rtol=0)
