"""Every kind of finding stands on its page."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
KEEPERS = ("findings", "noted")  # what holds findings is called so


def kinds():
    for path in (ROOT / "llava_corr").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add":
                keeper = ast.unparse(call.func.value).split(".")[-1]
                kind = call.args[0] if call.args else None
                if keeper in KEEPERS and isinstance(kind, ast.Constant):
                    yield kind.value, path.name


def test_every_kind_is_explained():
    found = list(kinds())
    assert len(found) > 50
    assert not [(kind, name) for kind, name in found if f"`{kind}`" not in PAGE]
