"""Mask overlays: tinted regions with contours and name tags on an image.

Whole objects that stand behind their parts are drawn as outlines, everything else as tinted areas; where regions
overlap the smaller one lies on top. Outside the masks only tags and their leader lines change pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import MaskError
from .colours import Colour, colour_of, label_colours
from .images import BoolArray, RGBArray, display_size, resize_mask, resize_rgb
from .tags import draw_tags, place_tags

_RIM_SHADE = 0.3
_RIM_AREA = 150  # pixels; smaller regions need all of theirs for colour


@dataclass(frozen=True, eq=False)
class Region:
    """A named mask to draw.

    Attributes:
        label: text of its tag; also decides the colour.
        mask: bool H x W, the size of the image.
        outline: draw the contour only, as for an object whose parts are shown too.
    """

    label: str
    mask: BoolArray
    outline: bool = False


def draw_overlay(
    image: RGBArray,
    regions: Sequence[Region],
    colours: dict[str, Colour] | None = None,
    *,
    long_side: int | None = None,
    tint: float = 0.45,
    contour: int = 2,
    font_size: int | None = None,
) -> RGBArray:
    """Draws regions and their tags; the one call most users need.

    Args:
        image: uint8 H x W x 3.
        regions: masks of the image's size.
        colours: from :func:`label_colours`; by default made from these regions alone. Pass one mapping to all pictures
            that should agree.
        long_side: display size in pixels; masks, contours and tags are drawn at that size, so they stay crisp.
        tint: opacity of a region's area, 0 to 1.
        contour: width of its coloured contour in pixels, inside the mask; a dark rim of one pixel surrounds it.
        font_size: pixels of the tags' letters; 0 for no tags, None for a size that fits the picture.

    Raises:
        MaskError: a mask of another size than the image.
    """
    _check_sizes(image, regions)
    colours = label_colours(r.label for r in regions) if colours is None else colours
    if long_side is not None:
        size = display_size(image.shape[:2], long_side)
        image = resize_rgb(image, size)
        regions = [Region(r.label, resize_mask(r.mask, size), r.outline) for r in regions]
    font_size = tag_font_size(image.shape[:2]) if font_size is None else font_size
    painted = paint_regions(image, regions, colours, tint=tint, contour=contour)
    if font_size == 0:
        return painted
    tags = place_tags(
        [r.label for r in regions],
        [r.mask for r in regions],
        [colour_of(r.label, colours) for r in regions],
        image.shape[:2],
        font_size,
    )
    return draw_tags(painted, tags, font_size)


def paint_regions(
    image: RGBArray, regions: Sequence[Region], colours: dict[str, Colour], *, tint: float = 0.45, contour: int = 2
) -> RGBArray:
    """Tints areas and draws contours, without tags; changes no pixel outside the masks. Returns a new array.

    Raises:
        MaskError: a mask of another size than the image.
    """
    _check_sizes(image, regions)
    painted = image.astype(np.float64)
    by_size = sorted(regions, key=lambda r: -int(r.mask.sum()))
    for region in by_size:
        if not region.outline:
            # from the image, not from what lies below: stacked tints would give colours that belong to no label
            colour = np.asarray(colour_of(region.label, colours), dtype=np.float64)
            painted[region.mask] = (1 - tint) * image[region.mask] + tint * colour
    for region in by_size:
        painted[_contour(region.mask, contour + (contour > 0))] = colour_of(region.label, colours)
        if contour and region.mask.sum() >= _RIM_AREA:
            painted[_contour(region.mask, 1)] *= _RIM_SHADE  # a dark rim keeps like-coloured neighbours apart
    return np.rint(painted).astype(np.uint8)


def tag_font_size(size: tuple[int, int]) -> int:
    """Letter height in pixels that reads well at (height, width) = ``size`` shown at about 350 pixels."""
    return int(np.clip(round(max(size) / 24), 11, 40))


def _contour(mask: BoolArray, width: int) -> BoolArray:
    """The pixels of the mask within ``width`` of its outside; an image border is no outside."""
    if width < 1 or not mask.any():
        return np.zeros_like(mask)
    inner = ndimage.binary_erosion(mask, ndimage.generate_binary_structure(2, 1), iterations=width, border_value=1)
    return mask & ~inner


def _check_sizes(image: RGBArray, regions: Sequence[Region]) -> None:
    for region in regions:
        if region.mask.shape != image.shape[:2]:
            raise MaskError(
                f"the mask of {region.label!r} is {region.mask.shape[0]} x {region.mask.shape[1]} pixels, the image "
                f"{image.shape[0]} x {image.shape[1]} (height x width)",
                mend="check which image the mask belongs to",
            )
