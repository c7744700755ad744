"""A random model made to answer in the grammar: layers that start at zero stirred, masks with edges, words its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from llava_corr.models.correspondence import ZeroLinear

# None is a word of the model's own choice; which plan an answer follows depends on its first word.
PLANS: tuple[tuple[str | None, ...], ...] = (
    (None, " <p>", None, " </p>", " [SEG]", " (IMAGE1)", " [SEG]", " (IMAGE2)", ".", None),
    (None, None, None, " <p>", None, None, " </p>", " [SEG]", " (IMAGE2)", " and", " <p>", None, " </p>", " [SEG]",
     " (IMAGE1)"),
    (None, " <p>", None, None, " </p>", " [SEG]", " (IMAGE1)"),
)  # fmt: skip


@torch.no_grad()
def stir(model: Any, seed: int = 0, gain: float = 4.0) -> Any:
    """CEM, CAMs, attention and decoder so that words and masks depend on the pictures and on the words before.

    Args:
        gain: of the weights of attention and decoder; 4 suits a model of width 32, 2 one of width 128.
    """
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, ZeroLinear):
            torch.nn.init.normal_(module.weight, std=0.3)
            torch.nn.init.normal_(module.bias, std=0.3)
    attentions = [layer.self_attn for layer in model.trunk.model.layers]
    for part in (model.seg_projection, model.grounding.sam.mask_decoder, *attentions):
        for parameter in part.parameters():
            if parameter.dim() > 1:
                parameter.mul_(gain)
    return model


class Planned(LogitsProcessor):
    """Forces the grammar of :data:`PLANS` and leaves the words to the model."""

    def __init__(self, tokenizer: Any, plans: Sequence[Sequence[str | None]] = PLANS) -> None:
        self.plans = [[t for piece in plan for t in _ids(tokenizer, piece)] for plan in plans]
        self.eos = tokenizer.eos_token_id
        self.special = torch.tensor(sorted({*tokenizer.all_special_ids, *_ids(tokenizer, "[SEG]<p></p><image>")}))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1]
        free = scores.index_fill(1, self.special.to(scores.device), -torch.inf)
        out = []
        for row, words in zip(input_ids.tolist(), free, strict=True):
            plan = self.plans[row[0] % len(self.plans)] if row else self.plans[0]
            wanted = plan[step] if step < len(plan) else self.eos
            only = torch.full_like(words, -torch.inf)
            out.append(words if wanted is None else only.index_fill(0, torch.tensor(wanted, device=words.device), 0.0))
        return torch.stack(out)


def planned(tokenizer: Any, plans: Sequence[Sequence[str | None]] = PLANS) -> LogitsProcessorList:
    """For ``model.answer(..., logits_processor=...)``."""
    return LogitsProcessorList([Planned(tokenizer, plans)])


def _ids(tokenizer: Any, piece: str | None) -> list[int | None]:
    return [None] if piece is None else tokenizer(piece, add_special_tokens=False)["input_ids"]
