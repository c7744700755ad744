"""What a sample needs to know about one image: per class and per part name the union over all instances.

One mask per (image, class) and per (image, class, part name): facts, 7.5 point 6. Unions are merged as run-length
encodings once, when the image is loaded; nothing is decoded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import Findings, MaskError
from ...grammar import spoken_name
from ...records import AnnotatedImage, ImageRef, Mask


@dataclass(frozen=True)
class ClassView:
    """One class as seen in one image.

    Attributes:
        mask: union of the masks of all its instances.
        share: area of ``mask`` divided by the area of the image.
        parts: visible part names in alphabetical order -> union over all instances.
        part_names: the keys of ``parts``.
    """

    mask: Mask
    share: float
    parts: dict[str, Mask]
    part_names: frozenset[str]


@dataclass(frozen=True)
class ImageView:
    """One image: where it is from, its file and the classes visible in it."""

    source: str
    image_id: str
    ref: ImageRef
    classes: dict[str, ClassView]


def view_image(image: AnnotatedImage, findings: Findings) -> ImageView | None:
    """Merges the instances of every class of ``image``.

    Names that answers cannot say as they stand are rewritten and counted (``renamed``: "Left_Arm" is "left arm").
    Empty masks are left out and counted (``empty_mask``), and so are names without a word (``unspeakable_name``) and
    parts whose class has no object mask (``parts_without_object``). An image with an unusable mask or with no object
    left gives None and is counted (``mask_of_another_size``, ``undecodable_mask``, ``image_without_objects``).
    """
    where = f"{image.source}/{image.split} image {image.image_id}"
    masks: dict[str, list[Mask]] = defaultdict(list)
    parts: dict[str, dict[str, list[Mask]]] = defaultdict(lambda: defaultdict(list))
    for item in image.objects:
        category = _spoken(item.category, where, findings)
        if not category:
            continue
        for written, mask in [(None, item.mask), *((part.name, part.mask) for part in item.parts)]:
            name = "" if written is None else _spoken(written, where, findings)
            if written is not None and not name:
                continue
            label = f"{category} {item.instance_id} {name}".strip()
            if mask.size != (image.height, image.width):
                findings.add("mask_of_another_size", where, f"{label}: {mask.size}, image {image.height, image.width}")
                return None
            try:
                mask.check()
            except MaskError as fault:
                findings.add("undecodable_mask", where, f"{label}: {fault.what}")
                return None
            if not mask.area:
                findings.add("empty_mask", where, label)
            elif name:
                parts[category][name].append(mask)
            else:
                masks[category].append(mask)
    for category in sorted(set(parts) - set(masks)):
        findings.add("parts_without_object", where, category)
    if not masks:
        findings.add("image_without_objects", where)
        return None
    pixels = image.height * image.width
    views = {name: _class_view(masks[name], parts.get(name, {}), pixels) for name in sorted(masks)}
    ref = ImageRef(path=image.path, height=image.height, width=image.width)
    return ImageView(image.source, image.image_id, ref, views)


def _spoken(name: str, where: str, findings: Findings) -> str:
    spoken = spoken_name(name)
    if not spoken:
        findings.add("unspeakable_name", where, repr(name))
    elif spoken != name:
        findings.add("renamed", where, f"{name!r} is {spoken!r}")
    return spoken


def _class_view(masks: list[Mask], parts: dict[str, list[Mask]], pixels: int) -> ClassView:
    union = Mask.union(masks)
    merged = {name: Mask.union(parts[name]) for name in sorted(parts)}
    return ClassView(union, union.area / pixels, merged, frozenset(merged))


def view_images(images: Iterable[AnnotatedImage], findings: Findings) -> list[ImageView]:
    """Views of all usable images; a second image with the same id or file is left out and counted."""
    views: list[ImageView] = []
    seen: set[str] = set()
    for image in images:
        keys = {f"id {image.source} {image.image_id}", f"file {image.path}"}
        if seen & keys:
            findings.add("duplicate_image", f"{image.source}/{image.split} image {image.image_id}", image.path)
            continue
        seen |= keys
        view = view_image(image, findings)
        if view is not None:
            views.append(view)
    return views
