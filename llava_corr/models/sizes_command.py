"""``llava-corr size``: parameters, trained parameters, tokens and compute of a configuration; nothing is loaded.

llava-corr size --config calico.yaml
llava-corr size --paper                 Calico with every DINOv2, GLaMM and LISA beside the paper's Table 4
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from ..config import load_config, resolve_config_path
from ..errors import ConfigError
from ..files import refuse_overwriting, write_json

logger = logging.getLogger(__name__)

# Configuration files, and the paper's Table 4 (tokens an image, TFLOPs by DeepSpeed's profiler) where it has a row.
PAPER: tuple[tuple[tuple[str, ...], str, tuple[int, float] | None], ...] = (
    (("baselines/glamm.yaml",), "Multi-Image GLaMM", (576, 42.3)),
    (("baselines/lisa.yaml",), "Multi-Image LISA", (256, 44.0)),
    (("calico.yaml",), "Calico (DINOv2 ViT-g)", (32, 28.5)),
    (("calico.yaml", "ablations/dinov2_large.yaml"), "Calico (ViT-L)", None),
    (("calico.yaml", "ablations/dinov2_base.yaml"), "Calico (ViT-B)", None),
    (("calico.yaml", "ablations/dinov2_small.yaml"), "Calico (ViT-S)", None),
)

# Trained in the release, used by nothing here, so not part of the model (facts 1.7).
LEFT_OUT = {"Multi-Image GLaMM": {"region encoder": 299_142_912}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", nargs="+", help="YAML files or names in configs/, laid over one another")
    what.add_argument("--paper", action="store_true", help="all systems of the paper's Table 4, beside its figures")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, may be repeated")
    parser.add_argument("--images", type=int, default=2, help="of the counted sample")
    parser.add_argument("--text-tokens", type=int, default=128, help="question and answer together")
    parser.add_argument("--masks", type=int, default=4, help="[SEG]s of the counted sample")
    parser.add_argument("--out", type=Path, help="JSON file to write")


def run(args: argparse.Namespace) -> int:
    if min(args.images, args.text_tokens, args.masks) < 1:
        raise ConfigError("--images, --text-tokens and --masks are counted from 1", mend="correct the argument")
    if args.out and args.config:
        refuse_overwriting([("--out", args.out)], [("--config", resolve_config_path(name)) for name in args.config])
    from .sizes import measure

    sample = {"images": args.images, "text_tokens": args.text_tokens, "masks": args.masks}
    if args.config:
        sizes = measure(load_config(args.config, args.set), **sample)
        for line in one_table(sizes):
            logger.info("%s", line)
        found: Any = sizes.to_json()
    else:
        found = {
            name: measure(load_config(files, args.set), **sample).to_json()
            | {"paper": paper and list(paper), "trained_but_left_out": LEFT_OUT.get(name, {})}
            for files, name, paper in PAPER
        }
        for line in paper_table(found):
            logger.info("%s", line)
    if args.out:
        write_json(args.out, found)
    return 0


def one_table(sizes: Any) -> list[str]:
    """Markdown: blocks, then compute by part."""
    lines = ["| part | parameters | trained |", "|---|---:|---:|"]
    lines += [f"| {b.name} | {b.parameters:,} | {b.trained:,} |" for b in sizes.blocks]
    lines.append(f"| **all** | **{sizes.parameters:,}** | **{sizes.trained:,}** |")
    if sizes.left_out:
        lines.append(f"| with InstructBLIP's unused text branch | {sizes.parameters + sizes.left_out:,} | |")
    share = 100 * sizes.trained / (sizes.parameters + sizes.left_out)
    lines += ["", f"trained: {share:.4f} %; tokens an image: {sizes.tokens_per_image}", "", f"{sizes.sample}:", ""]
    lines += ["| part | TFLOPs |", "|---|---:|"]
    counted = sizes.to_json()
    lines += [f"| {name} | {value:g} |" for name, value in counted["teraflops"].items()]
    lines.append(f"| **all** | **{counted['teraflops_per_sample']:g}** |")
    return lines


def paper_table(found: dict[str, Any]) -> list[str]:
    """Markdown: one row a system; the paper's figures in brackets."""
    first = next(iter(found.values()))
    lines = [
        f"TFLOPs: {first['sample']}. In brackets: the paper's Table 4, whose scope is not stated (facts 5.3 row 22).",
        "",
        "| system | parameters | trained | % | tokens an image | TFLOPs |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in found.items():
        total = row["parameters_with_text_branch"]
        tokens, flops = (f" ({value})" for value in row["paper"]) if row["paper"] else ("", "")
        lines.append(
            f"| {name} | {total:,} | {row['trained']:,} | {100 * row['trained'] / total:.4f} "
            f"| {row['tokens_per_image']}{tokens} | {row['teraflops_per_sample']:.1f}{flops} |"
        )
    for name, row in found.items():
        for part, number in row["trained_but_left_out"].items():
            whole = row["trained"] + number
            lines += ["", f"{name}: its {part} ({number:,}) is not built; with it, {whole:,} would be trained."]
    return lines
