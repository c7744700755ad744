"""The LVLM: see, think, point, draw.

Axis letters: B conversations, S sequence length, D trunk width, N image slots of the batch (ordered by conversation,
then place), U distinct images among them, Q query tokens, K [SEG] tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.utils import ModelOutput

from ..errors import CountMismatchError
from ..losses.language import IGNORE_INDEX, language_loss
from ..losses.mask import dice_loss, pixel_loss, resize_logits, valid_canvas
from .configuration import LlavaCorrConfig
from .grounding import Grounding, SegProjection
from .visual_tokens import QFormerTokens


@dataclass
class LossWeights:
    """Weights of the loss terms and the shape of the pixel loss (Calico section 3.5)."""

    language: float = 1.0
    mask: float = 2.0
    dice: float = 0.5
    focal_gamma: float = 2.0
    focal_alpha: float = 0.25


@dataclass
class LlavaCorrOutput(ModelOutput):
    """What one forward gives.

    Attributes:
        loss: weighted sum of the terms over their denominators.
        loss_sums: 3 sums: language over tokens, mask and dice over masks (detached).
        counts: 2 counts of this batch: trained tokens, masks.
        mask_logits: K x h x w on the padded square canvas.
        hidden_states: B x S x D after the trunk's final norm.
    """

    loss: Tensor | None = None
    loss_sums: Tensor | None = None
    counts: Tensor | None = None
    mask_logits: Tensor | None = None
    hidden_states: Tensor | None = None


class LlavaCorrForConditionalGeneration(PreTrainedModel):
    """Vision tower with Q-Former tokens, Llama-type trunk, [SEG] projection, SAM."""

    config_class = LlavaCorrConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer", "InstructBlipEncoderLayer", "SamVisionLayer"]  # noqa: RUF012

    def __init__(self, config: LlavaCorrConfig) -> None:
        super().__init__(config)
        self.visual_tokens = QFormerTokens(
            config.vision_config, config.qformer_config, config.num_query_tokens, config.hidden_size
        )
        self.trunk = LlamaForCausalLM._from_config(config.text_config)
        self.seg_projection = SegProjection(config.hidden_size, config.grounding_config.mask_decoder_config.hidden_size)
        self.grounding = Grounding(config.grounding_config)
        self.loss_weights = LossWeights()
        self.post_init()

    def train(self, mode: bool = True) -> LlavaCorrForConditionalGeneration:
        """As usual, but a part that is frozen stays in eval mode: its dropout is no part of training."""
        super().train(mode)
        for part in self.modules() if mode else ():
            parameters = list(part.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                part.eval()
        return self

    def get_input_embeddings(self) -> nn.Module:
        return self.trunk.get_input_embeddings()

    def see(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Patches U x P x E and visual tokens U x Q x D of uint8 pictures U x 3 x h x w."""
        return self.visual_tokens(_normalise(pixel_values, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD).to(self.dtype))

    def splice(self, input_ids: Tensor, tokens_NQD: Tensor) -> Tensor:
        """Text embeddings B x S x D with the visual tokens in the image positions.

        Raises:
            CountMismatchError: image positions and visual tokens differ in number.
        """
        embeddings = self.get_input_embeddings()(input_ids)
        places = input_ids == self.config.image_token_id
        tokens = tokens_NQD.reshape(-1, tokens_NQD.shape[-1])
        if int(places.sum()) != len(tokens):
            raise CountMismatchError(
                f"{int(places.sum())} image positions for {len(tokens)} visual tokens",
                mend="build batches with the processor: it expands every <image> to its tokens",
            )
        return embeddings.masked_scatter(places[..., None], tokens.to(embeddings.dtype))

    def encode_grounding(self, grounding_pixels: Tensor, grounding_sizes: Tensor) -> Tensor:
        """Grounding features of uint8 padded squares; padding is zero after the normalisation (facts 1.4)."""
        pixels = _normalise(grounding_pixels, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        side = pixels.shape[-1]
        inside = valid_canvas(grounding_sizes, side, side)[:, None]
        return self.grounding.encode((pixels * inside).to(self.dtype))

    def point_and_draw(
        self, hidden_BSD: Tensor, seg_positions: Tensor, seg_image: Tensor, features_UGhw: Tensor
    ) -> Tensor:
        """Mask logits K x h x w; the state one position before each [SEG] points (facts 0 row 5).

        Args:
            seg_positions: K x 2: conversation and position of each [SEG].
            seg_image: K: which of the U images its identifier names.
        """
        rows, columns = seg_positions.unbind(1)
        states_KD = hidden_BSD[rows, columns - 1]
        return self.grounding.decode(features_UGhw, self.seg_projection(states_KD), seg_image)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        image_index: Tensor,
        grounding_pixels: Tensor | None = None,
        grounding_sizes: Tensor | None = None,
        seg_positions: Tensor | None = None,
        seg_image: Tensor | None = None,
        image_owner: Tensor | None = None,
        labels: Tensor | None = None,
        mask_targets: Tensor | None = None,
        loss_denominators: Tensor | None = None,
    ) -> LlavaCorrOutput:
        """One pass over dialogues with their answers; without grounding pictures no mask is drawn and none counts.

        Args:
            input_ids, attention_mask: B x S, every <image> expanded to Q image tokens.
            pixel_values: U x 3 x h x w uint8, resized for the vision tower.
            image_index: N indexes into the U images, in the order of the slots.
            grounding_pixels: U x 3 x H x H uint8, longest side H, padded right and bottom; comes with the next three.
            grounding_sizes: U x 2: (height, width) of the picture on that square.
            seg_positions: K x 2: conversation and position of each trained [SEG], in order.
            seg_image: K indexes into the U images.
            image_owner: N: conversation of each slot.
            labels: B x S next-token targets, -100 where nothing is trained.
            mask_targets: K x M x M uint8, foreground share of each canvas cell times 255.
            loss_denominators: 2: tokens and masks of the whole optimiser step; this batch's own by default.
        """
        _, tokens_UQD = self.see(pixel_values)
        embeddings = self.splice(input_ids, tokens_UQD[image_index])
        hidden_BSD = self.trunk.model(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state
        output = LlavaCorrOutput(hidden_states=hidden_BSD)
        losses_of_masks, masks = (hidden_BSD.new_zeros(()), hidden_BSD.new_zeros(())), 0
        if grounding_pixels is not None:
            assert grounding_sizes is not None
            assert seg_positions is not None
            assert seg_image is not None
            features_UGhw = self.encode_grounding(grounding_pixels, grounding_sizes)
            mask_logits = self._draw_at_least_one(hidden_BSD, seg_positions, seg_image, features_UGhw)
            masks = len(seg_image)
            output.mask_logits = mask_logits[:masks]
            losses_of_masks = self._mask_losses(mask_logits, mask_targets, grounding_sizes[seg_image])
        if labels is None:
            return output
        trained = labels[:, 1:] != IGNORE_INDEX
        logits_TV = self.trunk.lm_head(hidden_BSD[:, :-1][trained])
        language, tokens = language_loss(logits_TV, labels[:, 1:][trained])
        counts = torch.stack([tokens, torch.tensor(masks, device=tokens.device)])
        return self._weigh(output, torch.stack([language, *losses_of_masks]), counts, loss_denominators)

    def _draw_at_least_one(
        self, hidden_BSD: Tensor, seg_positions: Tensor, seg_image: Tensor, features_UGhw: Tensor
    ) -> Tensor:
        """Every rank runs the decoder in every micro-batch: without any [SEG] it draws one mask that does not count."""
        if len(seg_positions) == 0:
            seg_positions, seg_image = seg_positions.new_tensor([[0, 1]]), seg_image.new_zeros(1)
        return self.point_and_draw(hidden_BSD, seg_positions, seg_image, features_UGhw)

    def _mask_losses(self, logits: Tensor, targets: Tensor | None, sizes_K2: Tensor) -> tuple[Tensor, Tensor]:
        if targets is None or len(targets) == 0:
            return logits.float().sum() * 0.0, logits.float().sum() * 0.0
        side = targets.shape[-1]
        logits, target = resize_logits(logits, side), targets.float() / 255
        canvas = self.config.grounding_config.vision_config.image_size
        valid = valid_canvas(sizes_K2, canvas, side)
        weights = self.loss_weights
        pixel = pixel_loss(logits, target, valid, gamma=weights.focal_gamma, alpha=weights.focal_alpha)
        return pixel, dice_loss(logits, target, valid)

    def _weigh(
        self, output: LlavaCorrOutput, sums: Tensor, counts: Tensor, denominators: Tensor | None
    ) -> LlavaCorrOutput:
        weights = self.loss_weights
        share = counts if denominators is None else denominators
        share = share.clamp(min=1)[[0, 1, 1]].to(sums.dtype)
        scale = sums.new_tensor([weights.language, weights.mask, weights.dice])
        output.loss = (scale * sums / share).sum()
        output.loss_sums, output.counts = sums.detach(), counts
        return output

    @torch.no_grad()
    def answer(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        image_index: Tensor,
        **generation: Any,
    ) -> Tensor:
        """Greedy answers B x T to left-padded questions, with the trunk's KV cache.

        Args:
            generation: for ``generate``: max_new_tokens, eos_token_id, pad_token_id, suppress_tokens, ...
        """
        _, tokens_UQD = self.see(pixel_values)
        return self.trunk.generate(
            inputs_embeds=self.splice(input_ids, tokens_UQD[image_index]),
            attention_mask=attention_mask,
            **({"do_sample": False} | generation),
        )


def _normalise(pixels_NCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pictures travel as uint8; the statistics are for the 0..1 scale."""
    mean_C, std_C = (torch.tensor(v, device=pixels_NCHW.device).view(1, 3, 1, 1) for v in (mean, std))
    return (pixels_NCHW.float() / 255 - mean_C) / std_C
