"""Training pictures as arrays, with the name of what every cell shows: what dense objectives learn from.

A folder of them::

    pixels.npy   N x 256 x 256 x 3 uint8, read as a memory map
    labels.npy   N x 128 x 128 uint16: place in ``names`` of what the middle of the cell shows; 0 for nothing named
    about.json   names as (category, part) pairs, part "" where no named part is; what the pictures were made from

Letters: N pictures, S side of a picture, L side of its labels, C categories, M part names, both with 0 for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..datasets.images import load_picture
from ..datasets.mixedparts.views import ImageView
from ..errors import ImageError
from ..files import read_json, write_json

SIDE, CELLS = 256, 128
NOTHING = ("", "")


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures and labels of one folder.

    Attributes:
        pixels: N x S x S x 3 uint8.
        labels: N x L x L uint16.
        names: label -> (category, part).
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    names: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def categories(self) -> list[str]:
        """Names of categories in alphabetical order, behind "" for none."""
        return sorted({category for category, _ in self.names})

    @property
    def parts(self) -> list[str]:
        """Names of parts in alphabetical order, behind "" for none."""
        return sorted({part for _, part in self.names})

    def factors(self) -> tuple[Tensor, Tensor]:
        """Label -> place in ``categories``, and place in ``parts``."""
        categories = {name: k for k, name in enumerate(self.categories)}
        parts = {name: k for k, name in enumerate(self.parts)}
        pairs = [(categories[category], parts[part]) for category, part in self.names]
        return torch.tensor([c for c, _ in pairs]), torch.tensor([p for _, p in pairs])


def write_pictures(
    folder: Path,
    views: Sequence[ImageView],
    made_from: Mapping[str, Any],
    names: Sequence[tuple[str, str]] | None = None,
) -> set[tuple[str, str]]:
    """Writes a folder; ``about.json`` comes last, so that a folder with it is whole.

    Args:
        names: those of another folder, whose labels are to mean the same here; by default every name that is met.

    Returns:
        Names that are met and not among ``names``: their cells are labelled as nothing.

    Raises:
        ImageError: a picture is not ``SIDE`` pixels high and wide.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(names)
    pixels: Any = _new(folder / "pixels.npy", (len(views), SIDE, SIDE, 3), np.uint8)
    labels: Any = _new(folder / "labels.npy", (len(views), CELLS, CELLS), np.uint16)
    for n, view in enumerate(views):
        if (view.ref.height, view.ref.width) != (SIDE, SIDE):
            raise ImageError(
                f"the picture is {view.ref.height} x {view.ref.width} pixels, not {SIDE} x {SIDE}",
                where=view.ref.path,
                mend=f"render the world with --size {SIDE}",
            )
        pixels[n] = load_picture(view.ref)
        labels[n] = _label_map(view, table)
    pixels.flush()
    labels.flush()
    write_json(folder / "about.json", {**made_from, "names": table.names})
    return table.unknown


class Table:
    """Names and their labels; it grows unless its names are given."""

    def __init__(self, names: Sequence[tuple[str, str]] | None) -> None:
        self.fixed = names is not None
        self.names = list(names or [NOTHING])
        self.places = {name: k for k, name in enumerate(self.names)}
        self.unknown: set[tuple[str, str]] = set()

    def label(self, name: tuple[str, str]) -> int:
        if name not in self.places:
            if self.fixed:
                self.unknown.add(name)
                return 0
            self.places[name] = len(self.names)
            self.names.append(name)
        return self.places[name]


def _new(path: Path, shape: tuple[int, ...], dtype: type) -> Any:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _label_map(view: ImageView, table: Table) -> NDArray[np.uint16]:
    whole = np.zeros((SIDE, SIDE), np.uint16)
    for category, seen in view.classes.items():
        for part, mask in [("", seen.mask), *seen.parts.items()]:
            whole[mask.to_array()] = table.label((category, part))
    step = SIDE // CELLS
    return whole[step // 2 :: step, step // 2 :: step]


def open_pictures(folder: Path) -> LabelledPictures:
    """The pictures of a folder, on the disk until they are used.

    Raises:
        ImageError: the folder is not whole.
    """
    about = read_json(folder / "about.json", ImageError)
    names = [(str(category), str(part)) for category, part in about["names"]]
    pixels, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("pixels", "labels"))
    return LabelledPictures(pixels, labels, names)


class PictureStream(torch.utils.data.Dataset[tuple[int, int]]):
    """The pictures of a whole run in order: item k is picture k of endless shuffled epochs."""

    def __init__(self, count: int, items: int, seed: int) -> None:
        self.count, self.items, self.seed = count, items, seed

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, k: int) -> tuple[int, int]:
        """(place in the run, picture)."""
        epoch, place = divmod(k, self.count)
        return k, int(self._order(epoch)[place])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if getattr(self, "_kept", (None,))[0] != epoch:
            self._kept: tuple[int, NDArray[np.int64]] = (
                epoch,
                np.random.default_rng([self.seed, epoch]).permutation(self.count),
            )
        return self._kept[1]


class Crops:
    """Collator: crops in random light, mirrored or not; item k is drawn from (seed, k), whatever the batch.

    Most crops have something named in the middle of their view: four fifths of a picture show nothing named.

    Args:
        pictures: to draw from.
        seed: of the draws.
        side: of a crop, pixels.
        scale: side of the crop in the picture over the side of the picture; above 1 the border is grey.
        around: share of the crops that are laid around a random cell of a random name.
        cell: pixels along a cell of a crop's label map.
    """

    def __init__(
        self,
        pictures: LabelledPictures,
        seed: int,
        *,
        side: int = SIDE,
        scale: tuple[float, float] = (0.65, 1.15),
        around: float = 0.0,
        cell: int = 4,
    ) -> None:
        self.pictures, self.seed, self.side, self.cell = pictures, seed, side, cell
        self.scale, self.around = scale, around

    def __call__(self, items: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """``pixels`` B x 3 x side x side uint8, ``labels`` B x side/cell x side/cell, ``draws`` B x 64 in [0, 1)."""
        chosen = [n for _, n in items]
        labels_BLL = np.stack([self.pictures.labels[n] for n in chosen])
        drawn = [self._draw(k, labels) for (k, _), labels in zip(items, labels_BLL, strict=True)]
        rows = [np.stack(values).astype(np.float32) for values in zip(*drawn, strict=True)]
        window, light, draws = map(torch.from_numpy, rows)
        pixels = torch.from_numpy(np.stack([self.pictures.pixels[n] for n in chosen])).permute(0, 3, 1, 2).float() - 128
        count, cells = len(items), self.side // self.cell
        grid = F.affine_grid(window, [count, 3, self.side, self.side], align_corners=False)
        crops = F.grid_sample(pixels, grid, align_corners=False) * light[:, :1, None, None]
        crops = crops + light[:, 1:, None, None] + 128
        grid = F.affine_grid(window, [count, 1, cells, cells], align_corners=False)
        labels = torch.from_numpy(labels_BLL.astype(np.float32))[:, None]
        seen = F.grid_sample(labels, grid, mode="nearest", align_corners=False)[:, 0]
        return {"pixels": crops.round().clamp(0, 255).to(torch.uint8), "labels": seen.long(), "draws": draws}

    def _draw(self, k: int, labels: NDArray[np.uint16]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Window 2 x 3 (affine_grid's), contrast with an offset of each channel, and free draws, of item k."""
        rng = np.random.default_rng([self.seed, k, 1])
        side = rng.uniform(*self.scale)
        middle = rng.uniform(-1, 1, 2)
        named = np.unique(labels)[1:] if labels.min() == 0 else np.unique(labels)
        if len(named) and rng.random() < self.around:
            rows, columns = np.nonzero(labels == named[rng.integers(len(named))])
            cell = rng.integers(len(rows))
            thing = 2 * (np.array([columns[cell], rows[cell]]) + 0.5) / len(labels) - 1
            middle = thing + 0.8 * side * middle
        room = abs(1 - side)
        x, y = np.clip(middle, -room, room)
        mirrored = side if rng.random() < 0.5 else -side
        light = [rng.uniform(0.8, 1.2), *rng.uniform(-12, 12, 3)]
        return np.array([[mirrored, 0, x], [0, side, y]]), np.array(light), rng.random(64)


def plain_batches(pictures: LabelledPictures, size: int) -> Iterator[dict[str, Tensor]]:
    """All pictures as they are, in order."""
    for start in range(0, len(pictures), size):
        pixels = torch.from_numpy(np.array(pictures.pixels[start : start + size])).permute(0, 3, 1, 2)
        labels = torch.from_numpy(pictures.labels[start : start + size].astype(np.int64))
        yield {"pixels": pixels, "labels": labels}
