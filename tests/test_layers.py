"""The layers of the house: a module imports only from its own room or from lower layers (docs/architecture.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "llava_corr"

# Low to high; rooms of one layer do not import one another.
LAYERS = [
    {
        "errors",
        "files",
        "registry",
        "config",
        "experiment",
        "records",
        "record_files",
        "grammar",
        "stages",
        "stage_process",
        "taxonomy",
        "__init__",
    },
    {"metrics", "drawing", "world", "sources", "losses", "clients"},
    {"datasets", "models", "report"},
    {"benchmarks"},
    {"training", "inference"},
    {"zoo"},
    {"cli", "demo", "reproduction", "auto"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    package = ["llava_corr", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if (parts[0] == "llava_corr" and len(parts) > 1 and (PACKAGE / parts[1]).with_suffix(".py").exists()) or (
                parts[0] == "llava_corr" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir()
            ):
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    room = room_of(path)
    assert room in LEVEL, f"{room} has no layer: add it to LAYERS and to docs/architecture.md"
    for other in imported_rooms(path) - {room}:
        assert other in LEVEL, f"{other} has no layer"
        same_ground = LEVEL[room] == LEVEL[other] == 0
        assert same_ground or LEVEL[other] < LEVEL[room], f"{room} imports {other}, which lies ahead of it"


def test_every_file_says_what_it_is():
    silent = [str(p) for p in MODULES if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []


@pytest.mark.parametrize("module", ["llava_corr", "llava_corr.cli", "llava_corr.records", "llava_corr.metrics"])
def test_import_is_light(module):
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'transformers', 'deepspeed', 'sentence_transformers'} & set(sys.modules)\n"
        "raise SystemExit(f'{heavy} imported' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
