"""The difficulty sheet against scenes whose figures are known."""

import numpy as np
import pytest
from world_scenes import ball, brick, from_front

from llava_corr.errors import Findings
from llava_corr.world.compose import World, make_picture
from llava_corr.world.difficulty import measure, scene_facts, tag, to_markdown, unoccluded_areas, write_sheet
from llava_corr.world.labels import annotate
from llava_corr.world.picture import render_labels


def picture(items, index="0", size=128):
    rendered = render_labels(from_front(items, size=size))
    record = annotate(rendered, image_id=index, path=f"{index}.jpg", split="train", findings=Findings())
    return rendered, record


def test_unoccluded_area_ignores_others_and_the_border():
    free, _ = picture([brick((1, 1, 1))])
    hidden, _ = picture([brick((1, 1, 1)), brick((1, 0.2, 3), at=(0.5, -1.5, 0), name="screen")])
    assert unoccluded_areas(free, 0) == unoccluded_areas(hidden, 0)
    parts = {name: int(mask.sum()) for name, mask in free.part_masks(0).items()}
    assert unoccluded_areas(free, 0) == parts
    cut, _ = picture([brick((1, 1, 1), at=(1.85, 0, 0))])
    inside = sum(int(mask.sum()) for mask in cut.part_masks(0).values())
    assert sum(unoccluded_areas(cut, 0).values()) > 1.5 * inside


def test_measures_of_known_pictures():
    first = picture([brick((1, 1, 1), at=(0.7, 0, 0), name="a"), brick((1, 1, 1), at=(-0.7, 0, 0), name="b")], "0")
    second = picture([brick((1, 1, 1)), brick((0.5, 0.2, 2), at=(0.3, -1.5, 0), name="s")], "1")
    facts = [scene_facts(r, a, measure_hidden=True) for r, a in (first, second)]
    row = measure([first[1], second[1]], facts)
    assert row["images"] == 2
    assert row["objects"] == 4
    assert row["least_objects"] == 2
    assert row["objects_per_image"] == {"2": 2}
    assert row["images_with_a_pair"] == 1.0
    assert row["hidden_parts"] == pytest.approx(2 / 8)
    assert row["one_colour_objects"] == 0.0
    shares = [p.mask.area / 128**2 for _, a in (first, second) for o in a.objects for p in o.parts]
    assert row["median_part_share"] == pytest.approx(np.median(shares), abs=1e-5)
    assert tag(row).startswith("o2.0-a")
    assert tag(row).endswith("-h25-c0")


def test_unmeasured_and_empty_sets_say_so(tmp_path):
    rendered, record = picture([ball(1.0)])
    row = measure([record], [scene_facts(rendered, record, measure_hidden=False)])
    assert row["hidden_parts"] is None
    assert tag(row).split("-")[2] == "h?"
    assert "not measured" in to_markdown({"x": row})
    assert measure([], [])["median_part_share"] is None
    write_sheet(tmp_path, {"x": row})
    assert "| x | 1 |" in (tmp_path / "difficulty.md").read_text()


@pytest.mark.slow
def test_targets_hold():
    """At least 3 objects in clutter, median part at most 2 %, about 30 % of parts partly hidden, half in one colour."""
    for flavour, least in (("paco_lvis", 3), ("partimagenet", 1), ("ade20k_part_234", 2)):
        images, facts = [], []
        for index in range(60):
            rendered, record = make_picture(World(), flavour, "train", index, Findings())
            images.append(record)
            facts.append(scene_facts(rendered, record, measure_hidden=True))
        row = measure(images, facts)
        assert row["least_objects"] >= least
        assert row["median_part_share"] <= 0.02
        assert 0.2 <= row["hidden_parts"] <= 0.4
        assert 0.38 <= row["one_colour_objects"] <= 0.62
