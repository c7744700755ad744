"""How often an answer is the same whether asked alone or among eight, in bfloat16 and in float32.

    python perf/agreement.py [--samples 64] [--seed 0] [--out result.json]

A random model of tiny/calico.yaml's sizes, layers that start at zero stirred (tests/support/answering.py), answers
about coloured squares on 1 to 4 pictures. The grammar of the answers is forced, so that every one draws masks; the
words are the model's own. In float32 all words have to agree, and all pixels but those whose probability is 0.5 to
within rounding: sums run in another order where a batch has another shape. A trained model's figures will differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from answering import PLANS, planned, stir
from toy import toy_samples

from llava_corr.config import load_config
from llava_corr.files import write_json
from llava_corr.inference.predictor import Predictor
from llava_corr.record_files import write_samples
from llava_corr.records import Prediction, Sample
from llava_corr.training.model import build_model

RANDOM = ("model.weights=null", "training.lora=null", "training.trainable=[all]")
WORDS = 8  # of the model's own choice in front of every plan
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        samples = toy_samples(folder, args.samples, images=(1, 2, 3, 4), size=(96, 128))
        write_samples(folder / "train.jsonl", samples)
        config = load_config("tiny/calico.yaml", [*RANDOM, f"data.train={folder / 'train.jsonl'}", f"seed={args.seed}"])
        parts, processor = build_model(config, samples)
        model: Any = stir(parts.model, args.seed, gain=2)
        plans = [(*([None] * WORDS), *plan) for plan in PLANS]
        model.answer = partial(type(model).answer, model, logits_processor=planned(processor.tokenizer, plans))
        figures = {}
        for dtype in ("float32", "bfloat16"):
            predictor = Predictor(model.to(getattr(torch, dtype)), processor, max_new_tokens=64)
            figures[dtype] = compare(predictor, samples)
            print(dtype, figures[dtype])
    if args.out:
        write_json(args.out, {"samples": len(samples), "batch_sizes": [1, BATCH], "seed": args.seed, **figures})


class Watched:
    """Keeps the probabilities of all masks that a predictor draws, segment by segment."""

    def __init__(self, predictor: Predictor, samples: list[Sample], batch_size: int) -> None:
        self.found: list[np.ndarray] = []
        draw = predictor.processor.mask_probabilities
        predictor.processor.mask_probabilities = lambda *args: self._keep(draw(*args))
        self.answers: list[Prediction] = list(predictor.predict(samples, batch_size=batch_size, progress=False))
        predictor.processor.mask_probabilities = draw

    def _keep(self, drawn: list[np.ndarray]) -> list[np.ndarray]:
        self.found += drawn
        return drawn

    def rows(self) -> list[tuple[str, list[np.ndarray]]]:
        """Text and mask probabilities of every answer."""
        rest = iter(self.found)
        return [(a.text, [next(rest) for _ in a.segments]) for a in self.answers]


def compare(predictor: Predictor, samples: list[Sample]) -> dict[str, Any]:
    """Batch 1 against batch 8: shares of equal answers, and the masks of those."""
    alone, together = (Watched(predictor, samples, size).rows() for size in (1, BATCH))
    same = [(a, b) for (text, a), (other, b) in zip(alone, together, strict=True) if text == other]
    masks = [pair for a, b in same for pair in zip(a, b, strict=True)]
    ious = [iou(a > 0.5, b > 0.5) for a, b in masks]
    flipped = [abs(a[(a > 0.5) != (b > 0.5)] - 0.5) for a, b in masks]
    return {
        "answers_equal": len(same) / len(samples),
        "different_answers": len({text for text, _ in alone}),
        "masks": len(masks),
        "mean_mask_iou": round(float(np.mean(ious)), 6),
        "lowest_mask_iou": round(float(np.min(ious)), 6),
        "pixels": sum(a.size for a, _ in masks),
        "pixels_flipped": sum(f.size for f in flipped),
        "flipped_pixel_farthest_from_half": float(max((f.max() for f in flipped if f.size), default=0.0)),
        "largest_probability_difference": float(max(abs(a - b).max() for a, b in masks)),
    }


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Two empty masks agree."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


if __name__ == "__main__":
    main()
