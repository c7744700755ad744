"""Placement, composed scenes, and what a picture depends on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.errors import ConfigError, Findings
from llava_corr.world.catalogue import all_categories, of_flavour
from llava_corr.world.compose import FLAVOURS, LEAST_OBJECTS, World, compose_scene, make_picture
from llava_corr.world.materials import RECIPES, SPLITS, recipe_numbers
from llava_corr.world.placement import Footprint, footprint, frame, overlap, pack
from llava_corr.world.scene import Placed

numbers = st.floats(-1.5, 1.5)
halves = st.floats(0.05, 1.0)
rectangles = st.builds(
    lambda x, y, a, b, t: Footprint(np.array([x, y]), np.array([a, b]), t), numbers, numbers, halves, halves, numbers
)


def inside(shape: Footprint, points: np.ndarray) -> np.ndarray:
    return (np.abs((points - shape.centre) @ shape.axes().T) <= shape.half).all(1)


@given(rectangles, rectangles)
@settings(max_examples=80, deadline=None)
def test_overlap_agrees_with_a_grid_of_points(first, second):
    """No point may lie in both where the test says free; where it says overlap, shrinking both finds the touching."""
    grid = np.linspace(-1, 1, 41)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2) * first.half @ first.axes() + first.centre
    shared = bool((inside(second, points)).any())
    if shared:
        assert overlap(first, second)
    if not overlap(first, second):
        assert not shared
    if overlap(first.grown(-0.03), second.grown(-0.03)) and min(first.half.min(), second.half.min()) > 0.15:
        assert shared


@given(rectangles, st.lists(rectangles, max_size=5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_pack_finds_a_free_place(shape, others, seed):
    placed = pack(shape, others, np.random.default_rng(seed), gap=0.01)
    assert not any(overlap(placed.grown(0.009), other) for other in others)
    alone = pack(shape, [], np.random.default_rng(seed), gap=0.01)
    step = (placed.centre - alone.centre) / 400
    for k in range(400):  # every place before it on the way is taken
        assert np.allclose(step, 0) or any(
            overlap(alone.grown(0.011).moved(alone.centre + k * step), o) for o in others
        )


@given(st.integers(0, 200), st.floats(0.4, 1.0))
@settings(max_examples=30, deadline=None)
def test_frame_keeps_all_points_in_view_and_touches_the_border(seed, fill):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (8, 3))
    camera = frame(
        points,
        azimuth=rng.uniform(-180, 180),
        elevation=rng.uniform(-20, 60),
        field_of_view=40,
        fill=fill,
        size=(96, 96),
    )
    xy, depth = camera.project(points)
    assert depth.min() > 0
    reach = np.abs(xy - 48).max() / 48
    assert reach <= fill + 1e-6


def items_of(scene):
    return [item for item in scene.items if item.category]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_objects_do_not_meet(flavour):
    """Upright boxes of objects that stand on the same level are apart; table objects rest on what is under them."""
    for index in range(8):
        items = items_of(compose_scene(World(seed=5), flavour, "train", index))
        shapes = [upright_box(item) for item in items]
        for k, (first, low, high) in enumerate(shapes):
            for second, bottom, top in shapes[:k]:
                apart = (
                    not overlap(first.grown(-0.002), second.grown(-0.002)) or low >= top - 0.02 or bottom >= high - 0.02
                )
                assert apart, f"{flavour} {index}: {items[k].instance_id}"


def upright_box(item: Placed) -> tuple[Footprint, float, float]:
    """Footprint and height range of an item, from its vertices."""
    turn = item.pose[:3, :3]
    scale = np.cbrt(np.linalg.det(turn))
    yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
    shape = footprint(item.model.bounds(), scale, yaw)
    heights = item.corners()[:, 2]
    return shape.moved(shape.centre + item.pose[:2, 3]), float(heights.min()), float(heights.max())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_pictures_show_enough_and_labels_are_sound(flavour):
    taxonomy = {c.flavours[flavour] for c in of_flavour(flavour)}
    for index in range(6):
        findings = Findings()
        rendered, record = make_picture(World(seed=3, size=128), flavour, "val", index, findings)
        assert len(record.objects) >= LEAST_OBJECTS[flavour]
        assert rendered.image.std() > 5
        for thing in record.objects:
            assert thing.category in taxonomy
            whole = thing.mask.to_array()
            covered = np.zeros_like(whole)
            for part in thing.parts:
                pixels = part.mask.to_array()
                assert not (pixels & ~whole).any()
                assert not (pixels & covered).any()
                covered |= pixels
            assert len({part.name for part in thing.parts}) == len(thing.parts)
            for point in thing.keypoints:
                if point.visible:
                    x, y = (int(v) for v in point.xy)
                    assert whole[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any()
        assert len({thing.instance_id for thing in record.objects}) == len(record.objects)


def test_small_and_hidden_objects_are_counted():
    findings = Findings()
    for index in range(25):
        make_picture(World(seed=1, size=64), "paco_lvis", "train", index, findings)
    assert findings.counts().get("small_part", 0) > 0
    assert all(item.where for item in findings.items)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_picture_depends_only_on_seed_flavour_split_and_index(flavour):
    world = World(seed=11, size=64)
    first, record = make_picture(world, flavour, "train", 4, Findings())
    make_picture(world, flavour, "train", 9, Findings())
    again, same = make_picture(world, flavour, "train", 4, Findings())
    assert np.array_equal(first.image, again.image)
    assert record == same
    for other in ((World(seed=12, size=64), "train", 4), (world, "val", 4), (world, "train", 5)):
        assert not np.array_equal(first.image, make_picture(other[0], flavour, *other[1:], Findings())[0].image)


def test_splits_share_no_instance_and_no_recipe():
    sets = [set(recipe_numbers(split)) for split in SPLITS]
    assert sum(len(s) for s in sets) == RECIPES == len(set.union(*sets))
    shown = {split: set() for split in SPLITS}
    for split in SPLITS:
        for index in range(4):
            for item in items_of(compose_scene(World(), "paco_lvis", split, index)):
                shown[split].add(item.instance_id)
                assert {look.recipe.frequency for look in item.looks.values()}
    assert not shown["train"] & shown["val"]
    assert not shown["train"] & shown["test"]


def test_unseen_categories_are_shown_only_in_their_own_split():
    world = World(unseen=("cat", "dog", "mug"))
    seen = {i.model.category for n in range(25) for i in items_of(compose_scene(world, "partimagenet", "train", n))}
    held = {i.model.category for n in range(10) for i in items_of(compose_scene(world, "partimagenet", "unseen", n))}
    assert not seen & {"cat", "dog"}
    assert held <= {"cat", "dog"}
    with pytest.raises(ConfigError, match="no category"):
        compose_scene(World(), "partimagenet", "unseen", 0)


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'paco_lvis'"):
        compose_scene(World(), "paco-lvis", "train", 0)
    with pytest.raises(ConfigError, match="did you mean 'val'"):
        compose_scene(World(), "paco_lvis", "vall", 0)


def test_pairs_of_one_class_are_common():
    pairs = 0
    for index in range(40):
        names = [item.category for item in items_of(compose_scene(World(), "paco_lvis", "train", index))]
        pairs += len(set(names)) < len(names)
    assert pairs >= 10


def test_every_category_has_a_flavour_and_finds_a_stage():
    for category in all_categories().values():
        assert set(category.flavours) <= set(FLAVOURS), category.name
