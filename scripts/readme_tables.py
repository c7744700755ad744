"""Keeps the demo's scores and writes the README's tables.

python scripts/readme_tables.py --demo runs/demo

perf/demo_scores.json: commit, steps and scores of the demo's three rows, without the values of single samples. The
README's tables are those of the demo, and two of docs/reproduction/tables.md; each is found by its first line.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_corr.benchmarks.mixedparts_units import TASKS
from llava_corr.errors import ReportError
from llava_corr.files import atomic_write, read_json, write_json
from llava_corr.report.scores_file import read_scores

ROOT = Path(__file__).resolve().parent.parent
README, KEPT, TABLES = (
    ROOT / "README.md",
    ROOT / "perf" / "demo_scores.json",
    ROOT / "docs" / "reproduction" / "tables.md",
)
ROWS = {"Calico (tiny)": "tiny-calico", "blind": "tiny-blind", "prior-only": "prior-only"}
COLUMNS, RATIO = ("AP50", "mIoU", "Recall", "SS", "S-IoU", "mIoU_strict"), "predictions_per_truth"
HEAD = " | ".join(COLUMNS).replace("mIoU_strict", "strict mIoU")
# of the reproduction's tables
SHOWN = ("Main results (Table 1), mean of the tasks", "What the paper says of its rows, mean of the tasks")


def gather(demo: Path) -> dict[str, Any]:
    """What perf/demo_scores.json holds: row -> task or "mean" -> metric -> value and interval, all of 1."""
    facts = read_json(demo / "tiny-calico" / "run.json", ReportError)
    files = {row: read_scores(demo / folder / "scores.json") for row, folder in ROWS.items()}
    scores = {
        row: {
            task: {n: [columns[n].value, *(columns[n].interval or ())] for n in (*COLUMNS, RATIO)}
            for task, columns in file.columns.items()
        }
        for row, file in files.items()
    }
    against = files["Calico (tiny)"].against
    minus = {
        task: {name: difference.model_dump(mode="json") for name, difference in row.items() if name in COLUMNS}
        for task, row in (against.differences if against else {}).items()
    }
    return {"commit": facts["commit"], "steps": facts["steps"], "scores": scores, "minus_prior_only": minus}


def demo_tables(found: Mapping[str, Any]) -> list[list[str]]:
    """The lines of two tables: the mean of the tasks by row, and Calico's scores by task."""
    scores = found["scores"]
    means = [_line(row, scores[row]["mean"]) for row in ROWS]
    tasks = [_line(task.replace("_", " "), scores["Calico (tiny)"][task]) for task in TASKS]
    rule = "|---" * (len(COLUMNS) + 1) + "|"
    return [[f"| mean of the three tasks | {HEAD} |", rule, *means], [f"| Calico (tiny) | {HEAD} |", rule, *tasks]]


def _line(title: str, columns: Mapping[str, Sequence[float]]) -> str:
    cells = []
    for name in COLUMNS:
        value, *ends = (f"{100 * number:.1f}" for number in columns[name])
        cells.append(f"{value} [{', '.join(ends)}]")
    return f"| {title} | {' | '.join(cells)} |"


def reproduction_tables() -> list[list[str]]:
    """The lines of the reproduction's tables that the README shows."""
    text = TABLES.read_text(encoding="utf-8")
    below = [re.split(rf"^### {re.escape(title)}$", text, flags=re.M)[1] for title in SHOWN]
    return [part.split("\n\n")[1].splitlines() for part in below]


def replaced(text: str, table: Sequence[str]) -> str:
    """``text`` with ``table`` in the place of the table that has the same first line."""
    before, found, after = text.partition(table[0] + "\n")
    if not found:
        raise ReportError("no table begins so", where=table[0], mend="put that line where the table is to be")
    rest = re.sub(r"\A(\|.*\n)*", "", after)
    return "\n".join([before.removesuffix("\n"), *table, rest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="keep the scores of this demo; otherwise those that are kept stand")
    args = parser.parse_args()
    if args.demo:
        write_json(KEPT, gather(args.demo))
    text = README.read_text(encoding="utf-8")
    for table in (*demo_tables(json.loads(KEPT.read_text())), *reproduction_tables()):
        text = replaced(text, table)
    with atomic_write(README) as handle:
        handle.write(text)


if __name__ == "__main__":
    main()
