"""The commands behind the figures of ``perf/`` still run, on little."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PERF = Path(__file__).resolve().parent.parent / "perf"
LITTLE = {
    "world_rate": ["--images", "1", "--size", "64"],
    "readers_rate": ["--images", "2"],
    "mixedparts_rate": ["--images", "60", "--samples", "40"],
    "cached_towers": ["--pictures", "18", "--steps", "1"],
    "scoring": ["--samples", "12"],
    "step_time": ["--rows", "little", "--steps", "1", "--batch-size", "1"],
    "agreement": ["--samples", "8"],
    "mask_grid": ["--images", "1"],
    "memory_plan": ["--rows", "little", "--batch-size", "1"],
    "import_colva": ["--little"],
    "import_memory": ["--layers", "1", "--width", "128", "--sam-layers", "4", "--vision", "64"],
}


def test_every_script_is_tried():
    assert {path.stem for path in PERF.glob("*.py")} == set(LITTLE)


@pytest.mark.parametrize("name", LITTLE)
def test_script_writes_its_figures(name, tmp_path):
    out = tmp_path / "result.json"
    words = [sys.executable, str(PERF / f"{name}.py"), *LITTLE[name], "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    committed = json.loads((PERF / f"{name}.json").read_text())
    assert json.loads(out.read_text()).keys() == committed.keys()
