"""Writes annotated images of any source in GranD's format (layout: see the reader of that name), a file per image.

Exact labels instead of a pipeline's: every object and every named part is one of GranD's ``objects``. A part is
labelled "handle of the mug", since "the handle" alone could be that of any object; an object of a category that occurs
twice has its side as attribute, "the mug on the left". The short caption names the objects, the dense one also their
parts; what takes most of the picture comes first. Several instances of one name are spoken of together ("more than one
mug"), so no phrase leaves open which of them it means.

Not written, because the records do not know it: colour, material, depth, relationships. Not expressible: keypoints,
functional parts, and that a part belongs to one object.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from ...files import write_json
from ...grammar import spoken_name
from ...records import AnnotatedImage, ImageObject, Mask
from ._common import Row, check_images, merged_parts, runs

_APART = 0.1  # of the width of the image: two objects closer than that have no sides
_VOWELS = tuple("aeiou")


def write(root: Path, split: str, images: Sequence[AnnotatedImage], image_root: str | Path) -> None:
    """Writes ``annotations/{split}/*.json`` below ``root``.

    Names that a caption cannot say (no letter or digit in them) are not written, nor are the parts of such an object.

    Args:
        image_root: folder that the keys start from; images elsewhere are named in full.

    Raises:
        AnnotationError: an image id that occurs twice.
        MaskError: an empty mask, or one of another size than its image.
    """
    check_images(images, [image.path for image in images])
    for image in images:
        name = quote(image.image_id, safe=" ")  # ids of users' data may be paths
        write_json(
            Path(root) / "annotations" / split / f"{name}.json",
            {_key(image.path, Path(image_root)): _content(image)},
            indent=None,
        )


def _key(path: str, image_root: Path) -> str:
    full, folder = Path(os.path.abspath(path)), Path(os.path.abspath(image_root))
    return str(full.relative_to(folder) if full.is_relative_to(folder) else full)


def _content(image: AnnotatedImage) -> Row:
    rows: list[Row] = []
    things: dict[str, list[int]] = defaultdict(list)  # category -> ids
    parts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # category -> part name -> ids
    sides = _sides(image)
    for index, thing in enumerate(image.objects):
        category = spoken_name(thing.category)
        if not category:
            continue
        things[category].append(len(rows))
        rows.append(_row(len(rows), category, thing.mask, sides.get(index)))
        for part in merged_parts(thing):
            name = spoken_name(part.name)
            if name:
                parts[category][name].append(len(rows))
                rows.append(_row(len(rows), f"{name} of the {category}", part.mask, None))
    largest_first = {name: things[name] for name in sorted(things, key=lambda name: -_area(image, name))}
    short, dense = _Text("a picture of "), _Text("The picture shows ")
    for text in (short, dense):
        text.add_list(largest_first)
    dense.add(".")
    for category in largest_first:
        if not (named := parts.get(category)):
            continue
        dense.add(f" The {category} has " if len(things[category]) == 1 else f" On {_a(category)} one sees ")
        dense.add_list(named)
        dense.add(".")
    return {
        "objects": rows,
        "floating_objects": [],
        "short_captions": [short.caption(lambda ids: [{"id": i} for i in ids])] if things else [],
        **({"dense_caption": dense.caption(lambda ids: [{"ids": ids}])} if things else {}),
    }


def _area(image: AnnotatedImage, name: str) -> int:
    """Pixels of all objects of that name."""
    return sum(thing.mask.area for thing in image.objects if spoken_name(thing.category) == name)


def _row(number: int, name: str, mask: Mask, attribute: str | None) -> Row:
    return {
        "id": number,
        "bbox": list(mask.box),
        "labels": [name],
        "label": name,
        "attributes": attribute and [attribute],
        "segmentation": runs(mask),
    }


def _sides(image: AnnotatedImage) -> dict[int, str]:
    """Index of an object -> "the mug on the left", where exactly two of its category lie apart."""
    kinds: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for index, thing in enumerate(image.objects):
        kinds[spoken_name(thing.category)].append((_middle(thing), index))
    found = {}
    for category, places in kinds.items():
        if len(places) == 2:
            (left, first), (right, second) = sorted(places)
            if right - left >= _APART * image.width:
                found[first], found[second] = f"the {category} on the left", f"the {category} on the right"
    return found


def _middle(thing: ImageObject) -> float:
    x0, _, x1, _ = thing.mask.box
    return (x0 + x1) / 2


def _a(name: str) -> str:
    return f"{'an' if name.startswith(_VOWELS) else 'a'} {name}"


class _Text:
    """A caption under construction: the words so far, and the ids behind each phrase of them."""

    def __init__(self, opening: str) -> None:
        self.words = opening
        self.phrases: list[tuple[int, int, list[int]]] = []

    def add(self, words: str) -> None:
        self.words += words

    def add_list(self, names: dict[str, list[int]]) -> None:
        """``a mug, more than one bowl and a knife``, each grounded in all its instances."""
        for place, (name, ids) in enumerate(names.items()):
            if place:
                self.add(" and " if place == len(names) - 1 else ", ")
            start = len(self.words)
            self.add(_a(name) if len(ids) == 1 else f"more than one {name}")
            self.phrases.append((start, len(self.words), ids))

    def caption(self, identify: Callable[[list[int]], list[Row]]) -> Row:
        """The caption with its details; ``identify`` turns the ids of a phrase into one entry or several."""
        details = [
            {"phrase": self.words[start:end], "tokens_positive": [start, end], **entry}
            for start, end, ids in self.phrases
            for entry in identify(ids)
        ]
        return {"caption": self.words, "details": details}
