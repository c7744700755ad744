"""``llava-corr plan``: what an experiment will fetch, train and need of a GPU's memory; nothing is loaded or fetched.

    llava-corr plan --config calico_align.yaml
    llava-corr plan --config calico.yaml --gpus 4 --gpu-memory 48

Memory is that of tensors, rehearsed on shapes (``rehearsal.py``); room for the CUDA context and for what the allocator
loses is left on top when it says what fits.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config import load_config, resolve_config_path
from ..errors import ConfigError
from ..experiment import ExperimentConfig
from ..files import find_shipped, refuse_overwriting, write_json
from .command import add_experiment

logger = logging.getLogger(__name__)

GB = 1e9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--gpus", type=int, default=1, help="ranks of the training")
    parser.add_argument("--gpu-memory", type=float, default=48.0, metavar="GB", help="of one GPU, 1e9 bytes")
    parser.add_argument("--images", type=int, default=2, help="of a dialogue")
    parser.add_argument("--text-tokens", type=int, default=128, help="of a dialogue, question and answer together")
    parser.add_argument("--masks", type=int, default=4, help="[SEG]s of a dialogue")
    parser.add_argument("--out", type=Path, help="JSON file to write")


def run(args: argparse.Namespace) -> int:
    if min(args.gpus, args.images, args.text_tokens, args.masks) < 1 or args.gpu_memory <= 0:
        raise ConfigError(
            "--gpus, --images, --text-tokens and --masks are counted from 1, and --gpu-memory is more than 0",
            mend="correct the argument",
        )
    if args.out:
        refuse_overwriting([("--out", args.out)], [("--config", resolve_config_path(name)) for name in args.config])
    config = load_config(args.config, args.set)
    from ..models.sizes import measure

    downloads = _downloads(config)
    sizes = measure(config, images=args.images, text_tokens=args.text_tokens, masks=args.masks)
    _show([*_download_lines(downloads), "", *_size_lines(sizes), ""])
    memory = _memory(config, args)  # takes a minute at full size
    _show(_memory_lines(config, args, memory))
    if args.out:
        write_json(args.out, {"downloads": downloads, "sizes": sizes.to_json(), "memory": memory})
    return 0


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        logger.info("%s", line)


# ---- what is fetched ---------------------------------------------------------------------------------------------


def _downloads(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Releases of the configuration, and the weights that it starts from."""
    from ..models.checkpoints.catalogue import CATALOGUE
    from ..models.checkpoints.places import cached

    rows: list[dict[str, Any]] = []
    for kind, place in config.model.releases.named().items():
        known, here = CATALOGUE.get(place), cached(place)
        size = _size_of(here) if here else known.size if known else None
        licence, note = (known.licence, known.note) if known else ("see its page", "")
        rows.append(
            {"kind": kind, "place": place, "bytes": size, "here": here is not None, "licence": licence, "note": note}
        )
    if weights := config.model.weights:
        here = Path(find_shipped(weights))
        there = here.is_dir()
        row = {"kind": "model.weights", "place": weights, "bytes": _size_of(here) if there else None, "here": there}
        rows.append(row | {"licence": "that of what it was made from", "note": ""})
    return rows


def _size_of(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    weights = ("*.safetensors", "*.bin", "*.pth")
    return sum(file.stat().st_size for pattern in weights for file in place.glob(pattern))


def _download_lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| weights | from | GB | here | licence |", "|---|---|---:|---|---|"]
    for row in rows:
        size = "?" if row["bytes"] is None else f"{row['bytes'] / GB:.2f}"
        licence = f"{row['licence']} ({row['note']})" if row["note"] else row["licence"]
        lines.append(f"| {row['kind']} | {row['place']} | {size} | {'yes' if row['here'] else 'no'} | {licence} |")
    missing = [row for row in rows if not row["here"] and row["kind"] != "model.weights"]
    total = sum(row["bytes"] or 0 for row in missing)
    if not rows:
        return ["weights: none; the model starts at random"]
    unknown = sum(row["bytes"] is None for row in missing)
    more = f", of which {unknown} of a size that is not known" if unknown else ""
    return [*lines, "", f"to fetch: {total / GB:.2f} GB in {len(missing)} places{more}"]


# ---- what is trained, and what it takes --------------------------------------------------------------------------


def _size_lines(sizes: Any) -> list[str]:
    lines = ["| part | parameters | trained |", "|---|---:|---:|"]
    lines += [f"| {b.name} | {b.parameters:,} | {b.trained:,} |" for b in sizes.blocks]
    return [*lines, f"| **all** | **{sizes.parameters:,}** | **{sizes.trained:,}** |"]


def _memory(config: ExperimentConfig, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every stage as the experiment is, then the experiment's stage with its switches turned one way and the other."""
    from .arguments import find_deepspeed
    from .memory_plan import Zero, stages

    t = config.training
    file = find_deepspeed(t)
    own = file.name if file else ""
    known = dict(stages()) | ({own: Zero.read(file)} if file else {})
    changed = {
        "as configured": {},
        "checkpointing": {"gradient_checkpointing": not t.gradient_checkpointing},
        "features": {},
        "both": {"gradient_checkpointing": not t.gradient_checkpointing},
        "precision": {"bf16": not t.bf16},
        "trunk": {},
    }
    rows = []
    for name, update in changed.items():
        other = config.model_copy(update={"training": t.model_copy(update=update)})
        if name == "precision":  # float32 arithmetic wants float32 weights
            held = "float32" if t.bf16 else config.model.frozen_dtype
            other = other.model_copy(update={"model": config.model.model_copy(update={"frozen_dtype": held})})
        if name == "trunk":
            four = {"quantise_trunk": not config.model.quantise_trunk}
            other = other.model_copy(update={"model": config.model.model_copy(update=four)})
        cached = bool(config.data.features) != (name in ("features", "both"))
        chosen = known if name == "as configured" else {own: known[own]}
        rows += [{"change": name, "own": file == own, **row} for file, row in _rows(other, args, chosen, cached)]
    return rows


def _rows(config: ExperimentConfig, args: argparse.Namespace, known: Mapping[str, Any], cached: bool) -> Iterator[Any]:
    """(file, row) for every stage of one experiment."""
    from ..models.build import Vocabulary, build_config
    from ..models.sizes import vocabulary_rows
    from .memory_plan import MemoryPlanner, largest_micro_batch
    from .rehearsal import FEATURES

    t, count = config.training, vocabulary_rows(config.model)
    vocabulary = Vocabulary(count, bos=1, eos=2, pad=0, image=count, seg=min(32004, count - 1))
    planner = MemoryPlanner(config, build_config(config.model, vocabulary), ranks=args.gpus)
    sizes = (t.batch_size, 2 * t.batch_size)
    sample = {"images": args.images, "text": args.text_tokens, "masks": args.masks}
    shapes = [planner.shape(n, **sample).cached(FEATURES if cached else ()) for n in sizes]
    for file, zero in known.items():
        small, large = (planner.memory(shape, zero) for shape in shapes)
        yield (
            file,
            {
                "zero": zero.label,
                "file": file,
                "bf16": t.bf16,
                "checkpointing": t.gradient_checkpointing,
                "cached": cached,
                "four_bits": config.model.quantise_trunk,
                "bytes": small.to_json(),
                "bytes_of_twice_the_dialogues": large.to_json(),
                "largest_micro_batch": largest_micro_batch(small, large, sizes, args.gpu_memory * GB),
            },
        )


def _memory_lines(config: ExperimentConfig, args: argparse.Namespace, rows: list[dict[str, Any]]) -> list[str]:
    t = config.training
    first = [row for row in rows if row["change"] == "as configured"]
    switched = [row for row in rows if row["own"]]
    gpus = f"{args.gpus} GPU{'s' if args.gpus > 1 else ''}"
    head = (
        f"GB of tensors on one of {gpus}, micro-batches of {t.batch_size} dialogues of {args.images} images, "
        f"{args.text_tokens} text tokens and {args.masks} masks; the largest micro-batch is for {args.gpu_memory:g} GB:"
    )
    columns = "weights | gradients | optimiser | buffers | towers | saved | step | most | largest micro-batch |"
    lines = [head, "", f"| ZeRO | {columns}", "|---|" + 9 * "---:|"]
    for row in first:
        zero = f"{row['zero']} ({row['file']})" if row["file"] else f"{row['zero']} (no launcher, or torchrun)"
        lines.append(f"| {zero}{' <' if row['own'] else ''} | {_cells(row)}")
    lines += ["", f"<, and the switches turned: ZeRO {switched[0]['zero']}", ""]
    lines += [f"| precision | checkpointing | features | trunk | {columns}", "|---|---|---|---|" + 9 * "---:|"]
    for row in switched:
        words = (
            "bf16" if row["bf16"] else "fp32",
            "yes" if row["checkpointing"] else "no",
            "cached" if row["cached"] else "made anew",
            "4 bits" if row["four_bits"] else "whole",
        )
        lines.append(f"| {' | '.join(words)} | {_cells(row)}")
    return lines


def _cells(row: dict[str, Any]) -> str:
    size = row["bytes"]
    named = ("weights", "gradients", "optimiser", "buffers", "towers", "saved", "step", "total")
    numbers = " | ".join(f"{size[name] / GB:.2f}" for name in named)
    return f"{numbers} | {row['largest_micro_batch'] or 'not even 1'} |"
