"""Parameters and compute of a configuration, counted on the meta device: no weight is held, no number is a guess.

Axis letters as in ``modeling.py``. Reference: Calico's Table 4 and "29M trainable"; arithmetic in facts 5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..experiment import ExperimentConfig, ModelSection
from ..files import find_shipped
from .adapters import choose_trained
from .build import Vocabulary, build_config
from .checkpoints.model_folder import load_config
from .modeling import LlavaCorrForConditionalGeneration

TEXT_BRANCH = ("word and position embeddings, text feed-forward layers", 30523, 512)  # InstructBLIP's (facts 4.1)


@dataclass(frozen=True)
class Block:
    """A part of the model: its name, parameters, and how many of them are trained."""

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True)
class Sizes:
    """What a configuration amounts to.

    Attributes:
        blocks: parts that add up to the model, the adapter included.
        left_out: parameters of InstructBLIP's Q-Former that the release has and no token depends on.
        tokens_per_image: positions in the trunk.
        flops: by part, of one forward over one sample; a multiplication and an addition count as two.
        sample: what that sample is, in words.
    """

    blocks: Sequence[Block]
    left_out: int
    tokens_per_image: int
    flops: dict[str, int]
    sample: str

    @property
    def parameters(self) -> int:
        return sum(block.parameters for block in self.blocks)

    @property
    def trained(self) -> int:
        return sum(block.trained for block in self.blocks)

    def to_json(self) -> dict[str, Any]:
        return {
            "blocks": [vars(block) for block in self.blocks],
            "parameters": self.parameters,
            "parameters_with_text_branch": self.parameters + self.left_out,
            "trained": self.trained,
            "tokens_per_image": self.tokens_per_image,
            "teraflops": {name: _tera(value) for name, value in self.flops.items()},
            "teraflops_per_sample": _tera(sum(self.flops.values())),
            "sample": self.sample,
        }


def _tera(count: int) -> float:
    """To four digits: a tiny model has thousandths."""
    return float(f"{count / 1e12:.4g}")


def measure(config: ExperimentConfig, *, images: int = 2, text_tokens: int = 128, masks: int = 4) -> Sizes:
    """Counts an experiment's model as it is trained.

    Args:
        images, text_tokens, masks: of the sample whose forward is counted; text is question and answer together.
    """
    rows = vocabulary_rows(config.model)
    with torch.device("meta"):
        model = LlavaCorrForConditionalGeneration(build_config(config.model, Vocabulary.of_size(rows))).eval()
        flops = count_flops(model, images=images, text_tokens=text_tokens, masks=masks)
        lora = config.training.lora
        plain = lora.model_copy(update={"token_rows": ()}) if lora and lora.targets else None
        choose_trained(model, config.training.trainable, plain, masks=config.training.losses.draw)
    blocks = _blocks(model)
    if lora and lora.token_rows:
        trained_rows = 2 * len(lora.token_rows) * model.config.hidden_size
        blocks.append(Block("rows of special tokens", trained_rows, trained_rows))
    sample = f"{images} images, {text_tokens} text tokens, {masks} masks, one forward"
    return Sizes(blocks, _text_branch(model), model.config.tokens_per_image, flops, sample)


def vocabulary_rows(section: ModelSection) -> int:
    """Of the weights it starts from, where they are a folder; a tokenizer that is trained may turn out smaller than the
    size it is given.

    Raises:
        CheckpointError: the folder holds another kind of model.
    """
    if section.weights and Path(find_shipped(section.weights)).is_dir():
        return int(load_config(section.weights).text_config.vocab_size)
    return section.tokenizer.vocab_size


def _blocks(model: LlavaCorrForConditionalGeneration) -> list[Block]:
    named: dict[str, Callable[[str], bool]] = {
        "vision tower": lambda n: n.startswith("visual_tokens.vision_model."),
        "Q-Former": lambda n: n.startswith(("visual_tokens.qformer.", "visual_tokens.query_tokens")),
        "projection into the trunk (f_V)": lambda n: n.startswith("visual_tokens.projection."),
        "DINOv2": lambda n: n.startswith("correspondence.semantic_model."),
        "CEM cross-attention": lambda n: n.startswith("correspondence.attention."),
        "CAM linears": lambda n: n.startswith("adaptation."),
        "LoRA": lambda n: ".lora_" in n,
        "trunk": lambda n: n.startswith("trunk."),
        "[SEG] projection": lambda n: n.startswith("seg_projection."),
        "SAM encoder": lambda n: n.startswith("grounding.sam.vision_encoder."),
        "SAM mask decoder": lambda n: n.startswith("grounding.sam.mask_decoder."),
        "SAM prompt encoder, position code": lambda n: n.startswith("grounding."),
    }
    left = dict(model.named_parameters())
    blocks = []
    for name, belongs in named.items():
        mine = [left.pop(n) for n in list(left) if belongs(n)]
        if mine:
            trained = sum(p.numel() for p in mine if p.requires_grad)
            blocks.append(Block(name, sum(p.numel() for p in mine), trained))
    assert not left, sorted(left)
    return blocks


def _text_branch(model: LlavaCorrForConditionalGeneration) -> int:
    """Parameters of the Q-Former's text branch, which this model leaves out (facts 4.1: 80,522,496)."""
    qformer = model.config.qformer_config
    if qformer is None:
        return 0
    _, words, positions = TEXT_BRANCH
    width, inner = qformer.hidden_size, qformer.intermediate_size
    feed_forward = width * inner + inner + inner * width + width + 2 * width
    return (words + positions) * width + qformer.num_hidden_layers * feed_forward


@torch.no_grad()
def count_flops(
    model: LlavaCorrForConditionalGeneration, *, images: int, text_tokens: int, masks: int
) -> dict[str, int]:
    """Operations of one forward by part, for one sample; the model may lie on the meta device, and ends up frozen.

    Args:
        images: pictures, each seen once by every tower.
        text_tokens: tokens of question and answer.
        masks: [SEG]s.
    """
    model.requires_grad_(False)
    config = model.config
    device, dtype = next(model.parameters()).device, model.dtype

    def blank(*shape: int) -> Tensor:
        return torch.zeros(*shape, device=device, dtype=dtype)

    def pixels(side: int) -> Tensor:
        return torch.zeros(images, 3, side, side, device=device, dtype=torch.uint8)

    canvas = config.grounding_config.vision_config.image_size
    sizes = torch.full((images, 2), canvas, device=device)
    length = text_tokens + images * config.tokens_per_image
    counts: dict[str, int] = {}

    def count(name: str, part: Callable[[], Any]) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = part()
        counts[name] = counts.get(name, 0) + counter.get_total_flops()
        return result

    patches = count("vision tower", lambda: model.look(pixels(config.vision_config.image_size)))
    count("visual tokens", lambda: model.visual_tokens(patches))
    if hasattr(model, "correspondence"):
        semantic = count("DINOv2", lambda: model.look_for_meaning(pixels(config.semantic_size)))
        count("CEM", lambda: model.correspondence(patches, semantic))
    for layer in config.adaptation_layers:
        guides = blank(images, config.hidden_size)
        count("CAM", partial(model.enrich, layer, guides, patches))
    embeddings = blank(1, length, config.hidden_size)
    mask = blank(1, 1, length, length)  # given whole: the library's own looks at values, which meta tensors have not
    states = count(
        "trunk",
        lambda: model.trunk.model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False).last_hidden_state,
    )
    count("trunk", lambda: model.trunk.lm_head(states))
    features = count("SAM encoder", lambda: model.encode_grounding(pixels(canvas), sizes))
    prompts = count("[SEG] projection", lambda: model.seg_projection(blank(masks, config.hidden_size)))
    images_of = torch.zeros(masks, dtype=torch.long, device=device)
    count("SAM mask decoder", lambda: model.grounding.decode(features, prompts, images_of))
    return counts
