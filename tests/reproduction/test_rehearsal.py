"""The reproduction from an empty folder to its tables, with every number as small as it can be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TOOL = str(Path(sys.executable).parent / "llava-corr")
ROWS = ("new_projection", "no_qformer", "no_dino", "no_cem", "neither", "glamm", "blind")
BASELINES = ("prior-only", "label-set-all-parts", "label-set-main-object", "cascade")
SMALL = {
    "images": 20, "test-images": 24, "train-samples": 60, "test-samples": 60,
    "steps": 2, "align-steps": 2, "main-steps": 2,
}  # fmt: skip


def test_every_kind_of_row_ends_in_the_tables(tmp_path):
    options = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    sets = ["--set", "training.logging_steps=1", "--set", "training.batch_size=2"]
    command = [TOOL, "reproduce", "--out", str(tmp_path / "out"), *options, *sets, "--rows", "main", *ROWS, "baselines"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    tables = [TOOL, "tables", "--out", str(tmp_path / "out"), "--results", str(tmp_path / "results")]
    assert subprocess.run(tables, capture_output=True, check=False).returncode == 0
    found = json.loads((tmp_path / "results" / "tables.json").read_text())
    assert set(found["tests"]) == {"pairs", "sets", "none", "unseen"}
    assert set(found["tests"]["pairs"]) == {"main", "main-drawn", "calico", *ROWS, *BASELINES}
    assert found["faults"] == []
    assert {(c["better"], c["worse"]) for c in found["order"]} >= {
        ("neither", "no_cem"), ("new_projection", "glamm"), ("calico, seed 1", "calico, seed 0"),
    }  # fmt: skip
    assert set(found["consistency"]) == {"swap", "partner"}
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.stderr.count("finished earlier") == done.stderr.count(": done")
