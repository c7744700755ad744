"""The report's section on what became of every mask: stacked bars, tables, and a few examples of each failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from ..drawing.colours import Colour
from ..drawing.images import load_rgb
from ..drawing.overlays import Region, draw_overlay
from ..records import Mask, Prediction, Sample
from .anatomy_file import FAILURES, FATES, AnatomyFile, Cell, MaskRow, Share
from .cards import Picture
from .stacked import Bar, stacked_svg
from .tables import FactTable, words

EXAMPLES = 6
THUMBNAIL = 176  # pixels of the side of a stored thumbnail
TRUE, DRAWN = "true mask", "drawn mask"
COLOURS: dict[str, Colour] = {TRUE: (255, 225, 0), DRAWN: (70, 110, 255)}
_ALL = "all"
_DIMENSIONS = {"size": "share of the picture", "shown": "how much of it shows", "category": "category"}
_ROOM = 1.8  # side of a cut-out over the longer side of what it shows
_LEAST_CUT = 0.4  # of the picture's longer side


class Example(NamedTuple):
    """A mask of one fate: a thumbnail, or two where the drawn mask is in another picture, and a line about it."""

    pictures: list[Picture]
    caption: str
    detail: str


class Examples(NamedTuple):
    """Examples of one fate, the largest first; ``total`` masks share it."""

    kind: str
    definition: str
    total: int
    shown: list[Example]


def anatomy_context(
    file: AnatomyFile, samples: Sequence[Sample], answers: Mapping[str, Prediction], seed: int
) -> dict[str, Any]:
    """What the section shows, by the names its template uses."""
    return {
        "rule": file.settings.names,
        "chart": Markup(stacked_svg(_bars(file), ("masks", "spurious"), "Fates of the true masks, in percent")),
        "legend": [(kind, words(kind), file.definitions.get(kind, "")) for kind in (*FATES, "spurious")],
        "dimensions": [
            (_DIMENSIONS[name], meaning) for name, meaning in file.dimensions.items() if name in _DIMENSIONS
        ],
        "tables": [_table(task, table) for task, table in file.tables.items() if table.get(_ALL)],
        "objects": _counts_line(file.named_first) if file.named_first else None,
        "examples": _examples(file, {s.id: s for s in samples}, answers, seed),
    }


def _bars(file: AnatomyFile) -> list[Bar]:
    """All masks and each task, then all tasks by every dimension of which anything is known."""
    bars = [_bar(words(task), "task", table[_ALL][0]) for task, table in file.tables.items() if table.get(_ALL)]
    if bars:
        bars[0] = bars[0]._replace(label="all tasks")
    for name, title in _DIMENSIONS.items():
        cells = file.tables.get(_ALL, {}).get(name, [])
        if [cell.bin for cell in cells] != ["not known"]:
            bars += [_bar(cell.bin, title, cell) for cell in cells]
    return bars


def _bar(label: str, group: str, cell: Cell) -> Bar:
    pieces = [(kind, cell.kinds[kind].share or 0.0, f"{words(kind)}: {_text(cell.kinds[kind])}") for kind in FATES]
    spurious = "–" if cell.spurious is None or cell.spurious.share is None else f"{100 * cell.spurious.share:.0f} %"
    return Bar(label, group, pieces, (str(cell.masks), spurious))


def _table(task: str, table: Mapping[str, Sequence[Cell]]) -> FactTable:
    header = ["", "masks", *(words(kind) for kind in FATES), "predicted", "spurious"]
    rows = [_line("all", table[_ALL][0])]
    for name, title in _DIMENSIONS.items():
        rows += [_line(f"{title}: {cell.bin}", cell) for cell in table.get(name, [])]
    return FactTable("all tasks" if task == _ALL else words(task), header, rows)


def _line(title: str, cell: Cell) -> list[str]:
    predicted = "–" if cell.predicted is None else str(cell.predicted)
    return [title, str(cell.masks), *(_text(cell.kinds[k]) for k in FATES), predicted, _text(cell.spurious)]


def _text(share: Share | None) -> str:
    """``12: 3.4 (2.1 to 5.0)``: number, percent, interval."""
    if share is None or share.share is None:
        return "–"
    ends = f" ({100 * share.interval[0]:.1f} to {100 * share.interval[1]:.1f})" if share.interval else ""
    return f"{share.number}: {100 * share.share:.1f}{ends}"


def _counts_line(cell: Cell) -> str:
    fates = ", ".join(f"{cell.kinds[kind].number} {words(kind)}" for kind in FATES)
    spurious = "" if cell.spurious is None else f"; of {cell.predicted} drawn, {cell.spurious.number} spurious"
    return f"{cell.masks} masks: {fates}{spurious}."


# ---- examples --------------------------------------------------------------------------------------------------------


def _examples(
    file: AnatomyFile, samples: Mapping[str, Sample], answers: Mapping[str, Prediction], seed: int
) -> list[Examples]:
    """Per failure, counted masks of as many samples, drawn at random, the largest first."""
    groups = []
    for number, kind in enumerate(FAILURES):
        rows = [row for row in file.masks if row.kind == kind and row.counted]
        order = np.random.default_rng((seed, number)).permutation(len(rows))
        one_each = list({rows[k].sample: rows[k] for k in order[::-1]}.values())[::-1][:EXAMPLES]
        one_each.sort(key=lambda row: (-row.share, row.sample, row.place))
        shown = [_example(row, samples[row.sample], answers.get(row.sample)) for row in one_each]
        groups.append(Examples(words(kind), file.definitions.get(kind, ""), len(rows), shown))
    return groups


def _example(row: MaskRow, sample: Sample, answer: Prediction | None) -> Example:
    segments = answer.segments if answer else ()
    if row.kind == "spurious":
        views = [(row.image, [(DRAWN, segments[row.place].mask)])]
        caption = f"“{row.name or '(no name)'}”"
    else:
        views = [(row.image, [(TRUE, sample.targets[row.place].mask)])]
        caption = row.name
    if row.kind != "spurious" and row.segment is not None:
        drawn = segments[row.segment]
        if drawn.image_index == row.image:
            views[0][1].insert(0, (DRAWN, drawn.mask))
        else:
            views.append((drawn.image_index, [(DRAWN, drawn.mask)]))
            caption += f" of image {row.image + 1}, drawn in image {drawn.image_index + 1}"
    if row.kind == "wrong_name":
        caption += f", said “{row.said or '(no name)'}”"
    detail = f"{100 * row.share:.1f} % of the picture" + ("" if row.iou is None else f", IoU {100 * row.iou:.0f}")
    return Example([_thumbnail(sample, image, masks) for image, masks in views], caption, detail)


def _thumbnail(sample: Sample, image: int, masks: Sequence[tuple[str, Mask]]) -> Picture:
    """A square cut-out around the masks: drawn ones tinted, the true one as an outline over them."""
    ref = sample.images[image]
    pixels = load_rgb(ref.path, (ref.height, ref.width))
    rows, columns = _cut([mask for _, mask in masks], ref.height, ref.width)
    regions = [Region(name, mask.to_array()[rows, columns], outline=name == TRUE) for name, mask in masks]
    shown = draw_overlay(pixels[rows, columns], regions, dict(COLOURS), long_side=THUMBNAIL, font_size=0)
    listed = " and ".join(name for name, _ in masks)
    return Picture(f"image {image + 1}", f"{listed} in image {image + 1} of sample {sample.id}", shown)


def _cut(masks: Sequence[Mask], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a square around all masks, moved inside the picture; the whole where nothing is drawn."""
    boxes = [mask.box for mask in masks if mask.area]
    if not boxes:
        return slice(0, height), slice(0, width)
    x0, y0 = (min(box[k] for box in boxes) for k in (0, 1))
    x1, y1 = (max(box[k] for box in boxes) for k in (2, 3))
    side = max(_ROOM * max(x1 - x0, y1 - y0), _LEAST_CUT * max(height, width))
    return _span((y0 + y1) / 2, side, height), _span((x0 + x1) / 2, side, width)


def _span(centre: float, side: float, size: int) -> slice:
    length = min(round(side), size)
    start = min(max(round(centre - length / 2), 0), size - length)
    return slice(start, start + length)
