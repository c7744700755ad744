"""The official Calico release (``model_type: calico``): its names are not known here (facts 0 row 1; 9).

It was put together from GLaMM's code, LAVIS's or transformers' Q-Former and DINOv2, so names of these are looked for
below any attribute. What no rule knows is reported instead of refused, and rules of the user's own come first; trunk,
[SEG] projection, SAM and visual tokens must be whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ...errors import ConfigError
from ..configuration import LlavaCorrConfig
from . import dinov2, instructblip, lavis
from .glamm import FILLS, glamm_layout
from .layouts import Ignore, Layout, Rename, Rule

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


def calico_layout(config: LlavaCorrConfig, own: Sequence[Rule] = ()) -> Layout:
    """The layout for a composition; ``own`` rules come first."""
    tower = lavis.eva_layout(config.vision_config.num_hidden_layers)
    f_v = Rename(r"model\.mm_projector\.(weight|bias)", (r"visual_tokens.projection.\1",))
    semantic = [FUSED, *(Rename(theirs, (f"{dinov2.TOWER}{ours}",)) for theirs, ours in DINOV2)]
    rules = [
        *own,
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


def read_rules(path: Path) -> list[Rule]:
    """Rules of a user's own: a YAML list of {pattern, name} and {pattern, ignore}.

    Raises:
        ConfigError: no such file, or something in it that is no rule.
    """
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as cause:
        mend = "correct the path or the file"
        raise ConfigError(f"the rules cannot be read: {cause}", where=str(path), mend=mend) from cause
    rules = []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        try:
            rules.append(_rule(row))
        except (ValueError, re.error) as cause:
            where = f"{path}, rule {number}"
            raise ConfigError(f"no rule: {cause}", where=where, mend="{pattern: 'a\\.(.+)', name: 'b.\\1'}") from cause
    return rules


def _rule(row: Any) -> Rule:
    texts = isinstance(row, dict) and all(isinstance(value, str) for value in row.values())
    if not texts or set(row) not in ({"pattern", "name"}, {"pattern", "ignore"}):
        raise ValueError("it needs a pattern and either a name or what to ignore it for, all of them text")
    groups = re.compile(row["pattern"]).groups
    if "ignore" in row:
        return Ignore(row["pattern"], row["ignore"])
    if any(int(number) > groups for number in re.findall(r"\\(\d+)", row["name"])):
        raise ValueError(f"its pattern has {groups} groups, its name asks for more")
    return Rename(row["pattern"], (row["name"],))
