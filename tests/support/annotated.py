"""Random annotated images for the readers' and writers' tests, restricted to what each format can express."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part
from llava_corr.taxonomy import PartClass, ade_parts, paco_objects, paco_parts, partimagenet_classes, partimagenet_parts

ImagePath = Callable[[str, str, str], str]


def _by_whole(classes: list[PartClass]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part_class in classes:
        found.setdefault(part_class.whole, []).append(part_class.part)
    return found


PACO = {**{name: [] for name in paco_objects()}, **_by_whole(list(paco_parts()))}
ADE = _by_whole(list(ade_parts()))
SUPER = _by_whole(list(partimagenet_parts()))
PARTIMAGENET = {c.name: SUPER[c.supercategory] for c in partimagenet_classes().values() if c.name}
TAXONOMIES = {"paco_lvis": PACO, "partimagenet": PARTIMAGENET, "ade20k_part_234": ADE}


@st.composite
def images(draw: st.DrawFn, source: str, split: str, image_path: ImagePath) -> list[AnnotatedImage]:
    """Zero to three images with ids in ascending order."""
    ids = draw(st.lists(st.integers(0, 10**9), max_size=3, unique=True).map(sorted))
    return [draw(_image(source, split, str(i), image_path)) for i in ids]


@st.composite
def _image(draw: st.DrawFn, source: str, split: str, image_id: str, image_path: ImagePath) -> AnnotatedImage:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    count = 1 if source == "partimagenet" else draw(st.integers(0, 3))
    wholes = draw(hnp.arrays(np.int8, shape, elements=st.integers(0, count)))
    if source == "partimagenet" and not wholes.any():
        wholes[0, 0] = 1
    inner = draw(hnp.arrays(np.int8, shape, elements=st.integers(0, 3)))
    objects = []
    for value in range(1, count + 1):
        pixels = wholes == value
        if pixels.any():
            found = draw(_object(source, pixels, inner))
            objects.append(found.model_copy(update={"instance_id": str(value)}))
    return AnnotatedImage(
        image_id=image_id,
        path=image_path(image_id, split, objects[0].category if objects else "dog"),
        height=shape[0],
        width=shape[1],
        source=source,
        split=split,
        objects=tuple(objects),
    )


@st.composite
def _object(draw: st.DrawFn, source: str, pixels: np.ndarray, inner: np.ndarray) -> ImageObject:
    taxonomy = TAXONOMIES[source]
    category = draw(st.sampled_from(sorted(taxonomy)))
    names = draw(st.permutations(taxonomy[category]))[:3]
    if source == "ade20k_part_234":
        names = sorted(names, key=taxonomy[category].index)
    if source == "paco_lvis" and draw(st.booleans()):
        inner, pixels = np.roll(inner, 1), np.ones_like(pixels)  # masks may overlap, parts reach outside
    inside = [(name, pixels & (inner == i)) for i, name in enumerate(names, start=1)]
    parts = [Part(name=name, mask=Mask.from_array(p)) for name, p in inside if p.any()]
    return ImageObject(category=category, instance_id="0", mask=Mask.from_array(pixels), parts=tuple(parts))


def without_instance_ids(found: list[AnnotatedImage], root: str = "") -> list[AnnotatedImage]:
    """What all formats keep: everything but instance ids; paths relative to ``root``."""
    return [
        image.model_copy(
            update={
                "path": image.path.removeprefix(root).lstrip("/"),
                "objects": tuple(o.model_copy(update={"instance_id": ""}) for o in image.objects),
            }
        )
        for image in found
    ]
