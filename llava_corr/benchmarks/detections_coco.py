"""Detections as detectron2 writes them (VLPart and most detectors): COCO results.

The file is a list of ``{"image_id", "category_id", "segmentation", "score"}`` (``bbox`` and other keys are not used),
such as ``coco_instances_results.json``, with ``images`` and ``categories`` in the data set's annotation file; or one
object ``{"images", "categories", "annotations"}`` that holds all three. An image that is listed and has no row is an
image without detections.

Spellings of category names that are read:

* ``dog:head``, ``car_(automobile):door_handle``: object, part; the sense ``_(...)`` or `` (...)`` is cut, underscores
  are spaces;
* ``dog's head``: object, part, as in ADE20K-Part-234;
* ``chair_(leg)``, ``chair (leg)``: a part if the project's taxonomies know such a part of that class (of any class,
  where they do not know the class), otherwise a sense, cut and counted: ``bow_(decorative_ribbons)``;
* ``Quadruped Head``: the 40 part classes of PartImageNet;
* anything else is the name of a whole object; one that reads like a part ("dog_head") is listed as a finding.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..datasets.mixedparts import classes
from ..errors import Findings, PredictionError
from ..files import read_json
from ..sources import _coco
from ..taxonomy import everyday, partimagenet_parts
from .detections import DetectedImage, Detection, say, usable

_BRACKETED = re.compile(r"^(?P<whole>.+?)[_ ]\((?P<inner>[^()]+)\)$")
Id = int | str  # as the file has them


class _Row(BaseModel):
    """Rows hold more than is read here (bbox, iscrowd, ...)."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Image(_Row):
    id: Id
    file_name: str = Field(min_length=1)
    """In LVIS' files, which have none, the last two components of ``coco_url``."""
    height: int = Field(gt=0, strict=True)
    width: int = Field(gt=0, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _named_by_url(cls, row: Any) -> Any:
        if isinstance(row, dict) and "file_name" not in row and isinstance(row.get("coco_url"), str):
            return {**row, "file_name": "/".join(row["coco_url"].split("/")[-2:])}
        return row


class _Category(_Row):
    id: Id
    name: str = Field(min_length=1)


class _Result(_Row):
    image_id: Id
    category_id: Id
    segmentation: dict[str, Any] | list[Any]
    score: float = Field(ge=0, le=1, allow_inf_nan=False)


R = TypeVar("R", _Image, _Category)


def read_coco_results(path: str | Path, annotations: str | Path | None, *, findings: Findings) -> list[DetectedImage]:
    """Reads COCO results; the images come in the order in which they are listed.

    Args:
        annotations: file with ``images`` and ``categories`` where ``path`` is a bare list.
        findings: takes masks without pixels, degenerate polygons, repeated detections, and category names that may be
            misread.

    Raises:
        PredictionError: broken JSON, a missing list, a faulty row, an unknown or repeated id, or other images or
            categories in ``path`` than in ``annotations``.
        MaskError: a mask of another size than its image, or undecodable.
        AnnotationError: a broken polygon.
    """
    data = read_json(path, PredictionError)
    source = path if annotations is None else annotations
    listed = data if annotations is None else read_json(annotations, PredictionError)
    images = _by_id(_list(listed, "images", source), _Image, f"{source}, images")
    categories = _by_id(_list(listed, "categories", source), _Category, f"{source}, categories")
    if annotations is not None and isinstance(data, dict):
        _check_agrees(data, "images", _Image, images, path)
        _check_agrees(data, "categories", _Category, categories, path)
    rows = data if isinstance(data, list) else _list(data, "annotations", path)
    _list_odd_names(categories.values(), str(source), findings)
    names: dict[Id, tuple[str, str | None]] = {}
    found: dict[Id, list[tuple[str, Detection]]] = defaultdict(list)
    for number, row in enumerate(rows):
        where = f"{path}, row {number} (counted from 0)"
        result = _parsed(_Result, row, where)
        image = _known(images, result.image_id, "image", where)
        category = _known(categories, result.category_id, "category", where)
        if category.id not in names:
            names[category.id] = say(*split_name(category.name), f"{source}, category {category.id}")
        whole, part = names[category.id]
        mask = _coco.decode(result.segmentation, image.height, image.width, where, findings)
        if mask is not None:
            found[result.image_id].append((where, Detection(object=whole, part=part, mask=mask, score=result.score)))
    return [
        DetectedImage(
            image=image.file_name,
            height=image.height,
            width=image.width,
            detections=tuple(usable(found[key], findings)),
        )
        for key, image in images.items()
    ]


def _list(data: Any, name: str, path: str | Path) -> list[Any]:
    rows = data.get(name) if isinstance(data, dict) else None
    if not isinstance(rows, list):
        held = f"an object with {', '.join(sorted(data)) or 'nothing'}" if isinstance(data, dict) else "a bare list"
        raise PredictionError(
            f"no list named {name!r}: {held}",
            where=str(path),
            mend="results are a list of detections, with --annotations FILE, the data set's file, or one object with "
            "images, categories and annotations",
        )
    return rows


def _by_id(rows: Iterable[Any], kind: type[R], where: str) -> dict[Id, R]:
    found: dict[Id, R] = {}
    for number, row in enumerate(rows):
        place = f"{where}[{number}]"
        item = _parsed(kind, row, place)
        if item.id in found:
            raise PredictionError(f"id {item.id!r} occurs twice", where=place, mend="give every row an id of its own")
        found[item.id] = item
    return found


def _check_agrees(data: dict[str, Any], name: str, kind: type[R], known: dict[Id, R], path: str | Path) -> None:
    """Refuses results that list images or categories themselves, and otherwise than their annotations."""
    own = _by_id(_list(data, name, path), kind, f"{path}, {name}") if name in data else {}
    if odd := [key for key, row in own.items() if known.get(key) != row]:
        raise PredictionError(
            f"{len(odd)} of its {name} are not those of the annotations; first: id {odd[0]!r}",
            where=str(path),
            mend=f"leave --annotations out, or remove the list {name!r} from the results",
        )


P = TypeVar("P", bound=_Row)


def _parsed(kind: type[P], row: Any, where: str) -> P:
    try:
        return kind.model_validate(row)
    except ValidationError as cause:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}" for e in cause.errors())
        raise PredictionError(f"not a COCO row: {faults}", where=where, mend="repair or remove that row") from cause


V = TypeVar("V")


def _known(table: dict[Id, V], key: Id, what: str, where: str) -> V:
    if key not in table:
        other: Id = str(key) if isinstance(key, int) else int(key) if key.isdecimal() else key
        mend = (
            f"write ids alike: the annotations have the {type(other).__name__} {other!r}"
            if other in table
            else "take images and categories of the file it was run on"
        )
        raise PredictionError(f"unknown {what} id {key!r}", where=where, mend=mend)
    return table[key]


def _list_odd_names(categories: Iterable[_Category], source: str, findings: Findings) -> None:
    """Lists cut senses, objects that are named like a part, and a file without any part."""
    parts = 0
    rows = list(categories)
    for row in rows:
        where = f"{source}, category {row.id}"
        whole, part = split_name(row.name)
        parts += part is not None
        if part is None and "(" in row.name:
            findings.add("sense_cut", where, f"{row.name!r} is the object {whole!r}")
        elif part is None and (meant := _like_a_part(row.name)):
            findings.add("object_named_like_a_part", where, f"{row.name!r}; write {meant!r} if it is a part")
    if rows and not parts:
        findings.add("no_part_category", source, f"all {len(rows)} categories are whole objects")


def _like_a_part(name: str) -> str | None:
    """``dog:head`` for "dog_head", "dog/head" and "head of dog", where the taxonomies know that part of that class."""
    words = [word for word in re.split(r"[\s_/.-]+", name.lower()) if word]
    splits = [(words[:k], words[k:]) for k in range(1, len(words))]
    splits += [(words[k + 1 :], words[:k]) for k, word in enumerate(words) if word == "of"]
    for whole, part in splits:
        if " ".join(part) in _known_parts().get(" ".join(whole), ()):
            return f"{' '.join(whole)}:{' '.join(part)}"
    return None


def split_name(name: str) -> tuple[str, str | None]:
    """Object and part behind a category name; the part is None for a whole object (rules: see the module)."""
    text = name.strip().replace("\u2019", "'")
    for separator in (":", "'s "):
        if separator in text:
            whole, _, part = text.partition(separator)
            bracketed = _BRACKETED.match(whole.strip())
            return everyday(bracketed["whole"] if bracketed else whole), everyday(part)
    if bracketed := _BRACKETED.match(text):
        whole, inner = everyday(bracketed["whole"]), everyday(bracketed["inner"])
        known = _known_parts()
        parts = known.get(whole.lower(), set().union(*known.values()))
        return whole, inner if inner.lower() in parts else None
    return _super_parts().get(text.lower().replace("_", " "), (everyday(text), None))


@cache
def _known_parts() -> dict[str, set[str]]:
    """Class -> its part names, over all taxonomies."""
    found: dict[str, set[str]] = defaultdict(set)
    for source in classes.SOURCES:
        for name, parts in classes.class_parts(source).items():
            found[name.lower()] |= {part.lower() for part in parts}
    return dict(found)


@cache
def _super_parts() -> dict[str, tuple[str, str | None]]:
    return {f"{p.whole} {p.part}": (p.whole, p.part) for p in partimagenet_parts()}
