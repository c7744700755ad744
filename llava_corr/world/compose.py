"""Picture ``index`` of a world: one function from (seed, flavour, split, index) to image and record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, Findings
from ..records import AnnotatedImage
from ..registry import did_you_mean
from . import clutter, outdoors, rooms
from .casting import Stage
from .catalogue import of_flavour
from .labels import annotate
from .picture import Rendered, render
from .scene import Scene
from .writers import ade20k_part_234, paco_lvis, partimagenet

FLAVOURS = ("paco_lvis", "partimagenet", "ade20k_part_234")
WORLD_SPLITS = ("train", "val", "test", "unseen")
_COMPOSERS: dict[str, Callable[[Stage], Scene]] = {
    "paco_lvis": clutter.compose,
    "partimagenet": outdoors.compose,
    "ade20k_part_234": rooms.compose,
}
_PATHS: dict[str, Callable[[str, str, str], str]] = {
    "paco_lvis": paco_lvis.image_path,
    "partimagenet": partimagenet.image_path,
    "ade20k_part_234": ade20k_part_234.image_path,
}
LEAST_OBJECTS = {"paco_lvis": 3, "partimagenet": 1, "ade20k_part_234": 2}
_ATTEMPTS = 8
_PICTURE = 3


@dataclass(frozen=True)
class World:
    """What decides every picture besides its flavour, split and index.

    Attributes:
        seed: of all random streams.
        size: height and width in pixels.
        unseen: categories that train, val and test never show; the split ``unseen`` shows only these.
    """

    seed: int = 0
    size: int = 256
    unseen: tuple[str, ...] = ()


def format_split(split: str) -> str:
    """The split's name inside the public formats: ``unseen`` is a test split of its own folder."""
    return "test" if split == "unseen" else split


def compose_scene(world: World, flavour: str, split: str, index: int, attempt: int = 0) -> Scene:
    """The scene of a picture before anything is rendered.

    Raises:
        ConfigError: unknown flavour or split, or no category is left to show.
    """
    if flavour not in _COMPOSERS:
        raise ConfigError(f"unknown flavour {flavour!r}", mend=did_you_mean(flavour, FLAVOURS))
    if split not in WORLD_SPLITS:
        raise ConfigError(f"unknown split {split!r}", mend=did_you_mean(split, WORLD_SPLITS))
    categories = of_flavour(flavour, world.unseen, only_unseen=split == "unseen")
    if not categories:
        raise ConfigError(
            f"no category of {flavour} is left for split {split}",
            where=f"unseen: {', '.join(world.unseen) or 'none'}",
            mend="hold out fewer categories, or leave this split out",
        )
    stream = [world.seed, _PICTURE, FLAVOURS.index(flavour), WORLD_SPLITS.index(split), index, attempt]
    rng = np.random.default_rng(stream)
    stage = Stage(flavour, format_split(split), world.seed, categories, rng, (world.size, world.size))
    return _COMPOSERS[flavour](stage)


def make_picture(
    world: World,
    flavour: str,
    split: str,
    index: int,
    findings: Findings,
    draw: Callable[[Scene], Rendered] = render,
) -> tuple[Rendered, AnnotatedImage]:
    """Renders picture ``index`` and labels it; the record's path is relative to the flavour's folder.

    A scene that shows too few objects (3 in clutter, 1 outdoors, 2 in rooms) is drawn again, up to 8 times, each time
    from a stream of its own; the best one is kept. Findings are those of the kept scene. ``draw`` may be
    ``render_labels`` where the picture itself is not wanted: the labels are the same.
    """
    best: tuple[Rendered, AnnotatedImage, Findings] | None = None
    for attempt in range(_ATTEMPTS):
        rendered = draw(compose_scene(world, flavour, split, index, attempt))
        found = Findings()
        shown = next((item.category for item in rendered.scene.items if item.category), "")
        path = _PATHS[flavour](str(index), format_split(split), shown)
        record = annotate(
            rendered, image_id=str(index), path=path, split=format_split(split), findings=found, source=flavour
        )
        if best is None or len(record.objects) > len(best[1].objects):
            best = rendered, record, found
        if len(best[1].objects) >= LEAST_OBJECTS[flavour]:
            break
    assert best is not None  # there is at least one attempt
    findings.extend(best[2])
    return best[0], best[1]
