"""From pixels to the visual tokens of the trunk: tower, Q-Former or none, projection (Calico eq. 1 and 2).

Axis letters: N images, P patches + CLS, E tower width, Q tokens of an image, H Q-Former width, D trunk width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel, InstructBlipQFormerModel, InstructBlipVisionModel, PreTrainedModel

from .configuration import LlavaCorrConfig


def vision_class(config: LlavaCorrConfig) -> type[PreTrainedModel]:
    """Class of the vision tower."""
    return CLIPVisionModel if config.vision_config.model_type == "clip_vision_model" else InstructBlipVisionModel


class VisualTokens(nn.Module):
    """Vision tower and projection: every patch becomes a token (LISA, GLaMM)."""

    def __init__(self, config: LlavaCorrConfig, token_width: int | None = None) -> None:
        super().__init__()
        self.vision_model: Any = vision_class(config)._from_config(config.vision_config)
        self.feature_layer = config.vision_feature_layer
        width = token_width or config.vision_config.hidden_size
        self.projection = make_projection(config.projection, width, config.hidden_size)

    def look(self, pixels_NCHW: Tensor) -> Tensor:
        """Patches N x P x E, CLS first: the tower's output (EVA-CLIP's is normalised, CLIP's is not), or what goes into
        a layer further down."""
        if self.feature_layer == -1:
            return self.vision_model(pixel_values=pixels_NCHW).last_hidden_state
        seen: list[Tensor] = []  # asked for all hidden states, the tower would hold every layer's

        def note(_: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
            seen.append(args[0] if args else inputs["hidden_states"])

        after = self.vision_model.encoder.layers[self.feature_layer + 1]
        with after.register_forward_pre_hook(note, with_kwargs=True):
            self.vision_model(pixel_values=pixels_NCHW)
        return seen[0]

    def forward(self, patches_NPE: Tensor) -> Tensor:
        """Tokens N x Q x D of the first pass."""
        return self.projection(patches_NPE[:, 1:])

    def without_gradient(self) -> list[str]:
        """Beginnings of the names of parameters that no token depends on: layers above the features, and a last norm
        that the features do not pass (CLIP's is for its pooled output alone)."""
        layers = len(self.vision_model.encoder.layers)
        unused = [f"vision_model.encoder.layers.{n}." for n in range(layers + 1 + self.feature_layer, layers)]
        normed = self.feature_layer == -1 and not isinstance(self.vision_model, CLIPVisionModel)
        return unused if normed else [*unused, "vision_model.post_layernorm."]


class QFormerTokens(VisualTokens):
    """Vision tower, Q-Former and projection: Q tokens, however many patches there are.

    The Q-Former sees no text (facts 4.2): queries attend the patches only, so the text branch of InstructBLIP's
    checkpoint (word embeddings and text feed-forward layers) is left out.
    """

    def __init__(self, config: LlavaCorrConfig) -> None:
        assert config.qformer_config is not None
        width = config.qformer_config.hidden_size
        super().__init__(config, width)
        self.query_tokens = nn.Parameter(torch.empty(1, config.num_query_tokens, width).normal_(0, 0.02))
        self.qformer: Any = InstructBlipQFormerModel._from_config(config.qformer_config)
        _drop_text_branch(self.qformer)

    def forward(self, patches_NPE: Tensor, guidance_NH: Tensor | None = None, *, project: bool = True) -> Tensor:
        """Tokens N x Q x D, or Q-Former states N x Q x H.

        Args:
            guidance_NH: added to every query (Calico eq. 7); None in the first pass.
            project: apply f_V.
        """
        queries = self.query_tokens.expand(len(patches_NPE), -1, -1)
        if guidance_NH is not None:
            queries = queries + guidance_NH[:, None]
        seen = self.qformer(input_ids=None, query_embeds=queries, encoder_hidden_states=patches_NPE).last_hidden_state
        return self.projection(seen) if project else seen


def make_projection(kind: str, width: int, hidden_size: int) -> nn.Module:
    """f_V, from the width of a visual token into the trunk's: "linear", or "mlp" (Linear, GELU, Linear)."""
    if kind == "linear":
        return nn.Linear(width, hidden_size)
    return nn.Sequential(nn.Linear(width, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size))


def _drop_text_branch(qformer: Any) -> None:
    qformer.embeddings.word_embeddings = None
    qformer.embeddings.position_embeddings = None
    for layer in qformer.encoder.layer:
        layer.intermediate = None
        layer.output = None
