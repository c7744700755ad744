"""Losses against closed forms and torch's own, on soft and hard targets, with padding left out."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llava_corr.losses.language import language_loss
from llava_corr.losses.mask import dice_loss, pixel_loss, resize_logits, valid_canvas


def some(seed=0, masks=3, size=8):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(masks, size, size, generator=generator) * 3
    targets = (torch.rand(masks, size, size, generator=generator) > 0.6).float()
    return logits, targets, torch.ones(masks, size, size)


def test_bce_is_torchs():
    logits, targets, valid = some()
    expected = sum(F.binary_cross_entropy_with_logits(x, y) for x, y in zip(logits, targets, strict=True))
    assert pixel_loss(logits, targets, valid, gamma=0, alpha=-1) == pytest.approx(float(expected), rel=1e-6)


def test_focal_closed_form():
    """-a_t (1 - p_t)^g log p_t (Lin et al. 2017, eq. 5), pixel by pixel in numpy."""
    logits, targets, valid = some(1)
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    t = targets.numpy()
    pt, at = np.where(t == 1, p, 1 - p), np.where(t == 1, 0.25, 0.75)
    expected = (-at * (1 - pt) ** 2 * np.log(pt)).mean((1, 2)).sum()
    assert float(pixel_loss(logits, targets, valid)) == pytest.approx(expected, rel=1e-5)


def test_dice_closed_form_and_scaled_form():
    logits, targets, valid = some(2)
    p, t = torch.sigmoid(logits.double()), targets.double()
    scaled = sum(  # GLaMM writes it with a scale of 1000 and e = 1e-6
        1 - (2 * (a / 1000 * b).sum() + 1e-6) / ((a / 1000).sum() + (b / 1000).sum() + 1e-6)
        for a, b in zip(p, t, strict=True)
    )
    assert float(dice_loss(logits, targets, valid)) == pytest.approx(float(scaled), rel=1e-5)
    assert float(dice_loss(100 * (2 * targets - 1), targets, valid)) == pytest.approx(0, abs=1e-5)


def test_padding_does_not_count():
    logits, targets, valid = some(3)
    valid[:, 5:] = 0
    changed, other = logits.clone(), targets.clone()
    changed[:, 5:] = 9
    other[:, 5:] = 1 - other[:, 5:]
    for loss in (pixel_loss, dice_loss):
        assert float(loss(logits, targets, valid)) == pytest.approx(float(loss(changed, other, valid)))
    cut = pixel_loss(logits[:, :5], targets[:, :5], valid[:, :5])
    assert float(pixel_loss(logits, targets, valid)) == pytest.approx(float(cut))


def test_sums_add_up_over_any_split():
    logits, targets, valid = some(4, masks=5)
    for loss in (pixel_loss, dice_loss):
        parts = loss(logits[:2], targets[:2], valid[:2]) + loss(logits[2:], targets[2:], valid[2:])
        assert float(loss(logits, targets, valid)) == pytest.approx(float(parts), rel=1e-6)


def test_valid_canvas_counts_pixels():
    sizes = torch.tensor([[64, 64], [48, 64], [1, 33]])
    full = valid_canvas(sizes, 64, 64)
    assert full.sum((1, 2)).tolist() == [64 * 64, 48 * 64, 33]
    assert valid_canvas(sizes, 64, 16)[1].sum() == 12 * 16


def test_resize_keeps_what_fits():
    logits = torch.randn(2, 8, 8)
    assert resize_logits(logits, 8) is logits
    assert resize_logits(logits, 16).shape == (2, 16, 16)


def test_language_loss_is_a_sum():
    logits, targets = torch.randn(5, 11), torch.randint(11, (5,))
    total, count = language_loss(logits, targets)
    assert float(total) == pytest.approx(float(F.cross_entropy(logits, targets)) * 5, rel=1e-6)
    assert int(count) == 5
    empty, none = language_loss(logits[:0], targets[:0])
    assert (float(empty), int(none)) == (0.0, 0)
