"""How long scoring takes: random samples and predictions of 2 images at 256 x 256, about 3 segments per image.

python perf/scoring.py [--samples 10000] [--against]

Writes both files to a temporary folder, scores them through the command users run, and prints the seconds of each step
and the peak memory.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llava_corr.benchmarks import mixedparts_command
from llava_corr.benchmarks.mixedparts_units import TASKS
from llava_corr.records import ImageRef, Mask, Prediction, Sample, Segment, Target, Turn, write_records

SIDE = 256
NAMES = ("leg", "seat", "back", "arm", "wing", "tail", "head", "handle", "blade", "lid", "wheel", "headboard")
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE]


def ellipse(centre: np.ndarray, radii: np.ndarray) -> Mask:
    """A filled ellipse; centre and radii as (x, y) in pixels."""
    inside = ((_COLUMNS + 0.5 - centre[0]) / radii[0]) ** 2 + ((_ROWS + 0.5 - centre[1]) / radii[1]) ** 2 <= 1
    return Mask.from_array(inside)


def make_pair(index: int) -> tuple[Sample, Prediction, Prediction]:
    """One sample with two answers; the second is off a little further than the first."""
    rng = np.random.default_rng([17, index])
    task = TASKS[index % 3]
    role = {"common_objects": "object", "common_parts": "common", "unique_parts": "unique"}[task]
    targets, first, second = [], [], []
    for image in range(2):
        for name in rng.choice(NAMES, size=rng.integers(0, 7), replace=False):
            centre, radii = rng.uniform(30, SIDE - 30, 2), rng.uniform(8, 40, 2)
            mask = ellipse(centre, radii)
            targets.append(Target(phrase=f"the {name}", image_index=image, mask=mask, turn=0, role=role))
            for answer, offset in ((first, 6.0), (second, 9.0)):
                guess = ellipse(centre + rng.normal(0, offset, 2), radii * rng.uniform(0.8, 1.2, 2))
                word = name if rng.random() < 0.8 else str(rng.choice(NAMES))
                answer.append(
                    Segment(
                        phrase=f"the {word}",
                        image_index=image,
                        mask=guess,
                        score=float(rng.random()),
                        sentence="The parts",
                    )
                )
    sample = Sample(
        id=f"s{index:06d}",
        split="test",
        source="random",
        task=task,
        images=tuple(ImageRef(path=f"{index}-{k}.jpg", height=SIDE, width=SIDE) for k in range(2)),
        turns=(Turn(user="Segment.", assistant=""),),
        targets=tuple(targets),
    )
    common = {"sample_id": sample.id, "truth": sample.truth_hash(), "text": "", "image_sizes": ((SIDE, SIDE),) * 2}
    return sample, *(Prediction(**common, segments=tuple(segments)) for segments in (first, second))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="number of samples (default 10000)")
    parser.add_argument("--against", action="store_true", help="score and compare two prediction files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        start = time.perf_counter()
        rows = [make_pair(index) for index in range(args.samples)]
        names = ("test.jsonl", "p.jsonl", "q.jsonl")
        for name, records in zip(names, zip(*rows, strict=True), strict=True):
            write_records(base / name, records)
        print(f"made {args.samples} samples in {time.perf_counter() - start:.1f} s")
        command = argparse.ArgumentParser()
        mixedparts_command.add_arguments(command)
        options = ["--samples", str(base / names[0]), "--predictions", str(base / names[1])]
        options += ["--out", str(base / "scores.json")]
        options += ["--against", str(base / names[2])] if args.against else []
        for run in ("first (labels are embedded)", "again (labels are cached)"):
            start = time.perf_counter()
            mixedparts_command.run(command.parse_args(options))
            print(f"scored, {run}: {time.perf_counter() - start:.1f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
