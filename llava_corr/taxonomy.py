"""Names and ids of the public part data sets, from ``data/taxonomies``.

Everyday names are those of Calico's Table 6: lower case, no underscores, no parenthesised sense. Readers and writers
of the three formats share these tables, so neither holds a list of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from .files import read_json, resource

PartNames = Literal["table6", "release"]

PARTIMAGENET_NO_PART, PARTIMAGENET_NO_OBJECT = 40, 158  # background of the part maps and of the whole-object maps
ADE_NO_PART = 65535  # pixels of no part in the 16-bit part maps
ADE_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}  # the release has no test split


@dataclass(frozen=True)
class PartClass:
    """A part of a class: ``whole`` is an everyday object name (for PartImageNet a super-category)."""

    whole: str
    part: str

    def __str__(self) -> str:
        return f"{self.whole}'s {self.part}"


@dataclass(frozen=True)
class ImageClass:
    """A PartImageNet class.

    Attributes:
        synset: WordNet id, the first nine characters of its image files.
        index: id in the whole-object maps.
        supercategory: "quadruped", "aeroplane", ...
        name: everyday name, or None for a class that Calico leaves out.
    """

    synset: str
    index: int
    supercategory: str
    name: str | None


@cache
def load(name: str) -> dict[str, Any]:
    """The file ``data/taxonomies/{name}.json``; callers must not change it."""
    return read_json(resource("data", "taxonomies", f"{name}.json"))


def everyday(raw: str) -> str:
    """PACO's naming rule: cut at ``_(``, underscores to spaces. ``car_(automobile)`` -> ``car``."""
    return raw.split("_(")[0].replace("_", " ")


def paco_part(raw: str) -> PartClass:
    """``car_(automobile):door_handle`` -> car, door handle."""
    whole, _, part = raw.partition(":")
    return PartClass(everyday(whole), everyday(part))


@cache
def paco_objects() -> dict[str, int]:
    """Everyday name -> category id of PACO-LVIS' 75 object classes."""
    return {everyday(row["name"]): row["id"] for row in load("paco_lvis_ids")["objects"]}


@cache
def paco_parts() -> dict[PartClass, int]:
    """Part of a class -> category id of PACO-LVIS' 456 object-part categories (2000 to 2455)."""
    table = load("paco_lvis_ids")
    return {paco_part(raw): table["first_part_id"] + i for i, raw in enumerate(table["parts"])}


@cache
def partimagenet_parts() -> tuple[PartClass, ...]:
    """The 40 part classes of PartImageNet in the order of their ids, with the data set's own spelling ("tier")."""
    names = (name.lower().partition(" ") for name in load("partimagenet_synsets")["parts"])
    return tuple(PartClass(whole, part) for whole, _, part in names)


@cache
def partimagenet_classes() -> dict[str, ImageClass]:
    """Synset -> class, for the 158 classes of PartImageNet."""
    rows = load("partimagenet_synsets")["classes"]
    return {r["synset"]: ImageClass(r["synset"], i, r["supercategory"], r["name"]) for i, r in enumerate(rows)}


@cache
def ade_objects() -> tuple[str, ...]:
    """The 44 object classes of ADE20K-Part-234 in the order of their ids."""
    return tuple(load("ade20k_part_234_ids")["objects"])


@cache
def ade_parts(names: PartNames = "table6") -> tuple[PartClass, ...]:
    """The 234 part classes of ADE20K-Part-234 in the order of their ids.

    The release and Calico's Table 6 disagree on one name (``lamp's column`` is printed as ``pipe``); ``names`` says
    which to use.
    """
    table = load("ade20k_part_234_ids")
    renamed = table["table6_names"] if names == "table6" else {}
    parts = []
    for raw in table["parts"]:
        whole, _, part = raw.partition("'s ")
        parts.append(PartClass(whole, renamed.get(raw, part)))
    return tuple(parts)
