"""Statistics of a hand-counted data set."""

from __future__ import annotations

import pytest

from llava_corr.datasets.mixedparts.statistics import PAPER_TABLE_3, describe, to_markdown
from llava_corr.records import ImageRef, Mask, Sample, Target, Turn

A, B = Mask(size=(2, 2), counts="04"), Mask(size=(2, 2), counts="022")


def sample(k, source, task, images, targets, categories):
    return Sample(
        id=str(k),
        split="train",
        source=source,
        task=task,
        images=tuple(ImageRef(path=path, height=2, width=2) for path in images),
        turns=(Turn(user="", assistant=""),),
        targets=tuple(Target(phrase=p, image_index=i, mask=m, turn=0, role=r) for p, i, m, r in targets),
        categories=categories,
    )


@pytest.fixture
def samples():
    dog = [("dog", 0, A, "object"), ("dog", 1, B, "object")]
    head = [("head", 0, A, "common"), ("head", 1, B, "common")]
    cat = ("cat", 2, A, "object")
    return [
        sample(1, "x", "common_objects", "ab", dog, ("dog",)),
        sample(2, "x", "common_objects", "ac", [], ("dog", "cat")),
        sample(3, "y", "common_parts", "ab", dog + head, ("dog", "dog")),
        sample(
            4,
            "y",
            "common_parts",
            "abc",
            [*dog, cat, *head, ("head", 2, A, "common")],
            ("dog", "dog", "cat"),
        ),
        sample(5, "y", "unique_parts", "ab", [*dog, ("tail", 1, A, "unique")], ("dog", "dog")),
    ]


def test_counts(samples):
    found = describe(samples)
    assert found["tasks"]["common_objects"] == {
        "samples": 2, "nothing": 1, "total": 2, "average": 2.0, "maximum": 2, "median": 2.0
    }  # fmt: skip
    assert found["tasks"]["common_parts"] == {
        "samples": 2, "nothing": 0, "total": 5, "average": 2.5, "maximum": 3, "median": 2.5
    }  # fmt: skip
    assert found["tasks"]["unique_parts"]["total"] == 1
    assert (found["images"], found["object_names"], found["part_names"]) == (3, 2, 2)
    assert (found["object_masks"], found["part_masks"]) == (3, 4)
    assert found["sources"]["x"] == {"samples": 2, "share": 0.4, "object_share": 1.0}
    assert found["images_per_sample"] == {"2": 4, "3": 1}
    assert found["cross_class_share"] == pytest.approx(1 / 3)
    assert found["classes"]["x"] == {"dog": 2, "cat": 1}
    assert found["parts"] == {"head": 5, "tail": 1}


def test_page_has_our_and_the_papers_figures(samples):
    page = to_markdown(describe(samples), "Title")
    assert (
        "| Average per sample that has any | 2.000 (paper 2.099) | 2.500 (paper 4.037) | 1.000 (paper 5.269) |" in page
    )
    assert "| y | 3 | 60.0% | 0.0% |" in page
    assert all(f"{row['total']:,}" in page for row in PAPER_TABLE_3.values())


def test_empty_data_set():
    assert to_markdown(describe([]), "Nothing").startswith("# Nothing")
