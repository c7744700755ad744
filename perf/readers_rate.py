"""Reading rate of every source, in images per second.

    python perf/readers_rate.py [--images 200] [--objects 5] [--parts 3] [--out result.json]

Writes one synthetic split per format with the project's own writers (640 x 480, irregular masks), reads it back and
prints one row per source: rate of the whole read, and with every image file decoded (``check_images``). Nothing is
downloaded; on real files the rates differ with the number of masks per image.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from llava_corr.errors import Findings
from llava_corr.files import write_json
from llava_corr.record_files import write_records
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part
from llava_corr.sources import SOURCES
from llava_corr.taxonomy import ade_parts, paco_parts, partimagenet_parts

HEIGHT, WIDTH = 480, 640
CATEGORY = {"paco_lvis": "bicycle", "partimagenet": "dog", "ade20k_part_234": "car"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="images per format")
    parser.add_argument("--objects", type=int, default=5, help="objects per image (PartImageNet has one)")
    parser.add_argument("--parts", type=int, default=3, help="parts per object")
    parser.add_argument("--folder", type=Path, help="where to write the splits; a temporary folder if not given")
    parser.add_argument("--out", help="also write the rates to this JSON file")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = args.folder or Path(temporary)
        print(f"{'source':<28}{'images/s':>10}{'with image check':>18}{'write images/s':>16}")
        for name in CATEGORY:
            images = [picture(name, root / name, i, args.objects, args.parts) for i in range(args.images)]
            start = time.perf_counter()
            import_module(f"llava_corr.world.writers.{name}").write(root / name, "train", images)
            writing = len(images) / (time.perf_counter() - start)
            rows.append(report(name, root / name, f"{writing:16.0f}"))
            if name == "partimagenet":
                rows.append(report(name, root / name, "", masks="png"))
            if name == "paco_lvis":
                write_records(root / "train.jsonl", images)
        rows.append(report("jsonl", root, ""))
    if args.out:
        shape = {"images": args.images, "objects": args.objects, "parts": args.parts}
        write_json(args.out, {**shape, "images_per_second": rows})


def report(name: str, root: Path, writing: str, **options: str) -> dict[str, object]:
    rates = []
    for check in (False, True):
        findings = Findings()
        start = time.perf_counter()
        count = sum(1 for _ in SOURCES.load(name)(root, "train", findings=findings, check_images=check, **options))
        rates.append(count / (time.perf_counter() - start))
        assert not findings, findings.summary()
    label = name + "".join(f" ({key}={value})" for key, value in options.items())
    print(f"{label:<28}{rates[0]:10.0f}{rates[1]:18.0f}{writing}")
    return {"source": label, "read": round(rates[0], 1), "read_and_decoded": round(rates[1], 1)}


def picture(name: str, root: Path, index: int, objects: int, parts: int) -> AnnotatedImage:
    """One image with smooth random regions, split into objects and parts; its JPEG is written."""
    rng = np.random.default_rng([0, index])
    noise = ndimage.gaussian_filter(rng.standard_normal((2, HEIGHT // 8, WIDTH // 8)), (0, 3, 3))
    fields = ndimage.zoom(noise, (1, 8, 8), order=1)
    count = 1 if name == "partimagenet" else objects
    wholes, inner = (quantiles(field, bins) for field, bins in zip(fields, (count + 1, parts + 1), strict=True))
    things = []
    for value in range(1, count + 1):
        pixels = wholes == value
        names = part_names(name)[:parts]
        masks = [Mask.from_array(pixels & (inner == i)) for i in range(1, len(names) + 1)]
        found = tuple(Part(name=n, mask=m) for n, m in zip(names, masks, strict=True) if m.area)
        things.append(
            ImageObject(category=CATEGORY[name], instance_id=str(value), mask=Mask.from_array(pixels), parts=found)
        )
    relative = import_module(f"llava_corr.world.writers.{name}").image_path(str(index), "train", CATEGORY[name])
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(path, format="JPEG")
    return AnnotatedImage(
        image_id=str(index),
        path=str(path),
        height=HEIGHT,
        width=WIDTH,
        source=name,
        split="train",
        objects=tuple(things),
    )


def quantiles(field: np.ndarray, bins: int) -> np.ndarray:
    """Labels 0 .. bins-1 of equal area."""
    return np.digitize(field, np.quantile(field, np.linspace(0, 1, bins + 1)[1:-1]))


def part_names(name: str) -> list[str]:
    """Part names of the category, in the order of their ids."""
    if name == "paco_lvis":
        return [c.part for c in paco_parts() if c.whole == "bicycle"]
    classes, whole = (partimagenet_parts(), "quadruped") if name == "partimagenet" else (ade_parts(), "car")
    return [c.part for c in classes if c.whole == whole]


if __name__ == "__main__":
    main()
