"""How many MixedParts samples one core assembles and writes per second, once the masks are loaded.

    python perf/mixedparts_rate.py [--images 2000] [--samples 20000] [--out result.json]

Random annotations in the shape of the three sources: PACO-like clutter with 1 to 8 objects, one animal per picture,
rooms with 3 to 12 objects; 640 x 480 masks. Merging the instances of an image is timed apart from assembling.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from llava_corr.datasets.mixedparts.build import Builder
from llava_corr.datasets.mixedparts.classes import SOURCES, class_parts, comparable_classes
from llava_corr.datasets.mixedparts.pool import Pool
from llava_corr.datasets.mixedparts.spec import MixedPartsSpec
from llava_corr.datasets.mixedparts.views import view_images
from llava_corr.errors import Findings
from llava_corr.files import write_json
from llava_corr.record_files import write_samples
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part

HEIGHT, WIDTH = 480, 640
OBJECTS = {"paco_lvis": (1, 9), "partimagenet": (1, 2), "ade20k_part_234": (3, 13)}


def ellipse(rng: np.random.Generator) -> Mask:
    """A random ellipse, drawn in its bounding box only."""
    ry, rx = rng.integers(10, 120, 2)
    cy, cx = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = np.ogrid[max(cy - ry, 0) : cy + ry, max(cx - rx, 0) : cx + rx]
    y, x = y[y < HEIGHT][:, None], x[x < WIDTH][None]
    pixels[y[0, 0] : y[-1, 0] + 1, x[0, 0] : x[0, -1] + 1] = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
    return Mask.from_array(pixels)


def annotate(source: str, count: int, rng: np.random.Generator) -> list[AnnotatedImage]:
    known = class_parts(source)
    names = sorted(known)
    library = [ellipse(rng) for _ in range(300)]
    images = []
    for k in range(count):
        objects = []
        for j in range(rng.integers(*OBJECTS[source])):
            category = names[int(len(names) * rng.beta(1, 3))]  # some classes are frequent, most are not
            parts = [p for p in sorted(known[category]) if rng.random() < 0.6]
            masks = [library[i] for i in rng.integers(0, len(library), len(parts) + 1)]
            objects.append(
                ImageObject(
                    category=category,
                    instance_id=str(j),
                    mask=masks[0],
                    parts=tuple(Part(name=n, mask=m) for n, m in zip(parts, masks[1:], strict=True)),
                )
            )
        path = f"/data/{source}/{k}.jpg"
        images.append(
            AnnotatedImage(
                image_id=str(k),
                path=path,
                height=HEIGHT,
                width=WIDTH,
                source=source,
                split="train",
                objects=tuple(objects),
            )
        )
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="images per source")
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    annotated = {source: annotate(source, args.images, rng) for source in SOURCES}
    start = time.perf_counter()
    pools = [Pool(s, "train", view_images(a, Findings()), comparable_classes(s)) for s, a in annotated.items()]
    merged = time.perf_counter()
    builder = Builder(pools, MixedPartsSpec(), "train", 0)
    samples = list(builder.samples(args.samples))
    assembled = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_samples(Path(folder) / "train.jsonl", samples)
    written = time.perf_counter()
    figures = {
        "images": 3 * args.images,
        "samples": len(samples),
        "targets_per_sample": sum(len(s.targets) for s in samples) / len(samples),
        "images_merged_per_s": round(3 * args.images / (merged - start)),
        "samples_assembled_per_s": round(len(samples) / (assembled - merged)),
        "samples_written_per_s": round(len(samples) / (written - assembled)),
        "refused_draws_per_sample": sum(builder.refused.values()) / len(samples),
    }
    for name, value in figures.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")
    if args.out:
        write_json(args.out, figures)


if __name__ == "__main__":
    main()
