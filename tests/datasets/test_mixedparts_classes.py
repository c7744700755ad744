"""Class pairs: the counts of the facts, and the curated groups against their own rule."""

from __future__ import annotations

from itertools import combinations

import pytest

from llava_corr.datasets.mixedparts import classes
from llava_corr.errors import RegistryError
from llava_corr.files import read_json, resource


def test_candidate_pairs_are_the_papers_1885():
    counts = {source: len(classes.candidate_pairs(source)) for source in classes.SOURCES}
    assert counts == {"paco_lvis": 900, "ade20k_part_234": 319, "partimagenet": 666}
    assert sum(counts.values()) == classes.PAPER_CANDIDATES


def test_number_of_comparable_pairs():
    counts = classes.pair_counts()
    assert {s: counts[s]["comparable"] for s in classes.SOURCES} == {
        "paco_lvis": 145,
        "partimagenet": 596,
        "ade20k_part_234": 100,
    }
    assert counts["total"] == {"candidate": 1885, "comparable": 841}
    assert counts["paper"] == {"candidate": 1885, "comparable": 964}


@pytest.mark.parametrize("source", classes.SOURCES)
def test_comparable_pairs_follow_the_rule(source):
    taxonomy = read_json(resource("data", "taxonomies", f"{source}.json"))["objects"]
    rows = read_json(resource("data", "taxonomies", "comparable_classes.json"))["sources"][source]
    expected = set()
    for a, b in combinations(sorted(taxonomy), 2):
        together = any(a in row["classes"] and b in row["classes"] for row in rows)
        if together and set(taxonomy[a]["parts"]) & set(taxonomy[b]["parts"]):
            expected.add((a, b))
    assert set(classes.comparable_pairs(source)) == expected
    assert expected <= set(classes.candidate_pairs(source))


@pytest.mark.parametrize("source", classes.SOURCES)
def test_every_group_has_a_reason_and_makes_pairs(source):
    parts = classes.class_parts(source)
    names = [group.name for group in classes.comparable_groups(source)]
    assert len(names) == len(set(names))
    for group in classes.comparable_groups(source):
        assert group.rationale.endswith(".")
        assert len(group.rationale.split()) >= 4
        assert list(group.classes) == sorted(set(group.classes))
        assert any(parts[a] & parts[b] for a, b in combinations(group.classes, 2)), group.name


def test_pairs_that_the_paper_names():
    kin = {source: classes.comparable_classes(source) for source in classes.SOURCES}
    assert "bird" in kin["partimagenet"]["airplane"]
    assert "airplane" not in kin["partimagenet"]["cat"]
    assert "microwave" not in kin["ade20k_part_234"]["bus"]
    assert ("bus", "microwave") in classes.candidate_pairs("ade20k_part_234")
    for a, b in (("chair", "ottoman"), ("armchair", "swivel chair"), ("bed", "pool table")):
        assert b in kin["ade20k_part_234"][a]
    assert "scissors" in kin["paco_lvis"]["knife"]


@pytest.mark.parametrize("source", classes.SOURCES)
def test_comparable_classes_are_symmetric_and_hold_themselves(source):
    kin = classes.comparable_classes(source)
    assert set(kin) == set(classes.class_parts(source))
    for name, others in kin.items():
        assert name in others
        assert all(name in kin[other] for other in others)


def test_unknown_source_is_named():
    with pytest.raises(RegistryError, match="did you mean 'paco_lvis'"):
        classes.candidate_pairs("paco_lvi")
