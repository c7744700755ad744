"""Reader of PartImageNet (He et al., 2022), release PartImageNet_Seg: one object per picture, mostly animals.

Layout below ``root``::

    images/{split}/nXXXXXXXX_*.JPEG                               (elsewhere: pass image_root)
    annotations/{split}/{split}.json                              part polygons, COCO style
    annotations/{split}/*.png                                     part maps: 0 to 39, 40 for none
    annotations/{split}_whole/{split}_whole.json                  object polygons, COCO style
    annotations/{split}_whole/*.png                               class maps: 0 to 157, 158 for none

The class of an image is the synset that its file name starts with; ``data/taxonomies/partimagenet_synsets.json`` gives
each synset Calico's everyday name. Car, bicycle and bottle are left out, as Calico does, and so are the two classes
(newt, salamander) that it has no name for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import AnnotationError, Findings, MaskError
from ..records import AnnotatedImage, ImageObject, Mask, Part
from ..taxonomy import (
    PARTIMAGENET_NO_OBJECT,
    PARTIMAGENET_NO_PART,
    ImageClass,
    PartClass,
    load,
    partimagenet_classes,
    partimagenet_parts,
)
from . import _coco
from ._coco import CocoFile, Row
from ._images import EIGHT_BIT, image_is_sound, label_masks, read_label_map, refuse_labels

SOURCE = "partimagenet"
MaskSource = Literal["json", "png"]
_FILE_NAME = re.compile(r"(n\d{8})_[^/]*")


@dataclass(frozen=True)
class _Whole:
    """What the object file says about one image."""

    coco: CocoFile
    image: Row
    rows: list[Row]


@dataclass(frozen=True)
class _Split:
    """What the functions below need to know about the split at hand."""

    name: str
    root: Path
    image_root: Path
    parts: CocoFile
    part_classes: dict[int, PartClass]
    wholes: dict[str, _Whole]
    masks: MaskSource


def read(
    root: str | Path,
    split: str,
    *,
    findings: Findings,
    image_root: str | Path | None = None,
    masks: MaskSource = "json",
    check_images: bool = False,
) -> Iterator[AnnotatedImage]:
    """Reads one split, in the order of the file; every image has one object, named after its class.

    Part names are lower case without the super-category (``Quadruped Head`` is a head). Rows of one part are merged.
    With a finding: images of classes that are left out (``class_left_out``), polygons of two or four numbers
    (``degenerate_polygon``), rows without pixels (``empty_mask``), parts of another super-category than most of the
    image's parts (``part_of_other_supercategory``), a super-category other than the synset table says
    (``supercategory_disagrees``), an object without whole mask, which then is the union of its parts
    (``whole_from_parts``), images without any mask (``no_object``), images that only the object file lists
    (``whole_without_parts_row``), and objects of another class than their image's synset says
    (``whole_of_other_class``).

    Args:
        root: folder of the data set.
        split: train, val or test.
        findings: takes what was left out or repaired.
        image_root: folder of the split's images; ``root/images/{split}`` if not given. Images may lie in one folder
            or in one folder per synset.
        masks: take masks from the polygons or from the label maps.
        check_images: open and decode every image; missing, truncated and wrongly sized ones are left out and listed.

    Raises:
        AnnotationError: missing or broken file, unknown ids, labels, synsets or part names.
        MaskError: a mask or label map of another size than its image; an image whose two files give it two sizes.
    """
    root = Path(root)
    coco = _open(root, split, findings)
    return _images(
        _Split(
            name=split,
            root=root,
            image_root=Path(image_root) if image_root is not None else root / "images" / split,
            parts=coco,
            part_classes=_part_classes(coco),
            wholes=_whole_rows(root, split, findings) if masks == "json" else {},
            masks=masks,
        ),
        findings,
        check_images,
    )


def observed_supercategories(root: str | Path, split: str, *, findings: Findings) -> dict[str, Counter[str]]:
    """Synset -> how many part rows point to which super-category.

    The class -> super-category list is not published: this derives it from the part ids that occur, and so confirms
    (or corrects) ``data/taxonomies/partimagenet_synsets.json``.
    """
    coco = _open(Path(root), split, findings)
    classes = _part_classes(coco)
    counts: dict[str, Counter[str]] = {}
    for image in coco.images:
        counter = counts.setdefault(_synset(image, coco), Counter())
        counter.update(classes[coco.category(row)["id"]].whole for row in coco.rows.get(image["id"], []))
    return counts


def _open(root: Path, split: str, findings: Findings) -> CocoFile:
    path = _coco.first_existing(
        [root / "annotations" / split / f"{split}.json", root / f"{split}.json"],
        f"PartImageNet part annotations of split {split!r}",
    )
    return _coco.load(path, findings)


def _part_classes(coco: CocoFile) -> dict[int, PartClass]:
    """Category id -> part class by the file's own names: ``Quadruped Head``, or ``head`` below ``quadruped``."""
    known = set(partimagenet_parts())
    classes = {}
    for category in coco.categories.values():
        name, above = category["name"].lower().strip(), str(category.get("supercategory", "")).lower().strip()
        whole, _, part = name.partition(" ")
        fits = [c for c in (PartClass(whole, part), PartClass(above, name)) if c in known]
        if not fits:
            raise AnnotationError(
                f"unknown part {category['name']!r} of {category.get('supercategory')!r}",
                where=f"{coco.path}, category {category['id']}",
                mend="check that this is a part file of PartImageNet",
            )
        classes[category["id"]] = fits[0]
    return classes


def _whole_rows(root: Path, split: str, findings: Findings) -> dict[str, _Whole]:
    """File name of an image -> the rows of its object."""
    folder = root / "annotations" / f"{split}_whole"
    path = _coco.first_existing(
        [folder / f"{split}_whole.json", folder / f"{split}.json"], f"PartImageNet object masks of split {split!r}"
    )
    coco = _coco.load(path, findings)
    for row in (row for rows in coco.rows.values() for row in rows):
        coco.category(row)
    found: dict[str, _Whole] = {}
    for image in coco.images:
        name = Path(image["file_name"]).name
        if name in found:
            raise AnnotationError(
                f"file name {name!r} occurs twice", where=f"{coco.path}, images", mend="remove one of the rows"
            )
        found[name] = _Whole(coco, image, coco.rows.get(image["id"], []))
    return found


def _synset(image: Row, coco: CocoFile) -> str:
    match = _FILE_NAME.fullmatch(Path(image["file_name"]).name)
    if match is None or match.group(1) not in partimagenet_classes():
        raise AnnotationError(
            f"file name {image['file_name']!r} does not start with a synset of PartImageNet",
            where=f"{coco.path}, image {image['id']}",
            mend="check that this is PartImageNet and not another ImageNet subset",
        )
    return match.group(1)


def _images(split: _Split, findings: Findings, check: bool) -> Iterator[AnnotatedImage]:
    dropped = load("partimagenet_synsets")["dropped_supercategories"]
    listed = {Path(image["file_name"]).name for image in split.parts.images}
    for name, whole in split.wholes.items():
        if name not in listed:
            findings.add(
                "whole_without_parts_row", f"{whole.coco.path}, {name}", f"not in {split.parts.path}; left out"
            )
    for image in split.parts.images:
        image_class = partimagenet_classes()[_synset(image, split.parts)]
        where = f"{split.parts.path}, image {image['id']} ({image['file_name']})"
        if image_class.name is None:
            reason = "not used by Calico" if image_class.supercategory in dropped else "no everyday name"
            findings.add("class_left_out", where, f"{image_class.synset} ({image_class.supercategory}): {reason}")
            continue
        path = _image_file(split.image_root, image["file_name"], image_class)
        if check and not image_is_sound(path, image["height"], image["width"], findings):
            continue
        yield AnnotatedImage(
            image_id=str(image["id"]),
            path=str(path),
            height=image["height"],
            width=image["width"],
            source=SOURCE,
            split=split.name,
            objects=_objects(split, image, image_class, where, findings),
        )


def _image_file(folder: Path, file_name: str, image_class: ImageClass) -> Path:
    path, nested = folder / file_name, folder / image_class.synset / file_name
    return nested if not path.exists() and nested.exists() else path


def _objects(
    split: _Split, image: Row, image_class: ImageClass, where: str, findings: Findings
) -> tuple[ImageObject, ...]:
    found = _parts_from_map(split, image) if split.masks == "png" else _parts_from_rows(split, image, findings)
    wholes = {part_class.whole: 0 for part_class, _ in found}
    for part_class, mask in found:
        wholes[part_class.whole] += mask.area
    supercategory = max(wholes, key=wholes.__getitem__) if wholes else image_class.supercategory
    if supercategory != image_class.supercategory:
        findings.add("supercategory_disagrees", where, f"parts say {supercategory}, table {image_class.supercategory}")
    masks: dict[str, list[Mask]] = {}
    for part_class, mask in found:
        if part_class.whole == supercategory:
            masks.setdefault(part_class.part, []).append(mask)
        else:
            findings.add("part_of_other_supercategory", where, f"{part_class.whole} {part_class.part}; left out")
    parts = tuple(Part(name=name, mask=Mask.union(several)) for name, several in masks.items())
    instance, whole = _whole_mask(split, image, image_class, where, findings)
    if whole is None:
        if not parts:
            findings.add("no_object", where, "neither a whole mask nor a part")
            return ()
        findings.add("whole_from_parts", where, "no whole mask: the object is the union of its parts")
        whole = Mask.union([part.mask for part in parts])
    assert image_class.name is not None
    return (ImageObject(category=image_class.name, instance_id=instance, mask=whole, parts=parts),)


def _parts_from_rows(split: _Split, image: Row, findings: Findings) -> list[tuple[PartClass, Mask]]:
    found = []
    for row in split.parts.rows.get(image["id"], []):
        part_class = split.part_classes[split.parts.category(row)["id"]]
        if (mask := split.parts.mask(row, image, findings)) is not None:
            found.append((part_class, mask))
    return found


def _parts_from_map(split: _Split, image: Row) -> list[tuple[PartClass, Mask]]:
    path = split.root / "annotations" / split.name / f"{Path(image['file_name']).stem}.png"
    labels = read_label_map(path, image["height"], image["width"], EIGHT_BIT, "an 8-bit grey PNG")
    classes = partimagenet_parts()
    refuse_labels(labels, path, highest=len(classes) - 1, background=PARTIMAGENET_NO_PART)
    return [(classes[i], mask) for i, mask in label_masks(labels, PARTIMAGENET_NO_PART).items()]


def _whole_mask(
    split: _Split, image: Row, image_class: ImageClass, where: str, findings: Findings
) -> tuple[str, Mask | None]:
    """Instance id and mask of the image's object."""
    if split.masks == "png":
        folder = split.root / "annotations" / f"{split.name}_whole"
        path = folder / f"{Path(image['file_name']).stem}.png"
        labels = read_label_map(path, image["height"], image["width"], EIGHT_BIT, "an 8-bit grey PNG")
        refuse_labels(labels, path, highest=PARTIMAGENET_NO_OBJECT - 1, background=PARTIMAGENET_NO_OBJECT)
        pixels = labels != PARTIMAGENET_NO_OBJECT
        strange = sorted(set(np.unique(labels[pixels]).tolist()) - {image_class.index})
        if strange:
            findings.add("whole_of_other_class", where, f"{path.name} holds labels {strange}, its synset's is "
                         f"{image_class.index}; their pixels are kept")  # fmt: skip
        return str(image["id"]), Mask.from_array(pixels) if pixels.any() else None
    whole = split.wholes.get(Path(image["file_name"]).name)
    if whole is None:
        return str(image["id"]), None
    sizes = [(row["height"], row["width"]) for row in (image, whole.image)]
    if sizes[0] != sizes[1]:
        raise MaskError(
            f"the part file gives the image as {sizes[0]}, the object file as {sizes[1]}",
            where=f"{where} and {whole.coco.path}, image {whole.image['id']}",
            mend="take both files from one release",
        )
    for row in whole.rows:
        _check_class(whole.coco.category(row), image_class, whole.coco.where(row), findings)
    masks = [mask for row in whole.rows if (mask := whole.coco.mask(row, image, findings)) is not None]
    return str(image["id"]), Mask.union(masks) if masks else None


def _check_class(category: Row, image_class: ImageClass, where: str, findings: Findings) -> None:
    """The object file names classes by synset, by label or by number; a name that is another class's is listed."""
    named = _synset_of_name().get(str(category["name"]).lower().strip(), image_class.synset)
    if named != image_class.synset:
        findings.add("whole_of_other_class", where, f"{category['name']!r} in a picture of {image_class.synset}; kept")


@cache
def _synset_of_name() -> dict[str, str]:
    """Synset or label, in lower case -> synset."""
    rows = load("partimagenet_synsets")["classes"]
    return {row[key].lower(): row["synset"] for key in ("label", "synset") for row in rows}
