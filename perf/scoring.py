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

from llava_corr.benchmarks import command
from llava_corr.benchmarks.mixedparts_units import TASKS
from llava_corr.files import write_json
from llava_corr.record_files import write_records
from llava_corr.records import ImageRef, Mask, Prediction, Role, Sample, Segment, Target, Task, Turn

SIDE = 256
NAMES = ("leg", "seat", "back", "arm", "wing", "tail", "head", "handle", "blade", "lid", "wheel", "headboard")
ROLES: dict[Task, Role] = {"common_objects": "object", "common_parts": "common", "unique_parts": "unique"}
_CENTRES = np.arange(SIDE) + 0.5


def ellipse(centre: np.ndarray, radii: np.ndarray) -> Mask:
    """A filled ellipse; centre and radii as (x, y) in pixels."""
    across, down = (((_CENTRES - c) / r) ** 2 for c, r in zip(centre, radii, strict=True))
    inside = across[None, :] + down[:, None] <= 1
    return Mask.from_array(inside)


def make_pair(index: int) -> tuple[Sample, Prediction, Prediction]:
    """One sample with two answers; the second is off a little further than the first."""
    rng = np.random.default_rng([17, index])
    task = TASKS[index % 3]
    role = ROLES[task]
    targets: list[Target] = []
    first: list[Segment] = []
    second: list[Segment] = []
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
    return sample, _answer(sample, first), _answer(sample, second)


def _answer(sample: Sample, segments: list[Segment]) -> Prediction:
    return Prediction(
        sample_id=sample.id,
        truth=sample.truth_hash(),
        text="",
        image_sizes=((SIDE, SIDE),) * 2,
        segments=tuple(segments),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="number of samples (default 10000)")
    parser.add_argument("--against", action="store_true", help="score and compare two prediction files")
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        start = time.perf_counter()
        rows = [make_pair(index) for index in range(args.samples)]
        names = ("test.jsonl", "p.jsonl", "q.jsonl")
        for position, name in enumerate(names):
            write_records(base / name, (row[position] for row in rows))
        print(f"made {args.samples} samples in {time.perf_counter() - start:.1f} s")
        score = argparse.ArgumentParser()
        command.add_arguments(score)
        options = ["--samples", str(base / names[0]), "--predictions", str(base / names[1])]
        options += ["--out", str(base / "scores.json")]
        options += ["--against", str(base / names[2])] if args.against else []
        seconds = {}
        for run in ("first (labels are embedded)", "again (labels are cached)"):
            start = time.perf_counter()
            command.run(score.parse_args(options))
            seconds[run] = round(time.perf_counter() - start, 1)
            print(f"scored, {run}: {seconds[run]} s")
    memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    print(f"peak memory {memory} GiB")
    if args.out:
        write_json(args.out, {"samples": args.samples, "seconds": seconds, "peak_memory_gib": memory})
    return 0


if __name__ == "__main__":
    sys.exit(main())
