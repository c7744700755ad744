"""The official Calico release (``model_type: calico``): its names are not known here (facts 0 row 1; 9).

It was put together from GLaMM's code, LAVIS's or transformers' Q-Former and DINOv2, so names of these are looked for
below any attribute. What no rule knows is reported instead of refused; trunk, [SEG] projection, SAM and visual tokens
must be whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..configuration import LlavaCorrConfig
from . import dinov2, instructblip, lavis
from .glamm import FILLS, glamm_layout
from .layouts import Layout, Rename, Rule

ANYWHERE = r"(?:.+\.)?"
# transformers' own names of DINOv2, as its releases have them -> ours
DINOV2 = (
    (r"(embeddings\..+|layernorm\..+)", r"\1"),
    (r"(encoder\.layer\.\d+\.attention)\.attention\.query\.(.+)", r"\1.q_proj.\2"),
    (r"(encoder\.layer\.\d+\.attention)\.attention\.key\.(.+)", r"\1.k_proj.\2"),
    (r"(encoder\.layer\.\d+\.attention)\.attention\.value\.(.+)", r"\1.v_proj.\2"),
    (r"(encoder\.layer\.\d+\.attention)\.output\.dense\.(.+)", r"\1.o_proj.\2"),
    (r"(encoder\.layer\.\d+\.mlp)\.weights_out\.(.+)", r"\1.down_proj.\2"),
    (r"(encoder\.layer\.\d+\.(?:norm|layer_scale|mlp\.fc).+)", r"\1"),
)
FUSED = Rename(
    r"(encoder\.layer\.\d+\.mlp)\.weights_in\.(.+)",
    (rf"{dinov2.TOWER}\1.gate_proj.\2", rf"{dinov2.TOWER}\1.up_proj.\2"),
    split=True,
)


def calico_layout(config: LlavaCorrConfig) -> Layout:
    """The layout for a composition."""
    tower = lavis.eva_layout(config.vision_config.num_hidden_layers)
    f_v = Rename(r"model\.mm_projector\.(weight|bias)", (r"visual_tokens.projection.\1",))
    semantic = [FUSED, *(Rename(theirs, (f"{dinov2.TOWER}{ours}",)) for theirs, ours in DINOV2)]
    rules = [
        f_v,
        *glamm_layout(config).rules,
        *_below(rf"{ANYWHERE}(?:dino|semantic)\w*\.(?:model\.)?", [*dinov2.LAYOUT.rules, *semantic]),
        *_below(rf"{ANYWHERE}visual_encoder\.", tower.rules),
        *_below(ANYWHERE, lavis.QFORMER_LAYOUT.rules),
        *_below(
            ANYWHERE, (rule for rule in instructblip.LAYOUT.rules if not rule.pattern.startswith("language_model"))
        ),
    ]
    return Layout("Calico", rules, [*FILLS, "visual_tokens."], reports=True)


def _below(prefix: str, rules: Iterable[Rule]) -> list[Rule]:
    return [replace(rule, pattern=prefix + rule.pattern) for rule in rules]
