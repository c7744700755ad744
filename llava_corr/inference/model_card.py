"""The README.md of an exported model: what it is, what it was trained from, how it scored, how it is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..experiment import ExperimentConfig
from ..models.configuration import LlavaCorrConfig
from ..report.scores_file import ScoresFile

ABOUT = (
    "A vision-language model that names what several images share, or what sets them apart, and draws every object or "
    "part it names. Written by `llava-corr export`: one whole model, adapters merged in."
)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def write_card(
    model: LlavaCorrConfig,
    experiment: ExperimentConfig,
    facts: Mapping[str, Any],
    *,
    parameters: int,
    dtype: str,
    base: Mapping[str, str] | None = None,
    scores: ScoresFile | None = None,
) -> str:
    """Markdown, with the header that the hub reads. Of paths only the last part is shown.

    Args:
        facts: the run's ``run.json``.
        parameters: of the merged model.
        dtype: what its weights are saved in.
        base: path and fingerprint of the weights that the run's trained parts were merged into.
        scores: of a prediction file of this model.
    """
    lines = ["---", "library_name: transformers", "pipeline_tag: image-text-to-text",
             "tags: [llava_corr, multi-image, co-segmentation, part-segmentation]"]  # fmt: skip
    if base and HUB_ID.fullmatch(base["path"]):
        lines.append(f"base_model: {base['path']}")
    lines += ["---", "", f"# {experiment.name}", "", ABOUT, ""]
    lines += [*_table("part", "is", _composition(model)), ""]
    lines += [*_table("training", "was", _training(experiment, facts, parameters, dtype, base)), ""]
    if scores is not None:
        lines += [*_scores(scores), ""]
    return "\n".join([*lines, *_usage(), ""])


def _composition(model: LlavaCorrConfig) -> list[tuple[str, str]]:
    vision, trunk, sam = model.vision_config, model.text_config, model.grounding_config.vision_config
    qformer, semantic = model.qformer_config, model.semantic_config
    return [
        ("vision tower", f"{vision.model_type}, {_depth(vision)}, {vision.image_size} px"),
        ("visual tokens", f"{model.tokens_per_image} per image, {'Q-Former' if qformer else 'one per patch'}"),
        ("correspondence extraction", f"{semantic.model_type}, {_depth(semantic)}" if semantic else "none"),
        ("correspondence adaptation", _adaptation(model)),
        ("trunk", f"{trunk.model_type}, {_depth(trunk)}, {trunk.vocab_size} tokens"),
        ("grounding", f"{model.grounding_config.model_type}, {_depth(sam)}, {sam.image_size} px"),
    ]


def _depth(config: Any) -> str:
    return f"{config.num_hidden_layers} layers of width {config.hidden_size}"


def _adaptation(model: LlavaCorrConfig) -> str:
    if not model.adaptation_layers:
        return "none"
    left_out = [f"no {name}" for name, there in (("guidance", model.adaptation_guidance),
                                                  ("requery", model.adaptation_requery)) if not there]  # fmt: skip
    return ", ".join([f"before layers {' and '.join(map(str, model.adaptation_layers))}", *left_out])


def _training(
    experiment: ExperimentConfig, facts: Mapping[str, Any], parameters: int, dtype: str, base: Mapping[str, str] | None
) -> list[tuple[str, str]]:
    training = experiment.training
    adapter = []
    if training.lora and training.lora.targets:
        adapter.append(f"LoRA of rank {training.lora.rank} on {', '.join(training.lora.targets)}")
    if training.lora and training.lora.token_rows:
        adapter.append(f"rows of {' '.join(f'`{token}`' for token in training.lora.token_rows)}")
    versions, ranks = facts.get("versions") or {}, facts.get("world_size", 1)
    per_step = training.batch_size * training.gradient_accumulation * ranks
    named = [f"{name} {versions[name]}" for name in ("torch", "transformers", "peft") if name in versions]
    return [
        ("weights", f"{parameters:,} parameters, {dtype}"),
        ("trained parts", "; ".join([*adapter, *training.trainable])),
        ("base", f"{_shown(base['path'])}, fingerprint {base['fingerprint'][:12]}" if base else _start(experiment)),
        ("data", Path(experiment.data.train).name + (" (blind: grey pictures)" if experiment.data.blind else "")),
        ("steps", f"{facts.get('steps', 'unknown')} of {per_step} dialogues, seed {experiment.seed}"),
        ("commit", str(facts.get("commit") or "unknown")),
        ("versions", ", ".join(named)),
    ]


def _start(experiment: ExperimentConfig) -> str:
    weights = experiment.model.weights
    return f"{_shown(weights)}, all of it trained" if weights else "none: from scratch"


def _shown(path: str) -> str:
    """A hub id, or the end of a local path: the rest is nobody's business."""
    return path if HUB_ID.fullmatch(path) else "/".join(Path(path).parts[-2:])


def _scores(scores: ScoresFile) -> list[str]:
    """Task by headline score, 95 % intervals in brackets."""
    kinds = scores.metric_kinds()
    names = list(dict.fromkeys(name for column in scores.columns.values() for name in column))
    names = [n for n in ("AP50", "mIoU", "Recall", "SS", "S-IoU", "mIoU_strict") if n in names] or names[:6]
    lines = [f"Scores of `{scores.name}` on {Path(scores.samples.path).name}, 95 % intervals over samples:", ""]
    lines += [f"| task | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for task, column in scores.columns.items():
        cells = []
        for name in names:
            score, scale = column.get(name), 100 if name in kinds and kinds[name].percent else 1
            if score is None:
                cells.append("")
                continue
            low_high = f" [{score.interval[0] * scale:.1f}, {score.interval[1] * scale:.1f}]" if score.interval else ""
            cells.append(f"{score.value * scale:.1f}{low_high}")
        lines.append(f"| {task.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def _table(left: str, right: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"| {left} | {right} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _usage() -> list[str]:
    return [
        "```python",
        "from llava_corr.inference.predictor import Predictor",
        "",
        'predictor = Predictor.from_pretrained("this folder, or its id on the hub")',
        'predictor.set_images(["a.jpg", "b.jpg"])',
        'print(predictor.ask("Please segment the common parts of the objects.").text)',
        "```",
    ]
