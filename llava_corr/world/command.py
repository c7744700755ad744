"""``llava-corr world``: build an embedded world, show a contact sheet of it, or print its difficulty."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError
from .build import build_world, finished_world
from .catalogue import all_categories, get_category, of_flavour
from .compose import FLAVOURS, WORLD_SPLITS

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``llava-corr world``."""
    parser.add_argument("--out", type=Path, help="folder to build in; starting again continues there")
    parser.add_argument("--train", type=int, default=1000, help="training pictures per flavour")
    parser.add_argument("--val", type=int, default=100, help="validation pictures per flavour")
    parser.add_argument("--test", type=int, default=100, help="test pictures per flavour")
    parser.add_argument(
        "--unseen", nargs="+", default=[], metavar="CATEGORY", help="categories to hold out of all these"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="CATEGORY", help="show these, hold out all others")
    parser.add_argument("--unseen-test", type=int, default=0, help="test pictures of the held-out ones, per flavour")
    parser.add_argument("--flavour", action="append", choices=FLAVOURS, help="only these; may be given several times")
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, help="worker processes (default: all cores); changes nothing else")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="only draw pictures beside their labels")
    parser.add_argument(
        "--occlusion",
        type=Path,
        metavar="FOLDER",
        help="only measure how much of every label of a built world shows (--split, default test) and write it to "
        "FOLDER/occlusion_SPLIT.jsonl, or to the file --out",
    )
    parser.add_argument(
        "--split", choices=WORLD_SPLITS, help="split of the contact sheet (default train) or of --occlusion"
    )
    parser.add_argument("--difficulty", type=Path, metavar="FOLDER", help="only print the difficulty of a built world")


def run(args: argparse.Namespace) -> int:
    """Carries the command out; returns the exit code."""
    flavours = args.flavour or list(FLAVOURS)
    unseen = _held_out(args.only, args.unseen)
    for flavour in flavours if args.only else ():
        if not any(category.name in args.only for category in of_flavour(flavour)):
            raise ConfigError(
                f"{flavour} shows none of {', '.join(args.only)}",
                mend="add a kind that it shows, or choose the others with --flavour",
            )
    if args.difficulty:
        finished_world(args.difficulty)
        logger.info("%s", (args.difficulty / "difficulty.md").read_text(encoding="utf-8"))
        return 0
    if args.occlusion:
        from .occlusion import write_occlusion

        path, count = write_occlusion(args.occlusion, args.split or "test", args.out)
        logger.info("%d pictures in %s", count, path)
        return 0
    if args.contact_sheet:
        from .compose import World
        from .contact_sheet import flavour_sheet, write_png

        world = World(args.seed, args.size, tuple(unseen))
        write_png(args.contact_sheet, flavour_sheet(world, flavours, args.split or "train"))
        logger.info("wrote %s", args.contact_sheet)
        return 0
    if args.out is None:
        raise ConfigError(
            "where should the world go?", mend="give --out FOLDER, --contact-sheet PNG or --difficulty FOLDER"
        )
    asked = (args.train, args.val, args.test, args.unseen_test)
    if min(asked) < 0 or not any(asked):
        raise ConfigError("the counts of pictures are negative or all 0", mend="set --train, --val or --test")
    counts = {"train": args.train, "val": args.val, "test": args.test, "unseen": args.unseen_test}
    build_world(
        args.out,
        counts=dict.fromkeys(flavours, counts),
        seed=args.seed,
        size=args.size,
        processes=args.processes,
        unseen=unseen,
    )
    return 0


def _held_out(only: Sequence[str], unseen: Sequence[str]) -> list[str]:
    """Categories to hold out: the named ones, and with ``only`` all that it does not name."""
    for name in (*only, *unseen):
        get_category(name)
    return sorted({*unseen, *(name for name in all_categories() if only and name not in only)})
