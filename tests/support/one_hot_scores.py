"""The benchmark's own scores without a text model: labels are alike only when they are equal."""

from pathlib import Path

from command_line import parse

from llava_corr.benchmarks import command


def score(samples: Path, labels: Path, predictions: Path, out: Path, *more: object, resamples: int = 20) -> None:
    """Writes ``out``; ``labels`` is what ``drawn_pairs.one_hot_cache`` wrote."""
    files = ["--samples", samples, "--embeddings", labels, "--predictions", predictions, "--out", out]
    words = ["--text-model", "one-hot", "--resamples", resamples]
    assert command.run(parse(command, *files, *words, *more)) == 0
