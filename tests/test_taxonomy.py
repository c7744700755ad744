"""The id tables against Calico's Table 6, and against what each public release fixes."""

from __future__ import annotations

from collections import Counter

import pytest

from llava_corr import taxonomy
from llava_corr.taxonomy import PartClass


def table6(name: str) -> dict[str, set[str]]:
    return {whole: set(entry["parts"]) for whole, entry in taxonomy.load(name)["objects"].items()}


def by_whole(classes) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for part_class in classes:
        found.setdefault(part_class.whole, set()).add(part_class.part)
    return found


@pytest.mark.parametrize(
    ("raw", "name"),
    [("car_(automobile)", "car"), ("trash_can", "trash can"), ("tape_(sticky_cloth_or_paper)", "tape"), ("mug", "mug")],
)
def test_everyday(raw, name):
    assert taxonomy.everyday(raw) == name


def test_paco_names_become_table6():
    expected = table6("paco_lvis")
    assert by_whole(taxonomy.paco_parts()) == expected
    assert len(expected) == 73
    assert sum(map(len, expected.values())) == 456
    assert len(set().union(*expected.values())) == 200
    assert set(taxonomy.paco_objects()) - set(expected) == {"ball", "napkin"}


def test_paco_ids_lie_in_the_public_ranges():
    objects, parts = taxonomy.paco_objects(), taxonomy.paco_parts()
    assert len(set(objects.values())) == 75
    assert (min(objects.values()), max(objects.values())) == (23, 1196)
    assert list(parts.values()) == list(range(2000, 2456))
    assert parts[PartClass("car", "antenna")] == 2000
    assert parts[PartClass("handbag", "zip")] == 2455


def test_paco_part_names_are_those_of_its_parts():
    table = taxonomy.load("paco_lvis_ids")
    assert set(table["part_names"]) == {raw.partition(":")[2] for raw in table["parts"]}
    assert len(table["part_names"]) == 200
    assert table["part_names"] == sorted(table["part_names"])
    assert len(table["attributes"]) == 59
    spans = sorted(table["attribute_types"].values())
    assert [i for span in spans for i in range(*span)] == list(range(59))


def test_ade_names_become_table6_but_for_two_seat_cushions():
    expected = table6("ade20k_part_234")
    found = by_whole(taxonomy.ade_parts())
    for seat in ("chair", "armchair"):
        found[seat].remove("seat cushion")
    assert found == expected
    assert sum(map(len, expected.values())) == 232
    assert set(taxonomy.ade_objects()) == set(expected)


def test_ade_release_names():
    release, printed = taxonomy.ade_parts("release"), taxonomy.ade_parts("table6")
    assert len(set(release)) == len(set(printed)) == 234
    assert len({part_class.part for part_class in release}) == 85
    assert [(str(r), str(p)) for r, p in zip(release, printed, strict=True) if r != p] == [
        ("lamp's column", "lamp's pipe")
    ]
    assert release[0] == PartClass("person", "arm")
    assert release[233] == PartClass("light", "shade")
    assert list(taxonomy.ade_objects()) == sorted(taxonomy.ade_objects())


def test_partimagenet_names_are_the_37_of_table6():
    classes = taxonomy.partimagenet_classes().values()
    expected = taxonomy.load("partimagenet")["objects"]
    assert {c.name for c in classes if c.name} == set(expected)
    assert len(expected) == 37
    for entry in classes:
        if entry.name:
            assert expected[entry.name]["supercategory"] == entry.supercategory
    parts = by_whole(taxonomy.partimagenet_parts())
    for whole in expected.values():
        assert set(whole["parts"]) == parts[whole["supercategory"]]


def test_partimagenet_class_counts():
    """Counts per super-category as the data set's README states them, but for car (README 23, which sums to 162)."""
    classes = taxonomy.partimagenet_classes()
    counts = Counter(c.supercategory for c in classes.values())
    assert counts == {
        "quadruped": 46, "biped": 17, "fish": 10, "bird": 14, "snake": 15, "reptile": 20, "car": 19, "bicycle": 6,
        "boat": 4, "aeroplane": 2, "bottle": 5,
    }  # fmt: skip
    assert len(classes) == 158
    assert list(classes) == sorted(classes)
    assert [c.index for c in classes.values()] == list(range(158))
    assert sum(c.name is not None for c in classes.values()) == 126


def test_partimagenet_part_ids():
    parts = taxonomy.partimagenet_parts()
    assert len(parts) == len(set(parts)) == 40
    assert parts[25] == PartClass("car", "tier")  # the data set's spelling
    assert parts[37] == PartClass("aeroplane", "tail")
    kept = [p for p in parts if p.whole not in taxonomy.load("partimagenet_synsets")["dropped_supercategories"]]
    assert len(kept) == 31
