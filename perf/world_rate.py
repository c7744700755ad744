"""How fast the embedded world is made: pictures per second on one core, with 1, 4 and 8 objects, and where time goes.

    taskset -c 1 python perf/world_rate.py --out perf/world_rate.json

A picture counts from drawing its objects (every instance is new: no shape is reused) to its JPEG bytes and run-length
encoded masks. One object is the partimagenet flavour, four and eight are the clutter of paco_lvis with exactly so many
labelled objects. Times are processor time of this process, so other work on the machine disturbs them less. One BLAS
thread, as in the workers of `llava-corr world`.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from llava_corr.errors import Findings
from llava_corr.files import write_json
from llava_corr.world import casting, clutter, lighting, outdoors, picture
from llava_corr.world.build import encode_jpeg
from llava_corr.world.casting import Stage
from llava_corr.world.catalogue import of_flavour
from llava_corr.world.labels import annotate
from llava_corr.world.picture import render

WARM_UP = 20
STAGES = [
    (casting, "instance_shape", "meshes"),
    (casting, "instance_looks", "looks"),
    (picture, "Geometry", "scene for the ray caster"),
    (picture, "see", "primary rays"),
    (picture, "surface_colours", "textures"),
    (lighting.Illumination, "key_light", "shadow rays"),
    (lighting.Illumination, "ambient", "ambient rays"),
    (lighting, "_add_mirrors", "mirrors and glass"),
    (picture, "_smooth_edges", "anti-aliasing"),
]


@contextmanager
def timed_stages(spent: dict[str, float]) -> Iterator[None]:
    """Adds up the processor time of the stages while the block runs."""
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in STAGES]
    for owner, name, label in STAGES:
        setattr(owner, name, _timed(getattr(owner, name), label, spent))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _timed(function: Callable[..., Any], label: str, spent: dict[str, float]) -> Callable[..., Any]:
    def wrapped(*args: Any, **named: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **named)
        finally:
            spent[label] += time.process_time() - start

    return wrapped


def make(objects: int, index: int, size: int, spent: dict[str, float]) -> None:
    """One picture with ``objects`` labelled objects, thrown away."""
    flavour = "partimagenet" if objects == 1 else "paco_lvis"
    rng = np.random.default_rng([7, objects, index])
    stage = Stage(flavour, "train", 1000 + index, of_flavour(flavour), rng, (size, size), count=objects)
    compose = outdoors.compose if objects == 1 else clutter.compose
    marks = [time.process_time()]
    scene = compose(stage)
    marks.append(time.process_time())
    rendered = render(scene)
    marks.append(time.process_time())
    annotate(rendered, image_id=str(index), path="x.jpg", split="train", findings=Findings())
    marks.append(time.process_time())
    encode_jpeg(rendered.image)
    marks.append(time.process_time())
    for label, start, stop in zip(
        ("compose (all)", "render (all)", "labels", "jpeg"), marks[:-1], marks[1:], strict=True
    ):
        spent[label] += stop - start
    spent["picture"] += marks[-1] - marks[0]


def measure(objects: int, images: int, size: int) -> dict[str, Any]:
    """Rate and milliseconds per stage over ``images`` pictures."""
    for index in range(WARM_UP):  # imports and the banks of textures and surfaces are paid once per process
        make(objects, images + index, size, defaultdict(float))
    spent: dict[str, float] = defaultdict(float)
    each = []
    with timed_stages(spent):
        for index in range(images):
            before = spent["picture"]
            make(objects, index, size, spent)
            each.append(spent["picture"] - before)
    milliseconds = {label: round(1000 * total / images, 2) for label, total in spent.items()}
    return {
        "objects": objects,
        "images": images,
        "images_per_second": round(images / spent["picture"], 2),
        "images_per_second_median": round(1 / float(np.median(each)), 2),
        "milliseconds": dict(sorted(milliseconds.items(), key=lambda item: -item[1])),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", help="JSON file for the result")
    args = parser.parse_args()
    with threadpool_limits(1, "blas"):
        rows = [measure(objects, args.images, args.size) for objects in (1, 4, 8)]
    for row in rows:
        print(
            f"{row['objects']} objects: {row['images_per_second']} images/s (median {row['images_per_second_median']})"
        )
        print("   " + ", ".join(f"{label} {ms} ms" for label, ms in row["milliseconds"].items()))
    if args.out:
        write_json(args.out, {"size": args.size, "machine": platform.processor() or platform.machine(), "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
