"""``llava-corr plan``: what an experiment will fetch, train and need of a GPU's memory; nothing is loaded or fetched.

    llava-corr plan --config calico_align.yaml
    llava-corr plan --config calico.yaml --gpus 4 --gpu-memory 48

Memory is that of tensors, rehearsed on shapes (``rehearsal.py``); room for the CUDA context and for what the allocator
loses is left on top when it says what fits.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..config import load_config, resolve_config_path
from ..errors import ConfigError
from ..files import refuse_overwriting, write_json
from .command import add_experiment

logger = logging.getLogger(__name__)


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
    from .memory_plan import MemoryPlanner
    from .plan_downloads import download_lines, downloads
    from .plan_rows import composition, memory_lines, memory_rows, plannable

    config, changed = plannable(config)
    sample = {"images": args.images, "masks": args.masks}
    MemoryPlanner(config, composition(config)).shape(1, text=args.text_tokens, **sample)  # says what is too long
    fetched = downloads(config)
    sizes = measure(config, text_tokens=args.text_tokens, **sample)
    _show([*download_lines(fetched), "", *_size_lines(sizes), "", *([changed, ""] if changed else [])])
    memory = memory_rows(config, args)  # takes a minute or two at full size
    _show(memory_lines(config, args, memory))
    if args.out:
        write_json(args.out, {"downloads": fetched, "sizes": sizes.to_json(), "memory": memory})
    return 0


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        logger.info("%s", line)


def _size_lines(sizes: Any) -> list[str]:
    lines = ["| part | parameters | trained |", "|---|---:|---:|"]
    lines += [f"| {b.name} | {b.parameters:,} | {b.trained:,} |" for b in sizes.blocks]
    return [*lines, f"| **all** | **{sizes.parameters:,}** | **{sizes.trained:,}** |"]
