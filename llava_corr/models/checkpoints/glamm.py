"""GLaMM and LISA (facts 1.3 and 2): a Vicuna trunk, the [SEG] projection and SAM; CLIP is not in the files.

Both are one code base at two ages, with other names: SAM is ``grounding_encoder`` or ``visual_model``, GLaMM's
region encoder ``region_encoder`` or ``spi_module``. All names are taken, whichever file it is.

The names in GLaMM-GranD-Pretrained are known for a part only: its index is 3.9 kB longer than the one of the newer
models' names. The authors' fine-tuning starts from it and needs all of these, so that it must have about 40 more. SAM
and the [SEG] projection are found below any attribute all the same. A user may let the rest go unread
(``--allow-unread``), but for names that could be of weights that the model needs.
"""

from __future__ import annotations

from ..configuration import LlavaCorrConfig
from .layouts import Ignore, Layout, Rename, Rule
from .segment_anything import SAM, pixels, sam_rules

TRUNK: list[Rule] = [
    Rename(r"model\.(embed_tokens\.weight|norm\.weight)", (r"trunk.model.\1",)),
    Ignore(
        r"model\.layers\.\d+\.self_attn\.rotary_emb\.(?:inv_freq|cos_cached|sin_cached)",
        "made anew from the configuration",
    ),
    Rename(r"model\.(layers\.\d+\..+)", (r"trunk.model.\1",)),
    Rename(r"(lm_head\.weight)", (r"trunk.\1",)),
]
BELOW = r"model\.(?:\w+\.)*?"
NEEDED = (
    r"(?:^|[._])(?:image_encoder|prompt_encoder|mask_decoder|text_hidden_fcs|embed_tokens|lm_head|layers|norm|lora_[AB]"
    r"|mm_projector)"
)
FILLS = ("trunk.", "seg_projection.", SAM)


def glamm_layout(config: LlavaCorrConfig, title: str = "GLaMM") -> Layout:
    """The layout for a composition: without a Q-Former, the projection of the patches is taken, too."""
    rules: list[Rule] = [
        *TRUNK,
        Rename(rf"{BELOW}text_hidden_fcs\.0\.([02]\.(?:weight|bias))", (r"seg_projection.layers.\1",)),
        Ignore(r"model\.(?:region_encoder|spi_module)\..+", "regions are not asked about"),
        Ignore(r"model\.vision_tower\..+", "the CLIP tower comes by itself"),
        *sam_rules(BELOW),
        pixels(BELOW),
    ]
    patches = config.qformer_config is None
    if not patches:
        rules.append(Ignore(r"model\.mm_projector\..+", "images become tokens by a Q-Former"))
    elif config.projection == "mlp":
        rules.append(Rename(r"model\.mm_projector\.([02]\.(?:weight|bias))", (r"visual_tokens.projection.\1",)))
    else:
        rules.append(Rename(r"model\.mm_projector\.(weight|bias)", (r"visual_tokens.projection.\1",)))
    fills = [*FILLS, *(["visual_tokens.projection."] if patches else [])]
    return Layout(title, rules, fills, critical=NEEDED)


def lisa_layout(config: LlavaCorrConfig) -> Layout:
    """LISA's files differ in the rows of their vocabulary, and in a projection of one layer."""
    return glamm_layout(config, "LISA")


def vicuna_layout() -> Layout:
    """A Llama-type trunk by itself, as another base than GLaMM's; it gets rows for the grammar's tokens."""
    grown = [
        Rename(r"model\.embed_tokens\.weight", ("trunk.model.embed_tokens.weight",), grows=True),
        Rename(r"lm_head\.weight", ("trunk.lm_head.weight",), grows=True),
    ]
    return Layout("Vicuna", [*grown, *TRUNK], ["trunk."])
