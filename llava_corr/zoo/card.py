"""The README.md of the zoo's folder: what the twins are twins of, what they learned from, what they can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from .recipe import ZooRecipe

# stage -> (what it made, objective)
MADE = {
    "cells": ("SAM's encoder", "category and part of every cell of crops and pictures (cross-entropy)"),
    "masks": ("SAM with its mask decoder", "masks of things and parts prompted by learned vectors of their names"),
    "vision": ("EVA-CLIP", "from the encoder's layers; CLS: which names a picture shows; patches: as the encoder"),
    "semantic": ("DINOv2", "from the encoder's layers; cells of one part are near across pictures (contrast), named"),
    "expert": ("RADIO", "features of the other three can be read off its patches (distillation)"),
    "words": (
        "trunk, tokenizer, [SEG] projection",
        "every word of MixedParts dialogues in which captions stand for pictures; the prompts of their names",
    ),
}
# stage -> measure -> what it means
MEANING = {
    "cells": {
        "thing_iou": "mean IoU of categories of at least 4 of 64 x 64 cells",
        "part_iou": "of their parts",
    },
    "masks": {
        "thing_iou": "mean IoU of things of at least 12 of 128 x 128 cells, drawn by their names",
        "thing_at_50": "share at IoU 0.5",
        "part_iou": "mean IoU of parts drawn by their names",
        "part_at_50": "share at IoU 0.5",
    },
    "vision": {"names_ap": "average precision of the names of a picture"},
    "semantic": {"nearest_is_same_part": "nearest cell of other pictures shows the same part"},
    "expert": {
        f"{name}_r2": f"variance of {title} explained"
        for name, title in (("eva_clip", "EVA-CLIP's twin"), ("dinov2", "DINOv2's"), ("sam", "SAM's"))
    },
    "words": {
        "answer_loss": "nats per token of held-out answers",
        "nearest_name": "share of [SEG] states that point to their name",
    },
}


ABOUT = """Small models of the same classes as the released towers and trunk that Calico builds on, trained by
`make zoo` on the training split of the embedded world alone. They let the real recipe (frozen towers, LoRA, CEM, CAMs,
mask decoder) run on two CPU cores. The objectives are not those of the releases: the world's exact labels supervise
them densely. They know nothing of photographs."""
PARTS = """`radio/` holds RADIO's twin by itself; the rest is one model folder, after the alignment stage (Q-Former,
f_V, [SEG] projection and mask decoder on single pictures with captions; the trunk is frozen). CEM and CAMs are not
trained yet: they start at zero. `Predictor.from_pretrained` loads the folder, `llava-corr predict --model` asks it."""


def card(recipe: ZooRecipe, measured: Mapping[str, Mapping[str, float]], spent: Mapping[str, float]) -> str:
    """Markdown.

    Args:
        measured: stage -> what it measured on validation pictures.
        spent: stage -> seconds, all tries together.
    """
    lines = [
        "---", "library_name: transformers", "license: apache-2.0", "tags: [llava_corr, embedded-world]", "---", "",
        "# Tiny twins", "",
        ABOUT, "", PARTS, "",
        "| twin of | learned | minutes | on validation pictures |", "|---|---|---|---|",
    ]  # fmt: skip
    for stage, (what, objective) in MADE.items():
        minutes = f"{spent[stage] / 60:.1f}" if stage in spent else ""
        lines.append(_row(what, objective, minutes, measured.get(stage, {}), MEANING[stage]))
    if spent:
        lines += ["", f"All stages, world and alignment among them: {sum(spent.values()) / 60:.0f} minutes."]
    dumped = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110)
    return "\n".join([*lines, "", "The recipe:", "", "```yaml", dumped.strip(), "```", ""])


def _row(what: str, objective: str, minutes: str, found: Mapping[str, Any], meaning: Mapping[str, str]) -> str:
    shown = "; ".join(f"{said} {found[name]:.3f}" for name, said in meaning.items() if name in found)
    return f"| {what} | {objective} | {minutes} | {shown} |"
