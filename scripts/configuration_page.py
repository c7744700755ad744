"""Writes docs/configuration.md from the descriptions in llava_corr/experiment.py and zoo/recipe.py.

python scripts/configuration_page.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from llava_corr.experiment import ExperimentConfig, Section
from llava_corr.files import atomic_write
from llava_corr.zoo.recipe import ZooRecipe

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
HEAD = """# Every key of a configuration

Made by `python scripts/configuration_page.py` from `llava_corr/experiment.py`. A configuration is YAML, or several laid
over one another (`--config tiny/calico.yaml ablations/no_cem.yaml`); `--set training.max_steps=100` overrides one key.
A section that may be null leaves its part of the model out. `--dry-run` says what a configuration comes to.
"""

ZOO = """# Every key of a zoo's recipe

`llava-corr zoo --config tiny/zoo.yaml --set crops.steps=20000` ([the tiny twins](zoo.md)).
"""


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, if it holds one, or may."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) in (Union, UnionType):
        return next((found for arg in get_args(annotation) if (found := section_of(arg))), None)
    return None


def default_of(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "(needed)"
    return f"`{json.dumps(value)}`"


def values_of(annotation: Any) -> list[Any]:
    """The closed set that a field's values, or those in its list, are of; empty where there is none."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return next((found for arg in get_args(annotation) if (found := values_of(arg))), [])


def meaning_of(field: FieldInfo) -> str:
    values = ", ".join(f"`{value}`" for value in values_of(field.annotation))
    return "; ".join(filter(None, (field.description, values and f"one of {values}")))


def sections(cls: type[Section], name: str = "") -> Iterator[str]:
    """Tables of a section's own keys, then those of the sections in it."""
    inner = {key: found for key, field in cls.model_fields.items() if (found := section_of(field.annotation))}
    title = f"`{name}`" if name else "The whole"
    doc = " ".join((cls.__doc__ or "").split())
    lines = [f"## {title}", "", doc, "", "| key | default | meaning |", "|---|---|---|"]
    for key, field in cls.model_fields.items():
        if key not in inner:
            lines.append(f"| `{key}` | {default_of(field)} | {meaning_of(field)} |")
        else:
            lines.append(f"| `{key}` | a section | {field.description or ''} |")
    yield "\n".join(lines)
    for found in dict.fromkeys(inner.values()):  # once, whatever several keys hold
        keys = (f"{name}.{key}" if name else key for key in inner if inner[key] is found)
        yield from sections(found, "`, `".join(keys))


def page() -> str:
    return "\n\n".join([HEAD.strip(), *sections(ExperimentConfig), ZOO.strip(), *sections(ZooRecipe)]) + "\n"


if __name__ == "__main__":
    with atomic_write(PAGE) as handle:
        handle.write(page())
