"""Small drawn data for the report's tests: image pairs of simple figures with exact part masks, truths, predictions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from llava_corr.benchmarks.anatomy import DEFINITIONS, NAME_RULES
from llava_corr.benchmarks.anatomy_facts import MEANING, Knowledge
from llava_corr.benchmarks.anatomy_tables import cell_to_json, cross_tabulate, fates, named_first, row_to_json
from llava_corr.grammar import build_question, ground, join_words, normalise_label, parse_answer, with_determiner
from llava_corr.records import ImageRef, Mask, Prediction, Sample, Score, Segment, Target, Turn
from llava_corr.report.anatomy_file import AnatomyFile

SIDE = 128
FIGURES = {  # part name -> boxes in a 100 x 100 frame; drawn in order, later over earlier
    "dog": {"body": [(25, 40, 70, 65)], "head": [(62, 22, 88, 46)], "leg": [(28, 62, 36, 90), (58, 62, 66, 90)]},
    "mug": {"body": [(25, 30, 65, 80)], "rim": [(25, 26, 65, 34)], "handle": [(62, 40, 82, 66)]},
    "chair": {"seat": [(25, 50, 70, 60)], "back": [(25, 15, 33, 52)], "leg": [(26, 60, 32, 90), (62, 60, 68, 90)]},
}
SOURCES = ("pacolvis", "partimagenet", "ade20k")
TASKS = ("common_objects", "common_parts", "unique_parts")


def figure(name: str, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pixels and part masks of one figure at a random place and size on a plain ground."""
    scale, dx, dy = rng.uniform(0.8, 1.1) * SIDE / 100, rng.uniform(-12, 8), rng.uniform(-6, 6)
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = rng.integers(120, 220, 3)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    masks: dict[str, np.ndarray] = {}
    for part, boxes in FIGURES[name].items():
        canvas = Image.new("1", (SIDE, SIDE))
        for x0, y0, x1, y1 in boxes:
            frame = [(x0 + dx) * scale, (y0 + dy) * scale, (x1 + dx) * scale, (y1 + dy) * scale]
            ImageDraw.Draw(canvas).ellipse(frame, fill=1) if part in ("body", "head") else ImageDraw.Draw(
                canvas
            ).rectangle(frame, fill=1)
        mask = np.asarray(canvas)
        masks = {other: m & ~mask for other, m in masks.items()}
        masks[part] = mask
        image[mask] = rng.integers(20, 200, 3)
    return image, masks


def shifted(mask: np.ndarray, by: int) -> np.ndarray:
    return np.roll(mask, by, axis=1)


def make_pair(folder: Path, index: int, task: str, source: str, seed: int = 0) -> tuple[Sample, Prediction]:
    """One sample with its images on disk, and a prediction that errs a little (every fourth one a lot)."""
    rng = np.random.default_rng([seed, index])
    names = ["dog", "dog"] if task == "common_objects" else [("dog", "chair"), ("mug", "chair")][index % 2]
    folder.mkdir(parents=True, exist_ok=True)
    images, drawn = [], []
    for k, name in enumerate(names):
        pixels, masks = figure(name, rng)
        path = folder / f"{task}_{source}_{index}_{k}.png"
        Image.fromarray(pixels).save(path)
        images.append(ImageRef(path=str(path), height=SIDE, width=SIDE))
        drawn.append(masks)
    objects = [(name, k, np.any(list(drawn[k].values()), axis=0), "object") for k, name in enumerate(names)]
    shared = set(drawn[0]) & set(drawn[1])
    parts = [
        (part, k, mask, "common" if part in shared else "unique")
        for k in range(2)
        for part, mask in drawn[k].items()
        if (part in shared) == (task == "common_parts") and mask.any()
    ]
    if task == "common_objects" and index % 5 == 4:
        objects = []  # a pair with nothing in common
    wanted = objects if task == "common_objects" else objects + parts
    answer = "The images show " + join_words([ground(with_determiner(n), [k]) for n, k, _, _ in objects]) + "."
    if not objects:
        answer = "The images have no object in common."
    if task != "common_objects":
        kind = "common" if task == "common_parts" else "unique"
        listed = join_words([ground(with_determiner(n), [k]) for n, k, _, _ in parts])
        answer += f" The {kind} parts are {listed}." if parts else f" There are no {kind} parts."
    sample = Sample(
        id=f"{task}/{source}/{index}",
        split="test",
        source=source,
        task=task,
        images=tuple(images),
        turns=(Turn(user=build_question(2, f"What are the {task.replace('_', ' ')}?"), assistant=answer),),
        targets=tuple(
            Target(phrase=with_determiner(n), image_index=k, mask=Mask.from_array(m), turn=0, role=role)
            for n, k, m, role in wanted
        ),
        categories=tuple(sorted(set(names))),
    )
    return sample, predict(sample, off=12 if index % 4 == 3 else 3)


def predict(sample: Sample, off: int) -> Prediction:
    """Truth moved by ``off`` pixels, its last mask left out; read back from the text as the predictor does."""
    text = re.sub(r"(?:,| and) <p> [a-z ]+ </p> \[SEG\] \(IMAGE\d\)\.$", ".", sample.turns[0].assistant)
    spans = parse_answer(text, 2).segments
    segments = tuple(
        Segment(
            phrase=span.phrase,
            image_index=target.image_index,
            mask=Mask.from_array(shifted(target.mask.to_array(), off)),
            score=0.9,
            sentence=span.sentence,
        )
        for span, target in zip(spans, sample.targets, strict=False)
    )
    return Prediction(
        sample_id=sample.id,
        truth=sample.truth_hash(),
        text=text,
        image_sizes=tuple((i.height, i.width) for i in sample.images),
        segments=segments,
    )


def make_data(folder: Path, per_cell: int = 4) -> tuple[list[Sample], list[Prediction]]:
    """``per_cell`` pairs for each of the nine cells task x source."""
    pairs = [
        make_pair(folder / "images", i, task, source) for task in TASKS for source in SOURCES for i in range(per_cell)
    ]
    return [s for s, _ in pairs], [p for _, p in pairs]


def strict_iou(sample: Sample, prediction: Prediction) -> float:
    """A stand-in for the benchmark's strict mIoU: truths and segments are in one order here, the rest counts 0."""
    values = [
        float(Mask.iou([s.mask], [t.mask])[0, 0]) for s, t in zip(prediction.segments, sample.targets, strict=False)
    ]
    return sum(values) / max(len(sample.targets), 1)


def make_scores(samples: list[Sample], predictions: list[Prediction]) -> dict[str, list[Score]]:
    """task -> scores, with the values behind them."""
    result: dict[str, list[Score]] = {}
    for task in TASKS:
        values = {
            s.id: strict_iou(s, p) for s, p in zip(samples, predictions, strict=True) if s.task == task and s.targets
        }
        if not values:
            continue
        mean = float(np.mean(list(values.values())))
        result[task] = [
            Score(
                name="mIoU_strict",
                value=mean,
                interval=(mean - 0.03, mean + 0.03),
                n=len(values),
                convention="mean IoU over true masks; a missed one counts 0",
                per_sample=values,
            )
        ]
    return result


def make_anatomy(samples: list[Sample], predictions: list[Prediction]) -> AnatomyFile:
    """What ``llava-corr anatomy`` writes for these, read as the report reads it."""
    answers = {p.sample_id: p for p in predictions}
    rows = fates(samples, answers, Knowledge())
    tables = cross_tabulate(rows, samples, resamples=10, seed=0)
    objects = named_first(rows, samples, resamples=10, seed=0)
    content = {
        "schema_version": 1,
        "name": "tiny",
        "predictions": {"path": "p.jsonl"},
        "settings": {"names": NAME_RULES["equal"]},
        "definitions": DEFINITIONS,
        "dimensions": MEANING,
        "tables": {task: {d: [cell_to_json(c) for c in cells] for d, cells in t.items()} for task, t in tables.items()},
        "named_first": cell_to_json(objects) if objects else None,
        "masks": [row_to_json(row) for row in rows],
    }
    return AnatomyFile.model_validate(content)


def one_hot_cache(path: Path, samples: list[Sample]) -> None:
    """Label vectors in place of the sentence model: any two labels are wholly unlike."""
    labels = sorted({normalise_label(t.phrase) for s in samples for t in s.targets})
    with path.open("wb") as handle:
        np.savez(handle, model="one-hot", labels=np.array(labels), vectors=np.eye(len(labels), dtype=np.float32))
