"""What the twins can do on held-out pictures, for their card: IoU by name, precision, matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .dense import NameCells
from .masks import DrawByName
from .pictures import LabelledPictures, plain_batches
from .towers import MatchParts, SeePictures, thinned

BATCH = 25


@torch.no_grad()
def measure_cells(task: NameCells, pictures: LabelledPictures) -> dict[str, float]:
    """Mean IoU, over all (picture, category) and (picture, part of a category) with at least four cells of 64 x 64, of
    the most likely names."""
    task.eval()
    things: list[float] = []
    parts: list[float] = []
    for batch in plain_batches(pictures, BATCH):
        pixels = _resized(batch["pixels"], task.tower.encoder.config.image_size)
        category, part = task.head(task.encode(pixels, torch.zeros(2)))
        labels = thinned(batch["labels"], category.shape[-1])
        named = category.log_softmax(1)[:, task.category_of] + part.log_softmax(1)[:, task.part_of]
        found, thing = named.argmax(1), category.argmax(1)
        for n in range(len(labels)):
            things += _ious(task.category_of[labels[n]], thing[n])
            parts += _ious(labels[n], found[n], task.part_of > 0)
    return {"thing_iou": float(np.mean(things)), "part_iou": float(np.mean(parts))}


def _ious(true: Tensor, found: Tensor, counted: Tensor | None = None) -> list[float]:
    """Of every name but 0 that has four cells; ``counted``: name -> whether it counts."""
    values = []
    for name, count in zip(*true.unique(return_counts=True), strict=True):
        if name and count >= 4 and (counted is None or counted[name]):
            one, other = true == name, found == name
            values.append(float((one & other).sum() / (one | other).sum()))
    return values


@torch.no_grad()
def measure_masks(task: DrawByName, pictures: LabelledPictures) -> dict[str, float]:
    """Mean IoU and share at IoU 0.5, at 128 x 128, of all things and parts of a picture, drawn by their names."""
    task.eval()
    ious: dict[bool, list[float]] = {True: [], False: []}
    for batch in plain_batches(pictures, BATCH):
        labels = batch["labels"]
        for n in range(len(labels)):
            category, part = torch.tensor(sorted(task.shown(labels[n], 12)), dtype=torch.long).view(-1, 2).unbind(1)
            if len(category) == 0:
                continue
            image = torch.zeros(len(category), dtype=torch.long)
            pixels = _resized(batch["pixels"][n : n + 1], task.grounding.sam.config.vision_config.image_size)
            logits = task.draw(pixels, image, category, part)
            drawn = (
                F.interpolate(logits[:, None].float(), labels.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
                > 0
            )
            true = task.masks(labels[n : n + 1], image, category, part)
            values = (drawn & true).sum((1, 2)) / (drawn | true).sum((1, 2)).clamp(min=1)
            for value, whole in zip(values.tolist(), (part == 0).tolist(), strict=True):
                ious[whole].append(value)
    return {
        f"{name}_{what}": float(np.mean([f(v) for v in ious[whole]]))
        for name, whole in (("thing", True), ("part", False))
        for what, f in (("iou", float), ("at_50", lambda v: v >= 0.5))
    }


@torch.no_grad()
def measure_whole(task: SeePictures, pictures: LabelledPictures) -> dict[str, float]:
    """Mean over pictures of the average precision with which CLS ranks the names that a picture shows."""
    task.eval()
    values = []
    for batch in plain_batches(pictures, BATCH):
        tokens = task.tower(pixel_values=task.normal(_resized(batch["pixels"], task.tower.config.image_size)))
        scores = task.whole(tokens.last_hidden_state[:, 0])
        for n, labels in enumerate(batch["labels"]):
            shown = torch.zeros(scores.shape[1], dtype=torch.bool)
            shown[labels.unique()] = True
            if shown[1:].any():
                ranked = shown[1:][scores[n, 1:].argsort(descending=True)].float()
                values.append(
                    float(((ranked.cumsum(0) / torch.arange(1, len(ranked) + 1)) * ranked).sum() / ranked.sum())
                )
    return {"names_ap": float(np.mean(values))}


@torch.no_grad()
def measure_matches(task: MatchParts, pictures: LabelledPictures) -> dict[str, float]:
    """Share of the cells of parts whose nearest named cell in other pictures (cosine of the tower's own features) shows
    the same part of the same category, among those that have such a counterpart."""
    task.eval()
    vectors, names, owners = [], [], []
    for k, batch in enumerate(plain_batches(pictures, BATCH)):
        features = task.encode(_resized(batch["pixels"], task.tower.config.image_size))
        labels = thinned(batch["labels"], features.shape[-1])
        at = labels > 0
        vectors.append(F.normalize(features.permute(0, 2, 3, 1)[at].float(), dim=-1))
        names.append(labels[at])
        owners.append((torch.arange(len(labels))[:, None, None].expand_as(labels)[at]) + k * BATCH)
    all_vectors, all_names, all_owners = torch.cat(vectors), torch.cat(names), torch.cat(owners)
    hits, count = 0, 0
    for picture in all_owners.unique():
        mine, others = all_owners == picture, all_owners != picture
        has = torch.isin(all_names[mine], all_names[others].unique()) & (task.part_of[all_names[mine]] > 0)
        nearest = (all_vectors[mine] @ all_vectors[others].T).argmax(1)
        hits += int((all_names[others][nearest] == all_names[mine])[has].sum())
        count += int(has.sum())
    return {"nearest_is_same_part": hits / max(1, count)}


@torch.no_grad()
def measure_expert(
    student: Any,
    teachers: Mapping[str, Callable[[Tensor], Tensor]],
    pictures: LabelledPictures,
    held_out: LabelledPictures,
    count: int = 200,
) -> dict[str, float]:
    """Share of the variance of every teacher's channels that a linear reading of the student's patches explains on
    held-out pictures; the reading is fitted by least squares on ``count`` training pictures (of all flavours)."""
    student.eval()
    shown = {name: _some(of, count) for name, of in (("train", pictures), ("held out", held_out))}
    found = {}
    for name, teach in teachers.items():
        (seen, wanted), (new_seen, truth) = (_features(student, teach, of) for of in shown.values())
        reading = torch.linalg.lstsq(seen, wanted).solution
        error = ((new_seen @ reading - truth) ** 2).mean(0)
        found[f"{name}_r2"] = float((1 - error / truth.var(0, unbiased=False).clamp(min=1e-12)).mean())
    return found


def _some(pictures: LabelledPictures, count: int) -> LabelledPictures:
    step = max(1, len(pictures.pixels) // count)
    return LabelledPictures(pictures.pixels[::step], pictures.labels[::step], pictures.names)


def _features(student: Any, teach: Callable[[Tensor], Tensor], pictures: LabelledPictures) -> tuple[Tensor, Tensor]:
    """Patches of all pictures: what the student sees, with a constant, and the teacher; P x (d + 1) and P x e."""
    seen, wanted = [], []
    side = student.config.image_size
    for batch in plain_batches(pictures, BATCH):
        pixels = _resized(batch["pixels"], side)
        seen.append(student(pixels.float() / 255).features.flatten(0, 1).double())
        wanted.append(teach(pixels).flatten(2).transpose(1, 2).flatten(0, 1).double())
    own = torch.cat(seen)
    return torch.cat([own, torch.ones(len(own), 1, dtype=own.dtype)], 1), torch.cat(wanted)


def _resized(pixels: Tensor, side: int) -> Any:
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels.float(), (side, side), mode="area").round().to(torch.uint8)
