"""How finely a grid can hold masks: true masks, drawn on a grid by area and back to the picture, against themselves.

    python perf/mask_grid.py --out perf/mask_grid.json
    python perf/mask_grid.py --samples test.jsonl --drawn drawn.jsonl

Without samples the masks are those of all things and parts in --images validation pictures of each flavour of the
embedded world, of all its kinds. ``drawn`` is a file of `llava-corr predict --true-answers`: its masks stand beside the
grids in a row of their own, over the same truths. The mask decoder of tiny/calico.yaml has side 96, its encoder 24.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from llava_corr.benchmarks.anatomy_facts import BINS, Facts
from llava_corr.errors import Findings
from llava_corr.files import find_shipped, write_json
from llava_corr.grammar import normalise_label
from llava_corr.models.checkpoints.model_folder import load_processor
from llava_corr.record_files import iter_predictions, read_samples
from llava_corr.records import Mask
from llava_corr.world.compose import FLAVOURS, World, make_picture
from llava_corr.world.picture import render_labels

SIDES = (16, 24, 32, 64, 96, 192)  # divisors of the canvas, 192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100, help="pictures of each flavour, without samples")
    parser.add_argument("--samples", help="samples file whose masks are taken")
    parser.add_argument("--drawn", help="predictions of the samples' true answers")
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args()
    if args.drawn and not args.samples:
        parser.error("--drawn: give its --samples, too")
    pairs = list(of_samples(args.samples, args.drawn) if args.samples else of_world(args.images))
    truths = [truth for truth, _ in pairs]
    sizes = [Facts(truth.area / np.prod(truth.size), None, None, None).bins()["size"] for truth in truths]
    rows = {str(side): summary(ious(truths, on_grid(truths, side)), sizes) for side in SIDES}
    if args.drawn:
        rows["drawn"] = summary(ious(truths, [drawn for _, drawn in pairs if drawn is not None]), sizes)
    for name, row in rows.items():
        print(name, row)
    if args.out:
        numbers = {size: sizes.count(size) for size in BINS["size"]}
        write_json(args.out, {"masks": len(truths), "masks_by_size": numbers, "sides": rows})


def of_world(images: int) -> Iterator[tuple[Mask, None]]:
    """Of things and parts that training, validation and test show."""
    for flavour in FLAVOURS:
        for index in range(images):
            _, record = make_picture(World(), flavour, "val", index, Findings(), draw=render_labels)
            for thing in record.objects:
                yield from ((mask, None) for mask in (thing.mask, *(part.mask for part in thing.parts)))


def of_samples(samples: str, drawn: str | None) -> Iterator[tuple[Mask, Mask]]:
    """Every truth once for each sample that asks for it; the model's mask of the same name and picture."""
    answers = {answer.sample_id: answer for answer in iter_predictions(drawn)} if drawn else {}
    for sample in read_samples(samples):
        answer = answers.get(sample.id)
        own = {(normalise_label(s.phrase), s.image_index): s.mask for s in answer.segments} if answer else {}
        for target in sample.targets:
            key = (normalise_label(target.phrase), target.image_index)
            yield target.mask, own.get(key, Mask.from_array(np.zeros(target.mask.size, bool)))


def on_grid(masks: Sequence[Mask], side: int) -> Iterable[Mask]:
    """Each as the processor's mask targets hold it, brought back as a model's logits are."""
    processor = load_processor(find_shipped("data/zoo"))
    processor.mask_size = side
    for mask in masks:
        shares = processor.mask_targets([mask.to_array()]).float() / 255
        (back,) = processor.mask_probabilities(shares - 0.5, [mask.size])
        yield Mask.from_array(back > 0.5)


def ious(truths: Sequence[Mask], others: Iterable[Mask]) -> NDArray[np.float64]:
    return np.array([Mask.iou([truth], [other])[0, 0] for truth, other in zip(truths, others, strict=True)])


def summary(values: NDArray[np.float64], sizes: Sequence[str]) -> dict[str, object]:
    """Mean IoU, the share from 0.5 on, and the mean by the mask's share of the picture."""
    by_size = {size: values[[own == size for own in sizes]] for size in BINS["size"]}
    return {
        "mean_iou": round(float(values.mean()), 3),
        "share_from_0.5": round(float((values >= 0.5).mean()), 3),
        "by_size": {size: round(float(some.mean()), 3) if len(some) else None for size, some in by_size.items()},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
