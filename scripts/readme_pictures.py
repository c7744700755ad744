"""Draws the README's two pictures into docs/images/.

python scripts/readme_pictures.py --demo runs/demo

world.jpg: the first pictures of each flavour beside their part labels. demo.jpg: answers of the demo's model to pairs,
drawn by the report's own rule (seed 0, no choice by hand): of every task one sample from the best third by strict mIoU,
one from the middle third and one from the worst, each of another flavour. Left to right: picture, truth, answer, for
image 1 and for image 2.
"""

import argparse
from pathlib import Path

import numpy as np

from llava_corr.benchmarks.mixedparts_units import TASKS
from llava_corr.drawing.images import jpeg_bytes
from llava_corr.drawing.sheets import contact_sheet
from llava_corr.files import atomic_write
from llava_corr.record_files import iter_predictions, read_samples
from llava_corr.report.cards import build_card
from llava_corr.report.scores_file import read_scores
from llava_corr.report.selection import BANDS, choose_samples
from llava_corr.world.compose import FLAVOURS, World
from llava_corr.world.contact_sheet import flavour_sheet

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def save(name: str, pixels: np.ndarray) -> None:
    with atomic_write(IMAGES / name, "wb") as handle:
        handle.write(jpeg_bytes(pixels, 85))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    demo: Path = parser.parse_args().demo
    save("world.jpg", flavour_sheet(World(), FLAVOURS, "train", rows=1, columns=3))
    samples = read_samples(demo / "mixedparts" / "test.jsonl")
    columns = read_scores(demo / "tiny-calico" / "scores.json").columns
    answers = {p.sample_id: p for p in iter_predictions(demo / "tiny-calico" / "predictions.jsonl")}
    cards = []
    for row, task in enumerate(TASKS):
        pairs = [s for s in samples if s.task == task and len(s.images) == 2]
        chosen = choose_samples(pairs, columns[task]["mIoU_strict"].per_sample or {}, 1, seed=0)
        sources = sorted({choice.sample.source for choice in chosen})
        wanted = {(band, sources[(row + k) % len(sources)]) for k, band in enumerate(BANDS)}
        drawn = sorted((c for c in chosen if (c.band, c.sample.source) in wanted), key=lambda c: BANDS.index(c.band))
        cards += [(task, build_card(choice, [("answer", answers.get(choice.sample.id))], [])) for choice in drawn]
    tiles = [picture for _, card in cards for row in card.pictures for picture in row]
    captions = [
        f"{task.replace('_', ' ')}, {card.band}" if k == 0 else p.caption
        for task, card in cards
        for k, p in enumerate(p for row in card.pictures for p in row)
    ]
    save("demo.jpg", contact_sheet([t.pixels for t in tiles], captions, columns=6, cell=200))


if __name__ == "__main__":
    main()
