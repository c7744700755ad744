"""``llava-corr import`` for CoLVA, whose releases need no configuration of ours:

    llava-corr import --out weights/colva-4b --from colva=zhouyik/colva_internvl2_4b
    llava-corr import --out weights/colva-4b --from internvl2=OpenGVLab/InternVL2-4B radio=nvidia/RADIO \\
        colva-sft=colva_internvl2_4b_radio_sft_iter_18252.pth \\
        colva-adapter=colva_internvl2_4b_radio_adapter_iter_11792.pth

What comes out is a folder of parts (``colva_folder.py``), not one model of ours.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping

from ...errors import ConfigError
from .target import check_target

logger = logging.getLogger(__name__)

EXPORT, BASES = "colva", ("internvl2", "qwen2-vl")
KINDS = {
    EXPORT: "CoLVA-4B as its authors exported it: folder or hub id",
    "internvl2": "base of CoLVA-4B: folder or hub id of InternVL2-4B",
    "qwen2-vl": "base of CoLVA-2B and 7B: folder or hub id of a Qwen2-VL",
    "radio": "their expert: folder or hub id of nvidia/RADIO",
    "colva-sft": "their LoRA: ..._sft_iter_N.pth",
    "colva-adapter": "their adapter: ..._adapter_iter_N.pth",
}
OTHERS = {"config": "--config", "set": "--set", "fresh": "--fresh", "rules": "--rules",
          "allow_unread": "--allow-unread"}  # of the other releases  # fmt: skip
OWN = {"keep_lora": "--keep-lora", "lora_alpha": "--lora-alpha", "sft_adapter": "--sft-adapter"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-lora", action="store_true", help="with colva-sft: the LoRA goes into a PEFT folder instead of the trunk"
    )
    parser.add_argument(
        "--lora-alpha", type=float, metavar="NUMBER",
        help="with colva-sft: alpha of a LoRA of your own (default: that of the release, 256 or 16)",
    )  # fmt: skip
    parser.add_argument(
        "--sft-adapter", action="store_true", help="with colva-sft: take the adapter from there, not the pretraining's"
    )


def refuse_options(args: argparse.Namespace, options: Mapping[str, str], whose: str) -> None:
    """Options of the one family of releases where the other is named.

    Raises:
        ConfigError: there is one.
    """
    for name, option in options.items():
        value = getattr(args, name, None)
        if not (value is None or value is False or value == []):  # an alpha of zero has been given, too
            raise ConfigError(f"{option} is for {whose}", where="--from", mend=f"leave {option} out")


def run_colva(args: argparse.Namespace, places: Mapping[str, str]) -> int:
    """Imports the releases that are named, all of :data:`KINDS`; what can be known at once is looked at first."""
    _check_options(args, places)
    _check_places(args, places)
    import torch

    from .colva import plan_export, plan_training_files
    from .colva_folder import write_colva
    from .model_folder import refuse_absent
    from .places import is_address, local, may_be_fetched

    here = {kind: local(place) for kind, place in places.items() if not may_be_fetched(place)}
    for place in (place for kind, place in places.items() if kind not in here and not is_address(place)):
        refuse_absent(place)
    check_target(args.out, here | ({"--tokenizer": args.tokenizer} if args.tokenizer else {}))
    found = {kind: here.get(kind) or local(place) for kind, place in places.items()}
    if EXPORT in found:
        plan = plan_export(found[EXPORT], args.tokenizer)
    else:
        plan = plan_training_files(
            found, args.tokenizer, alpha=args.lora_alpha, keep_lora=args.keep_lora, sft_adapter=args.sft_adapter
        )
    write_colva(plan, args.out, places, getattr(torch, args.dtype))
    for table in plan.weights.plans:
        for line in table.table():
            logger.info("%s", line)
    merged = () if plan.lora else "lora."
    count = sum(value.numel() for name, value in plan.weights.wanted.items() if not name.startswith(merged))
    logger.info("%d numbers in %s: trunk, expert, adapter%s", count, args.out, ", LoRA" if plan.lora else "")
    return 0


def _check_options(args: argparse.Namespace, places: Mapping[str, str]) -> None:
    refuse_options(args, OTHERS, "the releases of Calico, GLaMM and LISA")
    if EXPORT in places:
        refuse_options(args, OWN, "colva-sft=: the LoRA of an export is merged already")
    if args.tokenizer and not args.tokenizer.is_dir():
        raise ConfigError("there is no such folder", where=f"--tokenizer {args.tokenizer}", mend="correct the path")
    if args.lora_alpha is not None:
        from .xtuner_lora import check_alpha

        check_alpha(args.lora_alpha)


def _check_places(args: argparse.Namespace, places: Mapping[str, str]) -> None:
    if EXPORT in places:
        if len(places) > 1:
            raise ConfigError(
                f"{EXPORT}= is whole by itself",
                where="--from",
                mend=f"name it alone, or all of {', '.join(KINDS)} else",
            )
        return
    bases = [kind for kind in BASES if kind in places]
    if len(bases) != 1:
        fault = "two bases are named" if bases else "nothing gives the trunk"
        raise ConfigError(fault, where="--from", mend=f"name one of {', '.join((EXPORT, *BASES))}")
    needed = ["radio", "colva-sft", *([] if args.sft_adapter else ["colva-adapter"])]
    if lacking := [kind for kind in needed if kind not in places]:
        raise ConfigError(
            f"with {bases[0]}= there must be {', '.join(f'{kind}=' for kind in lacking)}, too",
            where="--from",
            mend="; ".join(f"{kind}: {KINDS[kind]}" for kind in lacking),
        )
    if args.sft_adapter and "colva-adapter" in places:
        raise ConfigError(
            "two adapters: --sft-adapter and colva-adapter=", where="--from", mend="leave one of them out"
        )
