"""``llava-corr``: every command of the package, loaded only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from . import __version__
from .errors import LlavaCorrError

# name -> (module with add_arguments and run, one-line help), in the order of the work
COMMANDS = {
    "world": ("llava_corr.world.command", "render the embedded world in the public formats"),
    "data": ("llava_corr.datasets.command", "build MixedParts or alignment dialogues from annotated images"),
    "doctor": ("llava_corr.datasets.doctor", "list the faults of a samples file"),
    "size": ("llava_corr.models.sizes_command", "count a configuration's parameters and compute, load nothing"),
    "plan": ("llava_corr.training.plan_command", "say what an experiment fetches, trains and needs of a GPU's memory"),
    "import": ("llava_corr.models.checkpoints.import_command", "one model folder out of released weights"),
    "cache": ("llava_corr.training.cache_command", "keep what frozen image towers see of an experiment's pictures"),
    "train": ("llava_corr.training.command", "train one experiment (or: deepspeed scripts/train.py)"),
    "predict": ("llava_corr.inference.command", "answer a samples file with text and masks"),
    "export": ("llava_corr.inference.export", "write one whole model folder from a run, for use without its base"),
    "baseline": (
        "llava_corr.benchmarks.baseline_command",
        "answer a samples file without an LVLM: prior-only, label-set, cascade",
    ),
    "score": ("llava_corr.benchmarks.command", "score prediction files"),
    "anatomy": ("llava_corr.benchmarks.anatomy_command", "say of every mask how it was found, or how it failed"),
    "consistency": ("llava_corr.benchmarks.consistency_command", "swap pictures, change partners, compare answers"),
    "report": ("llava_corr.report.command", "write the HTML page of a run"),
    "zoo": ("llava_corr.zoo.command", "train the tiny twins of the released towers on the embedded world"),
    "demo": ("llava_corr.demo", "everything from an empty folder to the page"),
    "reproduce": (
        "llava_corr.reproduction.command",
        "the paper's tables in miniature: every row trained, asked, scored",
    ),
    "tables": ("llava_corr.reproduction.tables", "the tables of a reproduction"),
}
# what has options of its own behind a command's first word
VARIANTS = {("baseline", "cascade"): "llava_corr.inference.cascade_command"}


class ShowDefaults(argparse.HelpFormatter):
    """Says the default of every option that has one, unless its help does."""

    def _format_action(self, action: argparse.Action) -> str:
        text = action.help or ""
        none = action.default is None or action.default is False or action.default in ([], argparse.SUPPRESS)
        if action.option_strings and text != argparse.SUPPRESS and not none and "default" not in text:
            action.help = f"{text} (default: %(default)s)".strip()
        return super()._format_action(action)


class Parser(argparse.ArgumentParser):
    """Of a command, and of what it has below it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": ShowDefaults, **options})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; errors meant for the user come out as text, without a traceback."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(prog="llava-corr", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    first, second = (*arguments, "", "")[:2]
    chosen = VARIANTS.get((first, second)) or COMMANDS.get(first, ("",))[0]
    for name, (_, description) in COMMANDS.items():
        sub = commands.add_parser(name, help=description, description=description)
        if first == name:  # only the chosen command is imported
            importlib.import_module(chosen).add_arguments(sub)
            if (first, second) in VARIANTS:
                sub.usage = f"%(prog)s {second} [options]"  # its name comes first, as that of every other variant
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return importlib.import_module(chosen).run(args)
    except LlavaCorrError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted; run the same command again: world, cache, train, predict, cascade, demo, zoo and reproduce "
            "go on from what they have done\n"
        )
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
