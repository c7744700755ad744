"""From a rendered picture to its record: instance, part and functional-part masks as RLE, keypoints.

What is too small or too well hidden to be a fair label is left out here, counted by kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.spatial import ConvexHull, QhullError

from ..errors import Findings
from ..records import AnnotatedImage, FunctionalPart, ImageObject, Keypoint, Mask, Part
from .picture import Rendered

MIN_OBJECT_PIXELS = 200  # of a 256 x 256 picture; other sizes in proportion
MIN_PART_PIXELS = 64
MIN_VISIBLE_SHARE = 0.03
_REFERENCE = 256 * 256


def annotate(
    rendered: Rendered, *, image_id: str, path: str, split: str, findings: Findings, source: str | None = None
) -> AnnotatedImage:
    """The record of a picture.

    Left out with a finding: objects of fewer than 200 pixels (``small_object``) or of which less than 3 % of the
    outline shows (``hidden_object``), parts (``small_part``) and functional parts (``small_functional_part``) of fewer
    than 64 pixels, keypoints behind the camera (``keypoint_behind_camera``). Pixel counts are for 256 x 256 and go with
    the picture's area, but not below a quarter of these. What has no visible pixel does not count as left
    out.
    """
    height, width = rendered.piece.shape
    encoder = _Encoder(rendered.piece)
    least_object, least_part = (
        max(n * height * width / _REFERENCE, n / 4) for n in (MIN_OBJECT_PIXELS, MIN_PART_PIXELS)
    )
    objects = []
    for index, item in enumerate(rendered.scene.items):
        if not item.category:
            continue
        pieces = np.flatnonzero(rendered.geometry.piece_item == index)
        area = encoder.area(pieces)
        where = f"{split} image {image_id}, {item.instance_id}"
        if area and area < least_object:
            findings.add("small_object", where, f"{area} pixels")
        elif area and _hidden(rendered, index, area):
            findings.add("hidden_object", where, f"{area} pixels")
        elif area:
            objects.append(_object(rendered, index, pieces, encoder, least_part, findings, where))
    return AnnotatedImage(
        image_id=image_id,
        path=path,
        height=height,
        width=width,
        source=source or rendered.scene.flavour,
        split=split,
        objects=tuple(objects),
    )


class _Encoder:
    """Counts and encodes unions of pieces."""

    def __init__(self, piece: NDArray[np.int32]) -> None:
        self.height, self.width = piece.shape
        self._columns = np.ascontiguousarray(piece.T).ravel()
        self._areas = np.bincount(self._columns + 1, minlength=int(self._columns.max(initial=0)) + 2)[1:]

    def area(self, pieces: NDArray[np.intp] | Sequence[int]) -> int:
        """Visible pixels of these pieces together."""
        chosen = np.asarray(pieces)
        return int(self._areas[chosen[chosen < len(self._areas)]].sum())

    def encode(self, groups: Sequence[Sequence[int]], count: int) -> list[Mask]:
        """One mask per group of pieces; ``count`` is the number of pieces in the scene."""
        if not groups:
            return []
        tables = np.zeros((len(groups), count + 1), np.uint8)
        for row, pieces in enumerate(groups):
            tables[row, np.asarray(pieces)] = 1
        stack = tables.take(self._columns, axis=1)
        encoded = coco_mask.encode(stack.reshape(len(groups), self.width, self.height).T)
        return [Mask.from_coco(e) for e in encoded]


def _object(
    rendered: Rendered, index: int, pieces: NDArray[np.intp], encoder: _Encoder, least: float, findings: Findings,
    where: str,
) -> ImageObject:  # fmt: skip
    item = rendered.scene.items[index]
    parts = rendered.part_pieces(index, rendered.scene.flavour)
    functions = rendered.function_pieces(index)
    kept_parts = [n for n in parts if _large_enough(n, "small_part", encoder.area(parts[n]), least, findings, where)]
    kept_functions = [
        n for n in functions
        if _large_enough(" ".join(n), "small_functional_part", encoder.area(functions[n]), least, findings, where)
    ]  # fmt: skip
    groups = [list(pieces), *(parts[n] for n in kept_parts), *(functions[n] for n in kept_functions)]
    whole, *masks = encoder.encode(groups, len(rendered.geometry.pieces))
    split_at = len(kept_parts)
    return ImageObject(
        category=item.category,
        instance_id=item.instance_id,
        mask=whole,
        parts=tuple(Part(name=n, mask=m) for n, m in zip(kept_parts, masks[:split_at], strict=True)),
        functional_parts=tuple(
            FunctionalPart(function=f, name=n, mask=m)
            for (f, n), m in zip(kept_functions, masks[split_at:], strict=True)
        ),
        keypoints=_keypoints(rendered, index, findings, where),
    )


def _large_enough(name: str, kind: str, area: int, least: float, findings: Findings, where: str) -> bool:
    if 0 < area < least:
        findings.add(kind, where, f"{name}: {area} pixels")
    return area >= least


def _keypoints(rendered: Rendered, index: int, findings: Findings, where: str) -> tuple[Keypoint, ...]:
    found = []
    for point in rendered.keypoints(index):
        name = f"{point.keypoint.part} {point.keypoint.point}"
        if point.depth <= 0:
            findings.add("keypoint_behind_camera", where, name)
            continue
        attributes = (*point.keypoint.part_position, *point.keypoint.point_position)
        xy = (round(point.xy[0], 2), round(point.xy[1], 2))
        found.append(Keypoint(concept=name, attributes=attributes, xy=xy, visible=point.visible))
    return tuple(found)


def _hidden(rendered: Rendered, index: int, area: int) -> bool:
    """Whether less than 3 % of an object's outline shows; its box tells cheaply for most."""
    xy, depth = rendered.scene.camera.project(rendered.scene.items[index].corners())
    if depth.min() > 1e-3 and area >= MIN_VISIBLE_SHARE * float(np.prod(np.ptp(xy, axis=0))):
        return False
    return area < MIN_VISIBLE_SHARE * _outline_area(rendered, index)


def _outline_area(rendered: Rendered, index: int) -> float:
    """Pixels inside the convex hull of the projected object, also where it leaves the picture."""
    item = rendered.scene.items[index]
    vertices = np.concatenate([p.mesh.vertices for p in item.model.pieces])
    xy, depth = rendered.scene.camera.project(vertices @ item.pose[:3, :3].T + item.pose[:3, 3])
    xy = xy[depth > 1e-3]
    if len(xy) < 3:
        return 0.0
    try:
        return float(ConvexHull(xy).volume)
    except QhullError:  # all points on one line
        return 0.0
