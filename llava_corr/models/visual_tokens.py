"""From pixels to the visual tokens of the trunk: EVA-CLIP, Q-Former, projection (Calico eq. 1 and 2).

Axis letters: N images, P patches + CLS, E tower width, Q query tokens, D trunk width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import InstructBlipQFormerModel, InstructBlipVisionModel
from transformers.models.instructblip.configuration_instructblip import (
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
)


class QFormerTokens(nn.Module):
    """Q visual tokens per image.

    The Q-Former sees no text (facts 4.2): queries attend the patches only, so the text branch of InstructBLIP's
    checkpoint (word embeddings and text feed-forward layers) is left out.
    """

    def __init__(
        self,
        vision_config: InstructBlipVisionConfig,
        qformer_config: InstructBlipQFormerConfig,
        num_query_tokens: int,
        hidden_size: int,
    ) -> None:
        super().__init__()
        self.vision_model = InstructBlipVisionModel._from_config(vision_config)
        self.query_tokens = nn.Parameter(torch.empty(1, num_query_tokens, qformer_config.hidden_size).normal_(0, 0.02))
        self.qformer = InstructBlipQFormerModel._from_config(qformer_config)
        self.projection = nn.Linear(qformer_config.hidden_size, hidden_size)
        _drop_text_branch(self.qformer)

    def forward(self, pixels_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the patches N x P x E (CLS first) and the projected tokens N x Q x D."""
        patches_NPE = self.vision_model(pixel_values=pixels_NCHW).last_hidden_state
        queries = self.query_tokens.expand(len(patches_NPE), -1, -1)
        seen = self.qformer(input_ids=None, query_embeds=queries, encoder_hidden_states=patches_NPE)
        return patches_NPE, self.projection(seen.last_hidden_state)


def _drop_text_branch(qformer: Any) -> None:
    qformer.embeddings.word_embeddings = None
    qformer.embeddings.position_embeddings = None
    for layer in qformer.encoder.layer:
        layer.intermediate = None
        layer.output = None
