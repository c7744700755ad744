"""Next-token cross-entropy as a sum and a count, so that the caller chooses the denominator (Calico eq. 10)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE_INDEX = -100


def language_loss(logits_TV: Tensor, targets_T: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies of T predicted tokens, and T.

    Args:
        logits_TV: T x vocabulary, only positions whose next token is trained.
        targets_T: the next tokens.
    """
    count = torch.tensor(targets_T.numel(), device=logits_TV.device)
    if targets_T.numel() == 0:
        return logits_TV.sum() * 0.0, count
    return F.cross_entropy(logits_TV.float(), targets_T, reduction="sum"), count
