"""What an experiment fetches before it can start, and what of it lies here; nothing is asked of the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..experiment import ExperimentConfig
from ..files import find_shipped, read_json
from ..models.checkpoints.catalogue import CATALOGUE
from ..models.checkpoints.places import cached, may_be_fetched

GB = 1e9
WEIGHTS = "model.weights"
OWN_FOLDERS = ("weights", "runs", "data")  # where commands of this project write models; no owner on the hub
KINDS = ("*.safetensors", "*.bin", "*.pth")  # the first of which there is any is what is loaded


def downloads(config: ExperimentConfig) -> list[dict[str, Any]]:
    """A row for each release, and for the weights that training starts from.

    With those weights here, or on the hub, releases are for another import alone.
    """
    rows = [_row(kind, place) for kind, place in config.model.releases.named().items()]
    if not config.model.weights:
        return rows
    row = _row(WEIGHTS, find_shipped(config.model.weights)) | {"place": config.model.weights}
    if not row["here"] and _is_own(config.model.weights) and not Path(config.model.weights).exists():
        row |= {"state": "no such folder yet", "fetched": False}
    if row["licence"] == "see its page" and not row["fetched"]:
        row["licence"] = "that of what it was made from"
    if row["here"] or row["fetched"]:
        rows = [row | {"fetched": False} for row in rows]
    return [*rows, row]


def _row(kind: str, place: str) -> dict[str, Any]:
    known, there = CATALOGUE.get(place), cached(place)
    files, whole = weight_files(there) if there else ([], False)
    here = bool(files) and whole
    size = sum(file.stat().st_size for file in files) if here else known.size if known else None
    state, fetched = "yes" if here else "no", not here
    if not here and not may_be_fetched(place):
        state, fetched = "no such file or folder", False
        if Path(place).exists():
            state = "not all of its weights" if files else "no weights in it"
    elif files and not whole:
        state = "in part"
    licence, note = (known.licence, known.note) if known else ("see its page", "")
    return {
        "kind": kind,
        "place": place,
        "bytes": size,
        "here": here,
        "state": state,
        "fetched": fetched,
        "licence": licence,
        "note": note,
    }


def weight_files(place: Path) -> tuple[list[Path], bool]:
    """Files of weights at a place, and whether they are all that their index names."""
    if place.is_file():
        return [place], True
    for kind in KINDS:
        files = sorted(place.glob(kind))
        if not files:
            continue
        wanted: set[str] = set()
        for index in place.glob(f"{kind}.index.json"):
            found = read_json(index, CheckpointError)
            wanted |= set(map(str, found.get("weight_map", {}).values())) if isinstance(found, dict) else set()
        return files, wanted <= {file.name for file in files}
    return [], False


def _is_own(place: str) -> bool:
    first = Path(place).parts[0]
    return first in OWN_FOLDERS or Path(first).is_dir() or place.count("/") != 1


def download_lines(rows: list[dict[str, Any]]) -> list[str]:
    """As a table, with what is left to fetch."""
    if not rows:
        return ["weights: none; the model starts at random"]
    lines = ["| weights | from | GB | here | licence |", "|---|---|---:|---|---|"]
    for row in rows:
        size = "?" if row["bytes"] is None else f"{row['bytes'] / GB:.2f}"
        licence = f"{row['licence']} ({row['note']})" if row["note"] else row["licence"]
        lines.append(f"| {row['kind']} | {row['place']} | {size} | {row['state']} | {licence} |")
    missing = [row for row in rows if row["fetched"]]
    unknown = sum(row["bytes"] is None for row in missing)
    more = f", of which {unknown} of a size that is not known" if unknown else ""
    number = f"{len(missing)} place{'s' if len(missing) != 1 else ''}"
    lines += ["", f"to fetch: {sum(row['bytes'] or 0 for row in missing) / GB:.2f} GB in {number}{more}"]
    weights = next((row for row in rows if row["kind"] == WEIGHTS), None)
    if weights and (weights["here"] or weights["fetched"]) and len(rows) > 1:
        lines.append(f"releases need no fetching: training starts from {WEIGHTS}")
    return lines
