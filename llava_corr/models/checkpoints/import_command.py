"""``llava-corr import``: one model folder out of released weights.

    llava-corr import --config calico_align.yaml            (releases and folder as its model section names them)
    llava-corr import --config calico_align.yaml --from glamm=GLaMM-GranD-Pretrained eva=eva_vit_g.pth --out weights/own
    llava-corr import --out weights/colva-4b --from colva=zhouyik/colva_internvl2_4b  (colva_command.py)

Every name in every file is matched, renamed by a rule, ignored by a rule, or an error; the table is in ``import.json``.
Nothing is written before all of it fits, and what lies at --out stays until the new folder is whole.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...config import load_config
from ...errors import CheckpointError, ConfigError
from ...experiment import ExperimentConfig, ReleasesSection
from ...files import find_shipped, write_json
from . import colva_command
from .target import TABLE, check_target

logger = logging.getLogger(__name__)

KINDS = {name: str(field.description) for name, field in ReleasesSection.model_fields.items()}
TRUNKS = ("glamm", "lisa", "calico", "vicuna")  # whose folder has the tokenizer
TOWERS = ("dinov2", "clip")  # loaded by transformers, files of their authors excepted
INSTEAD = (set(TRUNKS), {"instructblip", "lavis"}, {"instructblip", "eva"})  # of each, one is enough
WHOLE = "calico"  # holds every part
SHARD = "2GB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", nargs="+", help="YAML files or names in configs/: the composition (CoLVA's releases need none)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, may be repeated")
    parser.add_argument(
        "--from", nargs="+", default=[], dest="releases", metavar="KIND=PLACE",
        help="in the place of those in model.releases; "
        + "; ".join(f"{kind}: {text}" for kind, text in (KINDS | colva_command.KINDS).items()),
    )  # fmt: skip
    parser.add_argument(
        "--fresh", nargs="+", default=[], metavar="PART",
        help="parts that start at random, since no release has them (with vicuna: seg_projection); train them",
    )  # fmt: skip
    parser.add_argument(
        "--rules", type=Path, metavar="FILE",
        help="YAML list of your rules, which come first: {pattern: REGEX, name: OURS} or {pattern: ..., ignore: WHY}",
    )  # fmt: skip
    parser.add_argument(
        "--allow-unread", action="store_true", help="report names that no rule knows instead of refusing them"
    )
    parser.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="default: that of the trunk's folder")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16", help="of the written weights")
    colva_command.add_arguments(parser)
    parser.add_argument("--out", type=Path, help="model folder to write; without it, model.weights of the composition")


def run(args: argparse.Namespace) -> int:
    places = _places(args.releases)
    if _is_colva(places):
        if args.out is None:
            raise ConfigError("where to write is not known", where="--out", mend="name a folder with --out")
        return colva_command.run_colva(args, places)
    colva_command.refuse_options(args, colva_command.OWN, "CoLVA's releases")
    if not args.config:
        raise ConfigError("these releases need a composition", where="--config", mend="name one, as calico_align.yaml")
    config = load_config(args.config, args.set)
    _refuse_idle(config, places)
    places = _with_configured(config, places)
    trunk = next((kind for kind in TRUNKS if kind in places), None)
    if trunk is None:
        raise ConfigError("nothing gives the trunk", where="--from", mend=f"name one of {', '.join(TRUNKS)}")
    out = args.out or _default_out(config)
    own = _checked(config, places, out, args)  # all that can be known before anything is fetched
    import torch

    from .composing import compose
    from .model_folder import written_whole
    from .places import local
    from .settings import check_settings
    from .tensor_files import open_tensors

    found = {kind: local(place) for kind, place in places.items()}
    check_target(out, found)
    files = {kind: open_tensors(place) for kind, place in found.items() if not _by_transformers(kind, found[kind])}
    processor, wanted = _processor(config, args.tokenizer or found[trunk], _rows(files[trunk]), trunk)
    for kind, place in found.items():
        check_settings(kind, place, wanted)
    releases = _releases(wanted, files, own, args.allow_unread)
    dtype = getattr(torch, args.dtype)
    towers = _towers(wanted, {kind: place for kind, place in found.items() if kind not in files}, dtype)
    model, plans = compose(wanted, releases, towers, fresh=args.fresh, dtype=dtype)
    with written_whole(out) as part:
        model.save_pretrained(part, max_shard_size=SHARD)
        processor.save_pretrained(part)
        write_json(part / TABLE, _table(places, args.fresh, plans, towers))
    _report(model, plans, args.fresh, out)
    return 0


def _table(places: Mapping[str, str], fresh: list[str], plans: list[Any], towers: Mapping[str, Any]) -> dict[str, Any]:
    tables = [plan.to_json() for plan in plans]
    tables += [
        {
            "title": f"{name} (by transformers, strictly)",
            "filled": {f"{name}.{own}": [own] for own in tower.state_dict()},
            "ignored": {},
            "unknown": [],
        }
        for name, tower in towers.items()
    ]
    return {"releases": dict(places), "fresh": fresh, "tables": tables}


def _report(model: Any, plans: list[Any], fresh: list[str], out: Path) -> None:
    from ..recompose import FROM_ZERO
    from .layouts import alike

    for plan in plans:
        for line in plan.table():
            logger.log(logging.WARNING if plan.unknown else logging.INFO, "%s", line)
    read = {name for plan in plans for name in plan.sources}
    starts = (*FROM_ZERO, *fresh)
    new = [name for name, _ in model.named_parameters() if name.startswith(starts) and name not in read]
    if new:
        logger.info("new, from no release: %s", ", ".join(alike(new)))
    if new and any(plan.title == "Calico" for plan in plans):
        logger.warning("this is NOT the released Calico: CEM and CAMs were found under no name, and start anew")
    logger.info("%d parameters in %s", model.num_parameters(), out)


def _places(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        kind, _, place = word.partition("=")
        if kind not in (*KINDS, *colva_command.KINDS) or not place or kind in found:
            fault = "is named twice" if kind in found else "is no KIND=PLACE"
            raise ConfigError(f"--from {word} {fault}", mend=f"each once: {', '.join((*KINDS, *colva_command.KINDS))}")
        found[kind] = place
    return found


def _is_colva(places: Mapping[str, str]) -> bool:
    """Whether all of them are CoLVA's; some of them would make no model."""
    ours = [kind for kind in places if kind in KINDS]
    theirs = [kind for kind in places if kind in colva_command.KINDS]
    if ours and theirs:
        raise ConfigError(
            f"{', '.join(ours)} and {', '.join(theirs)} make no model together",
            where="--from",
            mend=f"name releases of CoLVA alone ({', '.join(colva_command.KINDS)}), or none of them",
        )
    return bool(theirs)


def _checked(config: ExperimentConfig, places: Mapping[str, str], out: Path, args: argparse.Namespace) -> list[Any]:
    """Looks at everything that needs no release: rules, places on this machine, parts by name, where to write.

    Returns:
        The user's own rules.
    """
    from ..build import Vocabulary, build_config
    from .composing import check_fresh
    from .places import cached, local, may_be_fetched
    from .user_rules import read_rules

    own = read_rules(args.rules) if args.rules else []
    if args.tokenizer and not args.tokenizer.is_dir():
        raise ConfigError("there is no such folder", where=f"--tokenizer {args.tokenizer}", mend="correct the path")
    here = {}
    for kind, place in places.items():
        if not may_be_fetched(place):
            here[kind] = local(place)
        elif (kept := cached(place)) is not None:
            here[kind] = kept
    check_target(out, here)
    check_fresh(build_config(config.model, Vocabulary.of_size(config.model.tokenizer.vocab_size)), args.fresh)
    return own


def _by_transformers(kind: str, place: Path) -> bool:
    return kind in TOWERS and place.suffix != ".pth"


def _rows(files: Any) -> int:
    name = "model.embed_tokens.weight"
    if name not in files:
        raise CheckpointError(f"{name} is missing", where=str(files.where), mend="name a folder of the whole release")
    return int(files.shape(name)[0])


def _processor(config: Any, folder: Path, rows: int, trunk: str) -> tuple[Any, Any]:
    """The processor, and the configuration of the model that it is for."""
    from ..build import Vocabulary, build_config, build_processor
    from .tokenizers import LAST, load_llama_tokenizer

    tokenizer = load_llama_tokenizer(folder, rows, extend=trunk == "vicuna", last=LAST.get(trunk, ()))
    wanted = build_config(config.model, Vocabulary.of(tokenizer))
    return build_processor(config.model, tokenizer, config.training.losses.mask_size), wanted


def _default_out(config: ExperimentConfig) -> Path:
    """The folder that the experiment starts from, unless a run of its own is to write it."""
    weights = config.model.weights
    if weights is None or Path(config.output_dir) in Path(weights).parents or find_shipped(weights) != weights:
        raise ConfigError(
            f"where to write is not known: model.weights is {weights}", where="--out", mend="name a folder with --out"
        )
    return Path(weights)


def _idle(config: ExperimentConfig) -> dict[str, bool]:
    """Kinds that not every composition has a place for -> whether this one has none."""
    section = config.model
    return {"dinov2": section.correspondence is None, "clip": section.vision.kind != "clip"}


def _refuse_idle(config: ExperimentConfig, places: Mapping[str, str]) -> None:
    for kind, idle in _idle(config).items():
        if idle and kind in places:
            raise ConfigError(f"the composition has no place for {kind}", where="--from", mend="leave it out")


def _with_configured(config: ExperimentConfig, places: dict[str, str]) -> dict[str, str]:
    """What ``--from`` names, and of ``model.releases`` what it names nothing for."""
    found = {kind: place for kind, place in config.model.releases.named().items() if not _idle(config).get(kind)}
    if WHOLE in {**found, **places} and not set(TRUNKS) & set(places) - {WHOLE}:
        found = {kind: place for kind, place in found.items() if kind == WHOLE}
    for kind in places:
        for group in INSTEAD:
            if kind in group:
                found = {other: place for other, place in found.items() if other not in group}
    return found | places


def _releases(wanted: Any, files: Mapping[str, Any], own: list[Any], unread: bool) -> list[Any]:
    """Opened files with their layouts, the user's own rules first."""
    from . import calico, dinov2, glamm, instructblip, lavis, segment_anything
    from .composing import Release

    layouts: dict[str, Callable[[], Any]] = {
        "glamm": lambda: glamm.glamm_layout(wanted),
        "lisa": lambda: glamm.lisa_layout(wanted),
        "calico": lambda: calico.calico_layout(wanted),
        "vicuna": glamm.vicuna_layout,
        "lavis": lambda: lavis.QFORMER_LAYOUT,
        "eva": lambda: lavis.eva_layout(wanted.vision_config.num_hidden_layers),
        "instructblip": lambda: instructblip.LAYOUT,
        "sam": lambda: segment_anything.LAYOUT,
        "dinov2": lambda: dinov2.LAYOUT,
    }
    found = {kind: layouts[kind]() for kind in files}
    return [
        Release(replace(layout, rules=[*own, *layout.rules], reports=layout.reports or unread), files[kind])
        for kind, layout in found.items()
    ]


def _towers(wanted: Any, places: Mapping[str, Path], dtype: Any) -> dict[str, Any]:
    """What transformers loads: our name of a part -> the part."""
    from . import towers

    loaders = {
        "dinov2": ("correspondence.semantic_model", towers.load_semantic),
        "clip": ("visual_tokens.vision_model", towers.load_clip),
    }
    return {loaders[kind][0]: loaders[kind][1](place, wanted, dtype) for kind, place in places.items()}
