"""From [SEG] states to masks: the [SEG] projection and SAM (Calico eq. 3; facts 1.5).

Axis letters: U distinct images, K masks, D trunk width, G prompt width, H W sides of the mask logits.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import SamConfig, SamModel


class SegProjection(nn.Module):
    """Linear, ReLU, Linear: D -> D -> G (GLaMM's ``text_hidden_fcs``)."""

    def __init__(self, hidden_size: int, prompt_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, prompt_size))

    def forward(self, states_KD: Tensor) -> Tensor:
        return self.layers(states_KD)


class Grounding(nn.Module):
    """SAM with [SEG] vectors in place of points and boxes."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.sam = SamModel._from_config(config)
        # transformers asks only a model's direct children for tied weights; SAM, with its position code, lies deeper
        self.all_tied_weights_keys = {f"sam.{k}": f"sam.{v}" for k, v in self.sam.all_tied_weights_keys.items()}

    def without_gradient(self) -> list[str]:
        """Parameters that no mask depends on: points, boxes and masks never prompt."""
        prompts = ("point_embed", "not_a_point_embed", "mask_embed", "shared_embedding")
        return [*(f"sam.prompt_encoder.{name}" for name in prompts), "sam.shared_image_embedding"]

    def encode(self, pixels_UCHW: Tensor) -> Tensor:
        """Grounding features U x G x h x w of the padded square pictures."""
        return self.sam.vision_encoder(pixels_UCHW).last_hidden_state

    def decode(self, features_UGhw: Tensor, prompts_KG: Tensor, image_of_K: Tensor) -> Tensor:
        """Mask logits K x H x W of all masks of the batch in one decoder call; masks do not see one another.

        Only mask token 0 is decoded (facts 1.5); the IoU head, which has no loss, is touched at weight 0, so that every
        parameter of the decoder gets a gradient on every rank.

        Args:
            features_UGhw: what :meth:`encode` returned.
            prompts_KG: projected [SEG] states.
            image_of_K: which of the U images each mask lies in.
        """
        features = features_UGhw[image_of_K]
        position = self.sam.get_image_wide_positional_embeddings().to(features.dtype)
        no_mask = self.sam.prompt_encoder.no_mask_embed
        dense = no_mask(image_of_K.new_zeros(1)).reshape(1, -1, 1, 1)
        logits, quality = self.sam.mask_decoder(
            image_embeddings=features,
            image_positional_embeddings=position.expand(len(features), -1, -1, -1),
            sparse_prompt_embeddings=prompts_KG[:, None, None],
            dense_prompt_embeddings=dense.expand(len(features), -1, *features.shape[-2:]),
            multimask_output=False,
        )
        return logits[:, 0, 0] + 0.0 * quality.sum().to(logits.dtype)
