"""Pictures through a tower: normalised on the device, a few at a time, without a graph where the tower is frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers.integrations import is_deepspeed_zero3_enabled


def in_passes(tower: nn.Module, encode: Callable[..., Tensor], inputs: Sequence[Tensor], longest: int | None) -> Tensor:
    """``encode`` over the pictures, a few at a time; frozen towers keep no graph.

    Under ZeRO-3 every rank runs the same number of passes, since each gathers weights from all ranks.

    Args:
        tower: whose parameters say whether a graph is kept.
        inputs: of one length, the number of pictures.
        longest: pictures of a pass; None takes all at once.
    """
    count = len(inputs[0])
    longest = longest or count
    trained = any(p.requires_grad for p in tower.parameters())
    passes = -(-count // longest)
    most = _most_passes(passes, inputs[0])  # before the first pass: ranks must meet in one order
    with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
        found = [encode(*(x[k * longest : (k + 1) * longest] for x in inputs)) for k in range(passes)]
        idle = [encode(*(x[:1] for x in inputs)) for _ in range(most - passes)]
    whole = torch.cat(found) if passes > 1 else found[0]
    return whole + 0.0 * torch.cat(idle).sum() if idle and trained else whole


def _most_passes(passes: int, like: Tensor) -> int:
    """The most tower passes of any rank under ZeRO-3; elsewhere the rank's own."""
    if not (torch.distributed.is_initialized() and is_deepspeed_zero3_enabled()):
        return passes
    most = torch.tensor(passes, device=like.device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    return int(most)


def normalise(pixels_NCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pictures travel as uint8; the statistics are for the 0..1 scale."""
    mean_C, std_C = (torch.tensor(v, device=pixels_NCHW.device).view(1, 3, 1, 1) for v in (mean, std))
    return (pixels_NCHW.float() / 255 - mean_C) / std_C
