"""The LVLM: see, correspond, think, point, draw.

Axis letters: B conversations, S sequence length, D trunk width, N image slots of the batch (ordered by conversation,
then place), U distinct images among them, Q query tokens, K [SEG] tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.modeling_layers import GradientCheckpointingLayer

from ..errors import CountMismatchError
from ..losses.language import IGNORE_INDEX, language_loss
from ..losses.mask import dice_loss, pixel_loss, resize_logits, valid_canvas
from .configuration import LlavaCorrConfig
from .correspondence import CorrespondenceAdaptation, CorrespondenceExtraction, ImagePositions, Injection, ZeroLinear
from .grounding import Grounding, SegProjection
from .output import LlavaCorrOutput, LossWeights
from .passes import in_passes, normalise
from .trunks.vicuna import VicunaTrunk
from .visual_tokens import QFormerTokens, VisualTokens


class LlavaCorrForConditionalGeneration(PreTrainedModel):
    """Vision tower, visual tokens, CEM, CAMs, Llama-type trunk, [SEG] projection, SAM.

    Args:
        config: sizes and parts.
        whole: parts that ``from_pretrained`` reads in float32 when it is asked for 16 bits.

    Attributes:
        loss_weights: of the terms.
        max_images_per_tower_pass: longest run of pictures through a tower at once; None takes all.
    """

    config_class = LlavaCorrConfig
    config: LlavaCorrConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules = [  # noqa: RUF012
        "LlamaDecoderLayer", "InstructBlipEncoderLayer", "CLIPEncoderLayer", "Dinov2Layer", "SamVisionLayer",
    ]  # fmt: skip

    def __init__(self, config: LlavaCorrConfig, whole: Iterable[str] = ()) -> None:
        super().__init__(config)
        self._keep_in_fp32_modules_strict = {*(self._keep_in_fp32_modules_strict or ()), *whole}
        self.visual_tokens = VisualTokens(config) if config.qformer_config is None else QFormerTokens(config)
        if config.semantic_config is not None:
            self.correspondence = CorrespondenceExtraction(config)
        if config.adaptation_layers:
            self.adaptation = nn.ModuleDict(
                {str(n): CorrespondenceAdaptation(config) for n in config.adaptation_layers}
            )
        self.trunk = VicunaTrunk._from_config(config.text_config)
        self.seg_projection = SegProjection(config.hidden_size, config.grounding_config.mask_decoder_config.hidden_size)
        self.grounding = Grounding(config.grounding_config)
        self.loss_weights = LossWeights()
        self.max_images_per_tower_pass: int | None = None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ZeroLinear):
            for parameter in module.parameters(recurse=False):
                if not getattr(parameter, "_is_hf_initialized", False):
                    parameter.zero_()

    def train(self, mode: bool = True) -> LlavaCorrForConditionalGeneration:
        """As usual, but a part that is frozen stays in eval mode: its dropout is no part of training.

        transformers recomputes activations only in layers in train mode. Where gradient checkpointing is on, the layers
        that gradients pass on their way to what is trained are so, frozen or not; what is inside them, and with it
        their dropout, is not.
        """
        super().train(mode)
        if mode:
            if _rest_frozen(self) is False:
                self.eval()
            for part in (self.trunk, getattr(self.visual_tokens, "qformer", None)):
                for module in part.modules() if part is not None else ():
                    if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
                        module.training = True
        return self

    def get_input_embeddings(self) -> nn.Module:
        return self.trunk.get_input_embeddings()

    def parameters_without_gradient(self) -> list[str]:
        """Beginnings of the names of parameters that no loss depends on: nothing can train them."""
        names = [f"visual_tokens.{name}" for name in self.visual_tokens.without_gradient()]
        if hasattr(self, "correspondence"):
            names.append("correspondence.semantic_model.embeddings.mask_token")
        return [*names, *(f"grounding.{name}" for name in self.grounding.without_gradient())]

    # ---- pictures ----------------------------------------------------------------------------------------------------

    def look(self, pixel_values: Tensor) -> Tensor:
        """Patches U x P x E of uint8 pictures U x 3 x h x w, CLS first."""
        tower = self.visual_tokens

        def encode(pixels: Tensor) -> Tensor:
            return tower.look(normalise(pixels, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD).to(self.dtype))

        return self._in_passes(tower.vision_model, encode, pixel_values)

    def look_for_meaning(self, semantic_pixels: Tensor) -> Tensor:
        """DINOv2 patches U x M x d of uint8 pictures."""
        tower = self.correspondence

        def encode(pixels: Tensor) -> Tensor:
            return tower.look(normalise(pixels, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD).to(self.dtype))

        return self._in_passes(tower.semantic_model, encode, semantic_pixels)

    def encode_grounding(self, grounding_pixels: Tensor, grounding_sizes: Tensor) -> Tensor:
        """Grounding features of uint8 padded squares; padding is zero after the normalisation (facts 1.4)."""

        def encode(pixels: Tensor, sizes: Tensor) -> Tensor:
            side = pixels.shape[-1]
            inside = valid_canvas(sizes, side, side)[:, None]
            normal = normalise(pixels, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
            return self.grounding.encode((normal * inside).to(self.dtype))

        return self._in_passes(self.grounding.sam.vision_encoder, encode, grounding_pixels, grounding_sizes)

    def features(
        self,
        pixel_values: Tensor | None = None,
        semantic_pixels: Tensor | None = None,
        grounding_pixels: Tensor | None = None,
        grounding_sizes: Tensor | None = None,
        patches: Tensor | None = None,
        semantic: Tensor | None = None,
        grounding_features: Tensor | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """What the image towers make of a batch's pictures; goes into ``forward`` and ``answer`` in their place.

        A tower whose features are given is not run.
        """
        given = {"patches": patches, "semantic": semantic, "grounding_features": grounding_features}
        found = {name: value.to(self.dtype) for name, value in given.items() if value is not None}
        if patches is None:
            assert pixel_values is not None
            found["patches"] = self.look(pixel_values)
        if semantic is None and hasattr(self, "correspondence"):
            pixels = pixel_values if semantic_pixels is None else semantic_pixels
            assert pixels is not None
            found["semantic"] = self.look_for_meaning(pixels)
        if grounding_features is None and grounding_pixels is not None:
            assert grounding_sizes is not None
            found["grounding_features"] = self.encode_grounding(grounding_pixels, grounding_sizes)
        return found

    def _in_passes(self, tower: nn.Module, encode: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        return in_passes(tower, encode, inputs, self.max_images_per_tower_pass)

    # ---- language ----------------------------------------------------------------------------------------------------

    def splice(self, input_ids: Tensor, tokens_NQD: Tensor) -> Tensor:
        """Text embeddings B x S x D with the visual tokens in the image positions.

        Raises:
            CountMismatchError: image positions and visual tokens differ in number.
        """
        places = input_ids == self.config.image_token_id
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(places, 0))  # <image> may have no row
        tokens = tokens_NQD.reshape(-1, tokens_NQD.shape[-1])
        if int(places.sum()) != len(tokens):
            raise CountMismatchError(
                f"{int(places.sum())} image positions for {len(tokens)} visual tokens",
                mend="build batches with the processor: it expands every <image> to its tokens",
            )
        return embeddings.masked_scatter(places[..., None], tokens.to(embeddings.dtype))

    def prompt(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        patches: Tensor,
        semantic: Tensor | None,
        image_index: Tensor,
        image_owner: Tensor,
        guide_positions: Tensor,
    ) -> dict[str, Any]:
        """The trunk's inputs: text with visual tokens, positions that padding does not shift, the CAMs' injection."""
        tokens_UQD = self.visual_tokens(patches)
        embeddings = self.splice(input_ids, tokens_UQD[image_index])
        if len(image_index) == 0:  # every rank runs every module: the stand-in picture of an image-less batch
            embeddings = embeddings + 0.0 * tokens_UQD.sum().to(embeddings.dtype)
        inputs = {
            "inputs_embeds": embeddings,
            "attention_mask": attention_mask,
            "position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0),
        }
        if not self.config.adaptation_layers:
            return inputs
        places = input_ids == self.config.image_token_id
        positions = ImagePositions(places, guide_positions, image_index, image_owner)
        rich_UPE = self.correspondence(patches, semantic) if hasattr(self, "correspondence") else patches

        def enrich(layer: int, guides_ND: Tensor, image_N: Tensor) -> Tensor:
            return self.enrich(layer, guides_ND, rich_UPE[image_N])

        return inputs | {"injection": Injection(positions, self.config.adaptation_layers, enrich)}

    def enrich(self, layer: int, guides_ND: Tensor, patches_NPE: Tensor) -> Tensor:
        """Tokens N x Q x D that the CAM before ``layer`` adds: W2 QFormer(Q + W1 h, patches) (Calico eq. 7 to 9).

        By configuration W2 QFormer(Q, patches), or W2 W1 h at every position of the image.
        """
        cam: Any = self.adaptation[str(layer)]
        guidance = cam.guidance(guides_ND) if cam.guidance is not None else None
        if not self.config.adaptation_requery:
            return cam.output(guidance)[:, None].expand(-1, self.config.tokens_per_image, -1)
        return cam.output(self.visual_tokens(patches_NPE, guidance, project=False))

    # ---- masks -------------------------------------------------------------------------------------------------------

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
        guide_positions: Tensor,
        image_index: Tensor,
        image_owner: Tensor,
        pixel_values: Tensor | None = None,
        semantic_pixels: Tensor | None = None,
        grounding_pixels: Tensor | None = None,
        patches: Tensor | None = None,
        semantic: Tensor | None = None,
        grounding_features: Tensor | None = None,
        grounding_sizes: Tensor | None = None,
        seg_positions: Tensor | None = None,
        seg_image: Tensor | None = None,
        labels: Tensor | None = None,
        mask_targets: Tensor | None = None,
        loss_denominators: Tensor | None = None,
    ) -> LlavaCorrOutput:
        """One pass over dialogues with their answers; without grounding pictures no mask is drawn and none counts.

        Args:
            input_ids, attention_mask: B x S, every <image> expanded to Q image tokens.
            guide_positions: B: the last token before each dialogue's first answer.
            image_index: N indexes into the U images, in the order of the slots.
            image_owner: N: conversation of each slot.
            pixel_values: U x 3 x h x w uint8, resized for the vision tower; a batch without images has a stand-in.
            semantic_pixels: U x 3 x h x w uint8 for DINOv2, where its size is another.
            grounding_pixels: U x 3 x H x H uint8, longest side H, padded right and bottom.
            patches, semantic, grounding_features: what :meth:`features` made of the pictures, now or earlier, in the
                place of the first, second and third of these; each for itself.
            grounding_sizes: U x 2: (height, width) of the picture on the grounding square; comes with the next two.
            seg_positions: K x 2: conversation and position of each trained [SEG], in order.
            seg_image: K indexes into the U images.
            labels: B x S next-token targets, -100 where nothing is trained.
            mask_targets: K x M x M uint8, foreground share of each canvas cell times 255.
            loss_denominators: 2: tokens and masks of the whole optimiser step; this batch's own by default.
        """
        seen = self.features(
            pixel_values, semantic_pixels, grounding_pixels, grounding_sizes, patches, semantic, grounding_features
        )
        patches, semantic, grounding_features = (seen.get(k) for k in ("patches", "semantic", "grounding_features"))
        assert patches is not None
        inputs = self.prompt(input_ids, attention_mask, patches, semantic, image_index, image_owner, guide_positions)
        hidden_BSD = self.trunk.model(**inputs, use_cache=False).last_hidden_state
        output = LlavaCorrOutput(hidden_states=hidden_BSD)
        losses_of_masks, masks = (hidden_BSD.new_zeros(()), hidden_BSD.new_zeros(())), 0
        if grounding_features is not None:
            assert grounding_sizes is not None
            assert seg_positions is not None
            assert seg_image is not None
            mask_logits = self._draw_at_least_one(hidden_BSD, seg_positions, seg_image, grounding_features)
            masks = len(seg_image)
            output.mask_logits = mask_logits[:masks]
            losses_of_masks = self._mask_losses(mask_logits, mask_targets, grounding_sizes[seg_image])
        return output if labels is None else self._train(output, labels, losses_of_masks, masks, loss_denominators)

    def _train(
        self,
        output: LlavaCorrOutput,
        labels: Tensor,
        losses_of_masks: tuple[Tensor, Tensor],
        masks: int,
        denominators: Tensor | None,
    ) -> LlavaCorrOutput:
        """Adds the losses: only positions whose next token is trained go through the output layer."""
        assert output.hidden_states is not None
        trained = labels[:, 1:] != IGNORE_INDEX
        logits_TV = self.trunk.lm_head(output.hidden_states[:, :-1][trained])
        language, tokens = language_loss(logits_TV, labels[:, 1:][trained])
        counts = torch.stack([tokens, torch.tensor(masks, device=tokens.device)])
        return self._weigh(output, torch.stack([language, *losses_of_masks]), counts, denominators)

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
        guide_positions: Tensor,
        image_index: Tensor,
        image_owner: Tensor,
        patches: Tensor,
        semantic: Tensor | None = None,
        **generation: Any,
    ) -> Tensor:
        """Answers B x T to left-padded questions, with the trunk's KV cache; greedy unless told otherwise.

        Args:
            patches, semantic: of :meth:`features`; the rest as in :meth:`forward`.
            generation: for ``generate``: max_new_tokens, eos_token_id, num_beams, do_sample, suppress_tokens, ...
        """
        inputs = self.prompt(input_ids, attention_mask, patches, semantic, image_index, image_owner, guide_positions)
        return self.trunk.generate(**inputs, **({"do_sample": False} | generation))


def _rest_frozen(module: nn.Module) -> bool | None:
    """Puts frozen sub-trees in eval mode, in one pass over the modules.

    Returns:
        Whether any parameter in ``module`` is trained; None where it has none.
    """
    below = {child: _rest_frozen(child) for child in module.children()}
    own = [p.requires_grad for p in module.parameters(recurse=False)]
    found = [*own, *(trained for trained in below.values() if trained is not None)]
    if any(found):
        for child, trained in below.items():
            if trained is False:
                child.eval()
        return True
    return False if found else None
