"""``llava-corr anatomy``: where a prediction file fails, mask by mask.

llava-corr anatomy --samples test.jsonl --predictions p.jsonl --train train.jsonl --occlusion occlusion_test.jsonl \\
  --out anatomy.json

``anatomy.json`` (schema 1; shares of 1)::

    schema_version, name, truth, samples {path, count}, predictions {path, missing}
    settings    {names: rule, text_model or null, resamples, seed, level}, train, occlusion: files or null
    definitions {kind: words}, dimensions {dimension: words}
    tables      {"all" or task: {"all" or dimension: [cell]}}; cell = {bin, masks, samples,
                kinds {kind: {number, share, interval}}, predicted, spurious {number, share, interval}}
    named_first a cell or null: whole objects in part tasks, which scores and tables pass over
    masks       [{sample, task, kind, place, image, name, segment, said, iou, counted, share, visible, category, seen}]:
                all true masks, and the predicted ones as "predicted" (accounts for a truth) or "spurious"
    findings    {counts, items}
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Findings, PredictionError, SampleError
from ..files import refuse_overwriting, refuse_replacing_json, write_json
from ..grammar import normalise_label
from ..metrics.intervals import LEVEL
from ..metrics.text import DEFAULT_MODEL, LabelEmbeddings, cache_name
from ..record_files import SamplesFile, iter_predictions, read_samples
from ..records import Prediction, Sample
from ..registry import closest
from .anatomy import DEFINITIONS, EQUAL, KINDS, NAME_RULES, SIMILAR, Likeness, equal_names
from .anatomy_facts import MEANING, Knowledge, check_occlusion, read_occlusion
from .anatomy_tables import ALL, Cell, Share, Tables, cell_to_json, cross_tabulate, fates, named_first, row_to_json
from .mixedparts import RESAMPLES
from .mixedparts_units import align, truth_of
from .verified import require_verified

SCHEMA = 1
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``anatomy``."""
    parser.add_argument("--samples", required=True, help="samples file (JSON lines) that holds the truth")
    parser.add_argument("--predictions", required=True, help="prediction file (JSON lines) to take apart")
    parser.add_argument("--name", help="name of the model; the prediction file's name by default")
    parser.add_argument("--train", help="training samples: tells seen from unseen categories")
    parser.add_argument("--seen", nargs="+", metavar="CATEGORY", help="the categories seen in training, instead")
    parser.add_argument("--occlusion", help="how much of every truth shows (llava-corr world --occlusion)")
    parser.add_argument(
        "--names",
        choices=tuple(NAME_RULES),
        default=EQUAL,
        help="which name is right: equal once normalised (default), or similar as in Recall",
    )
    parser.add_argument("--out", required=True, help="anatomy.json to write")
    parser.add_argument(
        "--text-model", default=DEFAULT_MODEL, help=f"of --names similar: folder or hub id (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--embeddings", help="its cache of label embeddings (.npz); default beside --out")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help=f"bootstrap resamples (default {RESAMPLES})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the resamples (default 0)")


def run(args: argparse.Namespace) -> int:
    """Writes ``args.out``, shows tables on standard output; returns 0.

    Raises:
        LlavaCorrError: files that cannot be read, written, or that do not belong together.
    """
    if args.resamples < 0 or args.seed < 0:
        raise ConfigError(f"--resamples {args.resamples} and --seed {args.seed} must not be negative")
    if args.train and args.seen:
        raise ConfigError("--train and --seen both say what training saw", mend="give one of them")
    cache = Path(args.embeddings) if args.embeddings else Path(args.out).parent / cache_name(args.text_model)
    embeddings = LabelEmbeddings(args.text_model, cache) if args.names == SIMILAR else None
    read = [(f"--{name}", getattr(args, name)) for name in ("samples", "predictions", "train", "occlusion")]
    refuse_overwriting([("--out", args.out), ("--embeddings", cache if embeddings else None)], read)
    refuse_replacing_json("--out", args.out, "anatomies", ("tables", "named_first"))
    samples = read_samples(args.samples)
    require_verified(args.predictions)
    predictions = list(iter_predictions(args.predictions))
    if not predictions:
        raise PredictionError("the file holds no prediction", where=args.predictions, mend="run llava-corr predict")
    found = anatomise(args, samples, predictions, embeddings)
    if embeddings:
        embeddings.save()
    write_json(args.out, found)
    return 0


def anatomise(
    args: argparse.Namespace,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    embeddings: LabelEmbeddings | None,
) -> dict[str, Any]:
    """The content of ``anatomy.json`` (schema in the module's docstring); its tables go to standard output."""
    findings = align(samples, predictions, args.predictions).findings
    occlusion = read_occlusion(args.occlusion) if args.occlusion else None
    if occlusion is not None:
        check_occlusion(occlusion, samples, args.occlusion, findings)
    knowledge = Knowledge(occlusion, _seen(args, samples, findings))
    rows = fates(samples, {p.sample_id: p for p in predictions}, knowledge, _likeness(samples, predictions, embeddings))
    if occlusion is not None:
        for row in rows:
            if row.kind in KINDS and row.facts.visible is None:
                findings.add("truth_without_occlusion", row.sample, f"{row.name} in image {row.image + 1}")
    bootstrap = {"resamples": args.resamples, "seed": args.seed}
    tables = cross_tabulate(rows, samples, **bootstrap)
    objects = named_first(rows, samples, **bootstrap)
    name = args.name or Path(args.predictions).stem
    sys.stdout.write(_texts(name, tables, objects, args.names, findings.counts()) + "\n")
    settings = {"names": NAME_RULES[args.names], "text_model": embeddings.identity if embeddings else None}
    return {
        "schema_version": SCHEMA,
        "name": name,
        "truth": truth_of(samples),
        "samples": {"path": args.samples, "count": len(samples)},
        "predictions": {"path": args.predictions, "missing": findings.counts().get("missing_prediction", 0)},
        "settings": {**settings, **bootstrap, "level": LEVEL},
        "train": args.train or args.seen,
        "occlusion": args.occlusion,
        "definitions": DEFINITIONS,
        "dimensions": MEANING,
        "tables": {task: {d: [cell_to_json(c) for c in cells] for d, cells in t.items()} for task, t in tables.items()},
        "named_first": cell_to_json(objects) if objects else None,
        "masks": [row_to_json(row) for row in rows],
        "findings": {"counts": findings.counts(), "items": findings.to_json()},
    }


def _seen(args: argparse.Namespace, samples: Sequence[Sample], findings: Findings) -> Iterable[str] | None:
    """The categories that training saw; those given by hand that no sample has are listed: they may be misspelt.

    Raises:
        SampleError: training samples that name no category.
    """
    if args.train:
        training = [sample.categories for sample in SamplesFile(args.train)]
        if not any(training):
            raise SampleError(
                f"its {len(training)} samples name no categories: they do not tell what training saw",
                where=args.train,
                mend="pass the samples that data built, or name the categories with --seen",
            )
        if bare := sum(not categories for categories in training):
            findings.add("training_samples_without_categories", args.train, f"{bare} of {len(training)}")
        return {name for categories in training for name in categories}
    if not args.seen:
        return None
    asked = {normalise_label(name) for sample in samples for name in sample.categories}
    asked |= {normalise_label(target.phrase) for s in samples for target in s.targets if target.role == "object"}
    for name in args.seen:
        if normalise_label(name) not in asked:
            near = closest(normalise_label(name), asked)
            hint = f"; did you mean {near!r}?" if near else ""
            findings.add("seen_category_in_no_sample", name, f"no sample has it{hint}")
            if near:
                logger.warning("--seen %s: no sample has it%s", name, hint)
    return args.seen


def _likeness(
    samples: Sequence[Sample], predictions: Sequence[Prediction], embeddings: LabelEmbeddings | None
) -> Likeness:
    """Equality, or cosines; all labels are embedded at once, since the model is loaded anew for every call."""
    if embeddings is None:
        return equal_names
    said = sorted({normalise_label(s.phrase) for p in predictions for s in p.segments})
    embeddings.similarity(said, sorted({normalise_label(t.phrase) for s in samples for t in s.targets}))
    return embeddings.similarity


def _texts(name: str, tables: Tables, objects: Cell | None, rule: str, findings: dict[str, int]) -> str:
    """Aligned text: all masks by every dimension, the tasks, and what the scores pass over."""
    rows = [["", "masks", *(kind.replace("_", " ") for kind in KINDS), "predicted", "spurious"]]
    rows += [_line(task, table[ALL][0]) for task, table in tables.items() if table[ALL]]
    for dimension in MEANING:
        rows += [_line(f"{dimension}: {cell.bin}", cell) for cell in tables[ALL][dimension]]
    if objects:
        rows.append(_line("objects named first (not scored)", objects))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = f"{name}: shares of the true masks x 100 [95 % interval], spurious of the predicted; {NAME_RULES[rule]}"
    counted = ", ".join(f"{count} {kind}" for kind, count in findings.items()) or "none"
    return "\n".join([head, *lines, f"findings: {counted}"])


def _line(title: str, cell: Cell) -> list[str]:
    predicted = "-" if cell.predicted is None else str(cell.predicted)
    return [title, str(cell.masks), *(_text(cell.kinds[k]) for k in KINDS), predicted, _text(cell.spurious)]


def _text(share: Share | None) -> str:
    if share is None or share.share is None:
        return "-"
    ends = f" [{100 * share.interval[0]:.0f}, {100 * share.interval[1]:.0f}]" if share.interval else ""
    return f"{100 * share.share:.1f}{ends}"
