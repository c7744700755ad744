"""The README's commands and links exist; CI runs the ones tagged `ci`."""

import argparse
import importlib
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from llava_corr.cli import COMMANDS, VARIANTS
from llava_corr.config import load_config, resolve_config_path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
tagged = runpy.run_path(str(ROOT / "scripts" / "run_readme.py"))["tagged_commands"]
EVERY = [command for tag in ("ci", "long", "gpu") for command in tagged(tag)]


def test_test_command_and_demo_are_there():
    assert "make test" in tagged("ci")
    assert "make demo" in tagged("long")


@pytest.mark.parametrize("command", EVERY)
def test_commands_name_things_that_exist(command):
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
    elif words[0] == "llava-corr":
        assert words[1] in COMMANDS
    else:
        assert words[0] in ("python", "deepspeed")
        assert (ROOT / words[1]).is_file()
    if "--config" in words:
        resolve_config_path(words[words.index("--config") + 1])


DOCUMENTS = ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/architecture.md", "docs/models.md", "docs/gpu.md")
GUIDE = re.findall(r"^```bash gpu\n(.*?)^```$", (ROOT / "docs/gpu.md").read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("command", [line for block in GUIDE for line in block.splitlines()])
def test_commands_of_the_guide_are_understood(command):
    """By the command's own parser, and every configuration it names is whole."""
    words = shlex.split(command)
    if words[0] == "make":
        assert words[1] == "setup"
        return
    name = "train" if words[0] == "deepspeed" else words[1]
    module = importlib.import_module(VARIANTS.get((name, words[2])) or COMMANDS[name][0])
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args(words[2:])
    if getattr(args, "config", None):
        load_config(args.config, args.set)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert ((ROOT / document).parent / target).exists(), f"{document} links to {target}"


def test_the_tables_are_those_of_committed_results():
    tables = runpy.run_path(str(ROOT / "scripts" / "readme_tables.py"))
    every = [*tables["demo_tables"](json.loads(tables["KEPT"].read_text())), *tables["reproduction_tables"]()]
    assert len(every) == 4
    for table in every:
        assert "\n".join(["", *table, ""]) in README, "python scripts/readme_tables.py writes them"


def test_the_python_example_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(README.split("```python")[1].split("```")[0], names)
    said = capsys.readouterr().out
    assert "[SEG] (IMAGE1)" in said
    assert len(names["sheep_parts"]) > 0
    assert len(names["goat_parts"]) > 0
    assert "(256, 256)" in said
