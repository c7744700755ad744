"""Reader of GranD (Rasheed et al., GLaMM, 2024): SA-1B pictures with machine-made regions, attributes and captions.

Layout below ``root`` (ours: the release is archives of JSON files, and its pictures are SA-1B's)::

    annotations/{split}/*.json     or, for train, annotations/*.json: the release knows no splits
    images/*.jpg                   (elsewhere: pass image_root; without this folder, keys start from root)

One JSON file per picture. Read of it (all else is passed over: boxes, scores, depth, relationships, landmark, ...)::

    {"sa_123.jpg": {
      "objects": [{"id": 0, "labels": ["chair", "seat"], "label": "chair", "attributes": ["a red chair"],
                   "segmentation": {"size": [1500, 2250], "counts": "..."}}],
      "floating_objects": [...the same, found by one detector only...],
      "short_captions": [{"caption": "a red chair on a lawn",
                          "details": [{"phrase": "a red chair", "tokens_positive": [0, 11], "id": 0}]}],
      "dense_caption": {"caption": "...", "details": [{"phrase": "...", "tokens_positive": [4, 9], "ids": [0, 3]}]}}}

Confirmed by the code of mbzuai-oryx/groundingLMM at e74865f: one key, the image's name; ``objects``,
``floating_objects`` and ``id`` (GranD/prepare_annotations/prepare_grand_caption_grounding.py); ``attributes`` as list,
string or null, and the prefixes cut from them (prepare_grand_referring_expression.py); ``label``
(GranD/utils/merge_eva_labels.py); ``segmentation``, which may be missing (add_masks_to_annotations.py), as compressed
COCO RLE (hq_sam/rle_format.py); ``short_captions`` with one ``id`` a detail (ground_short_captions.py);
``dense_caption`` with ``ids``, and a ``tokens_positive`` that may be null and was counted before signs were taken out
of the caption, so that it can be off (ground_dense_caption.py).

Our reading, not seen confirmed: the masks' size is the picture's (the files name no other); details of one place in a
caption speak of their objects together; phrases of floating objects count where these have masks; a ``dense_caption``
may be a plain string. The release itself could not be looked at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import AnnotationError, Findings
from ..files import read_json
from ..records import CaptionedImage, ImageObject, Mask, Referral
from ..taxonomy import everyday
from . import _coco
from ._grand_captions import captions
from ._images import image_is_sound

SOURCE = "grand"
LISTS = ("objects", "floating_objects")
_ASSISTANT = re.compile(r"^\s*(?:ass)?istant\s*:\s*", re.I)  # what the attribute model's prompt left in its answers
_STAGE = "use files that went through the whole GranD pipeline"
Row = dict[str, Any]


def read(
    root: str | Path,
    split: str,
    *,
    findings: Findings,
    image_root: str | Path | None = None,
    check_images: bool = False,
) -> Iterator[CaptionedImage]:
    """Reads one split, in the order of the file names; an image's id is the name of its JSON file.

    An object's category is its ``label``, or the first of ``labels``, as an everyday name. Referrals are the categories
    of ``objects`` (all instances together) and their attributes (of several those that say one of the object's labels,
    as in the reference; otherwise the first). Left out with a finding: objects without a mask (``object_without_mask``,
    ``empty_mask``) or with an id that was there before (``duplicate_object_id``), attributes (``other_attribute``),
    phrases without a mask (``phrase_without_mask``), not in their caption (``phrase_not_in_caption``) or inside a
    longer one (``overlapping_phrase``), captions without words (``empty_caption``), files without any mask whose image
    cannot be measured (``unknown_size``). Kept with a finding: objects without a label (``object_without_label``),
    phrases found elsewhere than ``tokens_positive`` says (``moved_phrase``).

    Args:
        root: folder with ``annotations``.
        split: the split to read.
        findings: takes what was left out.
        image_root: folder that the keys start from; ``root/images``, or else ``root``, if not given.
        check_images: open and decode every image; missing, truncated and wrongly sized ones are left out and listed.

    Raises:
        AnnotationError: no or broken files, missing keys, values of another type, ids that no object has.
        MaskError: masks of one file that differ in size, or undecodable ones.
    """
    root = Path(root)
    paths = _files(root, split)
    folder = Path(image_root) if image_root is not None else _image_folder(root)
    return _images(paths, folder, split, findings, check_images)


def _files(root: Path, split: str) -> list[Path]:
    candidates = [root / "annotations" / split]
    if split == "train":
        candidates.append(root / "annotations")
    folder = _coco.first_existing(candidates, f"GranD annotations of split {split!r}")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise AnnotationError("no JSON file", where=str(folder), mend="unpack the annotations here, a file per image")
    return paths


def _image_folder(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def _images(paths: list[Path], folder: Path, split: str, findings: Findings, check: bool) -> Iterator[CaptionedImage]:
    for path in paths:
        name, content = _only_entry(read_json(path), path)
        file = folder / name
        size = _size(content, file, path, findings)
        if size is None or (check and not image_is_sound(file, *size, findings)):
            continue
        objects, maskless = _objects(content, size, path, findings)
        yield CaptionedImage(
            image_id=path.stem,
            path=str(file),
            height=size[0],
            width=size[1],
            source=SOURCE,
            split=split,
            objects=tuple(objects.values()),
            captions=captions(content, set(objects), maskless, path, findings),
            referrals=_referrals(content, objects, path, findings),
        )


def _only_entry(data: Any, path: Path) -> tuple[str, Row]:
    """The image's name and the object behind it, its lists and ids checked."""
    if not isinstance(data, dict) or len(data) != 1:
        raise AnnotationError(
            "not one JSON object with the image's name as its only key",
            where=str(path),
            mend="point root at the folder of GranD's annotations",
        )
    ((name, content),) = data.items()
    for key in (*LISTS, "short_captions"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise AnnotationError(f"no list named {key!r}", where=f"{path}, {name}", mend=_STAGE)
    for where, row in _rows(content, path):
        if not isinstance(row, dict) or type(row.get("id")) is not int or "labels" not in row:
            raise AnnotationError("an object needs a whole number 'id' and 'labels'", where=where, mend=_STAGE)
    return name, content


def _rows(content: Row, path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of both lists with their places, objects first."""
    for key in LISTS:
        for index, row in enumerate(content[key]):
            yield f"{path}, {key}[{index}]", row


def _size(content: Row, file: Path, path: Path, findings: Findings) -> tuple[int, int] | None:
    """Height and width, from the first mask, or from the image where no object has one."""
    for where, row in _rows(content, path):
        segmentation = row.get("segmentation")
        if segmentation is None:
            continue
        size = segmentation.get("size") if isinstance(segmentation, dict) else None
        if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
            raise AnnotationError(
                "a segmentation is COCO RLE: {'size': [height, width], 'counts': ...}", where=where, mend="repair it"
            )
        return size[0], size[1]
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        findings.add("unknown_size", str(path), f"no mask, and {file} cannot be read: {error}")
        return None


def _objects(
    content: Row, size: tuple[int, int], path: Path, findings: Findings
) -> tuple[dict[str, ImageObject], set[str]]:
    """Objects with masks by id, and the ids of those without."""
    objects: dict[str, ImageObject] = {}
    maskless: set[str] = set()
    for where, row in _rows(content, path):
        instance = str(row["id"])
        if instance in objects or instance in maskless:
            findings.add("duplicate_object_id", where, f"id {instance}: captions mean the first one; left out")
            continue
        mask = _mask(row, size, where, findings)
        if mask is None:
            maskless.add(instance)
            continue
        labels = _labels(row, where)
        if not labels:
            findings.add("object_without_label", where)
        objects[instance] = ImageObject(category=labels[0] if labels else "", instance_id=instance, mask=mask)
    return objects, maskless


def _mask(row: Row, size: tuple[int, int], where: str, findings: Findings) -> Mask | None:
    if row.get("segmentation") is None:
        findings.add("object_without_mask", where)
        return None
    if not isinstance(row["segmentation"], dict):
        raise AnnotationError("a segmentation is COCO RLE, not polygons", where=where, mend="repair it")
    return _coco.decode(row["segmentation"], *size, where, findings)


def _labels(row: Row, where: str) -> list[str]:
    """Everyday names, the chosen one first."""
    written = (*_texts(row.get("label"), "label", where), *_texts(row["labels"], "labels", where))
    return [name for label in written if (name := everyday(label).strip())]


def _texts(value: Any, key: str, where: str) -> list[str]:
    """A string, a list of strings or null, as a list."""
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise AnnotationError(f"{key!r} is {value!r}, neither text nor a list of it", where=where, mend="repair it")
    return texts


def _referrals(content: Row, objects: dict[str, ImageObject], path: Path, findings: Findings) -> tuple[Referral, ...]:
    """Categories and attributes of ``objects``, in order of first appearance, each with all its instances."""
    categories: dict[str, list[str]] = defaultdict(list)
    for instance, thing in objects.items():
        categories[thing.category].append(instance)
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for index, row in enumerate(content["objects"]):
        instance, where = str(row["id"]), f"{path}, objects[{index}]"
        if instance not in objects or instance in seen:
            continue
        seen.add(instance)
        category = objects[instance].category
        if category:
            found.setdefault(category, categories[category])
        for attribute in _attributes(row, where, findings):
            instances = found.setdefault(attribute, [])
            if instance not in instances:
                instances.append(instance)
    return tuple(Referral(phrase=phrase, instance_ids=tuple(ids)) for phrase, ids in found.items())


def _attributes(row: Row, where: str, findings: Findings) -> list[str]:
    texts = [_ASSISTANT.sub("", text) for text in _texts(row.get("attributes"), "attributes", where)]
    attributes = [cleaned for text in texts if (cleaned := " ".join(text.split()).rstrip(" ."))]
    labels = [label.lower() for label in _labels(row, where)]
    kept = [text for text in attributes if any(label in text.lower() for label in labels)] or attributes[:1]
    for text in attributes:
        if text not in kept:
            findings.add("other_attribute", where, f"{text!r} says none of {', '.join(labels) or 'its labels'}")
    return kept
