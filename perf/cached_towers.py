"""What a feature cache saves: a training step with the frozen towers run against one that reads their features.

    OMP_NUM_THREADS=1 python perf/cached_towers.py --out perf/cached_towers.json

The sizes of `tiny/calico.yaml` with random weights, towers frozen, LoRA and the paper's parts trained, 8 dialogues of
two pictures a step, on random pictures of 256 x 256 as JPEG. A step is collating (in this process), forward, backward
and AdamW, in bfloat16 as in that configuration. Cached and uncached steps take turns over the same batches, so that
other work on the machine meets both alike. Medians after a warm-up, of wall and of processor time.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from llava_corr.config import load_config
from llava_corr.datasets.collate import Collator
from llava_corr.experiment import ExperimentConfig
from llava_corr.files import write_json
from llava_corr.grammar import build_question, ground, join_words
from llava_corr.record_files import write_samples
from llava_corr.records import ImageRef, Mask, Sample, Target, Turn
from llava_corr.training.cache_building import build_cache
from llava_corr.training.caching import open_features
from llava_corr.training.model import build_model

SIDE, BATCH, WARM_UP = 256, 8, 3
FROZEN = (
    "model.weights=null",
    "training.lora={}",
    "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]",
)
NAMES = ("the leg", "the seat")


def draw_samples(folder: Path, pictures: int) -> list[Sample]:
    """Dialogues over two pictures each, two masks in either."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(pictures):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        path = folder / f"{number}.jpg"
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=90)
        images.append(ImageRef(path=str(path), height=SIDE, width=SIDE))
    pixels = np.zeros((SIDE, SIDE), bool)
    pixels[64:128, 64:160] = True
    targets = [
        Target(phrase=name, image_index=k, mask=Mask.from_array(pixels), turn=0, role="common")
        for name in NAMES
        for k in range(2)
    ]
    answer = f"The common parts are {join_words([ground(name, range(2)) for name in NAMES])}."
    turn = Turn(user=build_question(2, "Find the common parts."), assistant=answer)
    return [
        Sample(
            id=f"s{n}", split="train", source="random", task="common_parts", images=pair, turns=(turn,), targets=targets
        )
        for n, pair in enumerate(zip(images[::2], images[1::2], strict=True))
    ]


def timed(run: Any) -> tuple[Any, float, float]:
    """Result, wall seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - processor


def measure(config: ExperimentConfig, samples: list[Sample], steps: int) -> dict[str, dict[str, float]]:
    """Medians of the parts of a step, uncached and cached."""
    parts, processor = build_model(config, samples)
    features = open_features(config, parts.model, processor, samples)
    model = parts.model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    collators = {"uncached": Collator(processor), "cached": Collator(processor, features=features)}

    def step(batch: Any) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.training.bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    rows: dict[str, list[tuple[float, float, float, float]]] = {kind: [] for kind in collators}
    rng = np.random.default_rng(1)
    for number in range(WARM_UP + steps):
        chosen = [samples[i] for i in rng.permutation(len(samples))[:BATCH]]
        for kind, collator in collators.items():
            batch, *collating = timed(lambda collator=collator, chosen=chosen: collator(chosen))
            batch.pop("sample_ids")
            _, *computing = timed(lambda batch=batch: step(batch))
            if number >= WARM_UP:
                rows[kind].append((*collating, *computing))
    names = ("collate_wall", "collate_processor", "compute_wall", "compute_processor")
    found = {}
    for kind, times in rows.items():
        columns = zip(*times, strict=True)
        found[kind] = {name: statistics.median(column) for name, column in zip(names, columns, strict=True)}
        found[kind]["step_wall"] = statistics.median(row[0] + row[2] for row in times)
        found[kind]["step_processor"] = statistics.median(row[1] + row[3] for row in times)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=256, help="an even number (default 256)")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of either kind (default 30)")
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = draw_samples(folder, args.pictures)
        write_samples(folder / "train.jsonl", samples)
        places = [f"data.train={folder / 'train.jsonl'}", f"data.features={folder / 'cache'}"]
        config = load_config(
            "tiny/calico.yaml", [*FROZEN, "model.random_frozen=true", "training.deepspeed=null", *places]
        )
        built, _, processor = timed(lambda: build_cache(config, folder / "cache"))
        processor -= timed(lambda: build_cache(config, folder / "cache"))[2]  # the model's building and hashing
        seconds = measure(config, samples, args.steps)
    slow, fast = seconds["uncached"], seconds["cached"]
    faster = {clock: slow[f"step_{clock}"] / fast[f"step_{clock}"] for clock in ("wall", "processor")}
    rounded = {kind: {name: round(value, 4) for name, value in row.items()} for kind, row in seconds.items()}
    for kind, row in rounded.items():
        print(f"{kind}: " + ", ".join(f"{name} {value} s" for name, value in row.items()))
    print(f"a cached step is {faster['wall']:.1f} times as fast, by processor time {faster['processor']:.1f} times")
    rate, size = built.added / built.seconds, built.bytes / built.pictures
    print(f"building: {rate:.1f} pictures/s, {processor / built.added * 1e3:.1f} ms of processor time a picture")
    print(f"on the disk: {size:.0f} bytes a picture")
    if args.out:
        write_json(
            args.out,
            {
                "pictures": built.pictures,
                "dialogues_per_step": BATCH,
                "steps": args.steps,
                "seconds": rounded,
                "times_as_fast": {clock: round(value, 2) for clock, value in faster.items()},
                "built_pictures_per_second": round(rate, 1),
                "built_processor_ms_per_picture": round(processor / built.added * 1e3, 1),
                "bytes_per_picture": round(size),
                "machine": platform.machine(),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            },
        )


if __name__ == "__main__":
    main()
