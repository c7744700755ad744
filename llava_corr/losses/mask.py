"""Mask losses as sums over masks, so that the caller chooses the denominator (Calico eq. 11; facts 1.6 and 5.3 row 2).

Axis letters: K masks, H and W the sides of the canvas they are compared on. Targets may be soft (area averages of a
finer mask); ``valid`` is 1 on the picture and 0 on its padding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_loss(
    logits_KHW: Tensor,
    targets_KHW: Tensor,
    valid_KHW: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Tensor:
    """Sum over masks of the mean focal loss per picture pixel; ``gamma=0, alpha=-1`` is plain binary cross-entropy."""
    logits_KHW, targets_KHW = logits_KHW.float(), targets_KHW.float()
    loss = F.binary_cross_entropy_with_logits(logits_KHW, targets_KHW, reduction="none")
    if gamma > 0:
        probability = logits_KHW.sigmoid()
        agreement = probability * targets_KHW + (1 - probability) * (1 - targets_KHW)
        loss = loss * (1 - agreement) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * targets_KHW + (1 - alpha) * (1 - targets_KHW))
    pixels = valid_KHW.sum((1, 2)).clamp(min=1)
    return ((loss * valid_KHW).sum((1, 2)) / pixels).sum()


def dice_loss(logits_KHW: Tensor, targets_KHW: Tensor, valid_KHW: Tensor, *, smooth: float = 1e-3) -> Tensor:
    """Sum over masks of 1 - (2 |p g| + e) / (|p| + |g| + e) on the picture's pixels; e = 1e-3 as in facts 1.6."""
    probability = logits_KHW.float().sigmoid() * valid_KHW
    targets_KHW = targets_KHW.float() * valid_KHW
    overlap = 2 * (probability * targets_KHW).sum((1, 2))
    total = probability.sum((1, 2)) + targets_KHW.sum((1, 2))
    return (1 - (overlap + smooth) / (total + smooth)).sum()


def resize_logits(logits_KHW: Tensor, size: int) -> Tensor:
    """Bilinear resize of K square logit maps to ``size`` x ``size``."""
    if logits_KHW.shape[-1] == size:
        return logits_KHW
    return F.interpolate(logits_KHW[:, None].float(), (size, size), mode="bilinear", align_corners=False)[:, 0]


def valid_canvas(sizes_K2: Tensor, canvas: int, size: int) -> Tensor:
    """1 where a canvas cell holds picture, 0 where it is padding; K x size x size.

    Args:
        sizes_K2: (height, width) of the picture on the canvas, in pixels of the canvas.
        canvas: side of the padded square, pixels.
        size: side of the result.
    """
    centre = (torch.arange(size, device=sizes_K2.device) + 0.5) * (canvas / size)
    rows = centre[None, :, None] < sizes_K2[:, 0, None, None]
    columns = centre[None, None, :] < sizes_K2[:, 1, None, None]
    return (rows & columns).float()
