"""The renderer against analytic cases."""

import numpy as np
import pytest
from world_scenes import SUN, ball, brick, from_front

from llava_corr.world.camera import look_at
from llava_corr.world.picture import render, render_labels
from llava_corr.world.scene import Scene


def test_sphere_silhouette_and_depth():
    """A sphere of radius r at distance d covers a disc of radius f r / sqrt(d^2 - r^2)."""
    scene = from_front([ball(1.0)], size=256)
    seen = render_labels(scene)
    radius = scene.camera.focal / np.sqrt(5**2 - 1)
    assert seen.instance_mask(0).sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert seen.depth[128, 128] == pytest.approx(4.0, abs=0.01)
    distance = np.linalg.norm(seen.points[seen.piece >= 0], axis=1)
    assert np.abs(distance - 1).max() < 0.01
    assert np.abs(seen.normals[seen.piece >= 0] - seen.points[seen.piece >= 0]).max() < 0.08


def test_plane_depth_is_constant_along_the_axis():
    """Depth is along the optical axis, not along the ray: constant on a plane that faces the camera."""
    seen = render_labels(from_front([brick((8, 1, 8))]))
    assert np.allclose(seen.depth, 4.5, atol=1e-4)
    assert np.allclose(seen.normals, [0, -1, 0], atol=1e-6)


def brute_force_depth(triangles, origin, directions):
    """Smallest ray parameter over all triangles (Moeller and Trumbore), inf where none is hit."""
    nearest = np.full(len(directions), np.inf)
    for a, b, c in triangles:
        across = np.cross(directions, c - a)
        determinant = across @ (b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = across @ (origin - a) / determinant
            lever = np.cross(origin - a, b - a)
            v = directions @ lever / determinant
            t = (c - a) @ lever / determinant
        hit = (np.abs(determinant) > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        nearest = np.where(hit & (t < nearest), t, nearest)
    return nearest


def test_depth_matches_brute_force_on_a_tilted_view():
    item = brick((1, 1.5, 0.8))
    camera = look_at([2.0, -3.0, 1.5], [0.1, 0, 0.1], field_of_view=35, size=(48, 48))
    ours = render_labels(Scene("paco_lvis", (item,), camera, SUN)).depth.ravel()
    triangles = np.concatenate([p.mesh.vertices[p.mesh.faces] for p in item.model.pieces])
    expected = brute_force_depth(triangles, camera.position, camera.directions(camera.pixel_centres()).astype(float))
    agree = np.isfinite(expected) == np.isfinite(ours)
    assert agree.mean() > 0.998, "only rays that graze an edge may differ"
    both = np.isfinite(expected) & np.isfinite(ours)
    assert both.sum() > 300
    assert np.abs(expected[both] - ours[both]).max() < 1e-3


def test_points_project_to_their_own_pixels():
    scene = from_front([ball(1.0), brick((1, 1, 1), at=(1.2, 0.4, 0))], height=1.0)
    seen = render_labels(scene)
    hit = seen.piece >= 0
    xy, depth = scene.camera.project(seen.points[hit])
    y, x = np.nonzero(hit)
    assert np.abs(xy - np.stack([x + 0.5, y + 0.5], 1)).max() < 0.01
    assert np.abs(depth - seen.depth[hit]).max() < 1e-3


def test_camera_matrices_agree_with_project():
    camera = look_at([1, -4, 2], [0, 0, 0.5], field_of_view=50, size=(96, 128))
    points = np.random.default_rng(0).normal(0, 0.5, (20, 3))
    local = (camera.extrinsics() @ np.column_stack([points, np.ones(20)]).T)[:3]
    pixels = camera.intrinsics() @ local
    xy, depth = camera.project(points)
    assert np.allclose(pixels[:2].T / pixels[2:].T, xy)
    assert np.allclose(local[2], depth)


def test_keypoints_project_and_hide():
    scene = from_front([ball(1.0)], height=2.0, distance=4.0)
    points = {p.keypoint.part_position[0]: p for p in render_labels(scene).keypoints(0)}
    assert points["front"].visible
    assert points["top"].visible
    assert not points["rear"].visible
    assert not points["bottom"].visible
    for point in points.values():
        xy, depth = scene.camera.project(point.keypoint.at[None])
        assert np.allclose(xy[0], point.xy)
        assert depth[0] == pytest.approx(point.depth)
    assert points["left"].xy[0] > points["right"].xy[0], "the object's left is on the right of the picture"


def test_a_keypoint_behind_another_object_is_hidden():
    scene = from_front([ball(1.0), brick((1, 0.2, 1), at=(0, -2, 0))])
    front = next(p for p in render_labels(scene).keypoints(0) if p.keypoint.part_position == ("front",))
    assert not front.visible


def test_part_masks_partition_the_object():
    scene = from_front([brick((1, 1, 1)), ball(0.5, at=(0.4, -1.5, 0.2))])
    seen = render_labels(scene)
    parts = seen.part_masks(0)
    assert set(parts) == {"lower", "upper"}
    assert not (parts["lower"] & parts["upper"]).any()
    assert np.array_equal(parts["lower"] | parts["upper"], seen.instance_mask(0))
    assert not (seen.instance_mask(0) & seen.instance_mask(1)).any()
    assert np.array_equal(seen.functional_masks(0)[("stand-on", "foot")], parts["lower"])


def test_shadow_and_light():
    """The floor is darker where a board keeps the sun away; the picture is neither black nor blown out."""
    floor = brick((40, 40, 0.2), at=(0, 0, -1.1), category="", name="")
    board = brick((2, 2, 0.1), at=(0, 0, 1.5), category="", name="")
    camera = look_at([0, -7, 6], [0, 0, -1], field_of_view=50, size=(128, 128))
    image = render(Scene("paco_lvis", (floor, board), camera, SUN)).image.mean(2)
    shadow_spot = np.array([0.0, 2.5 * 0.75, -1.0])
    (shadow, lit), _ = camera.project(np.stack([shadow_spot, [3.5, 0.0, -1.0]]))
    assert image[int(shadow[1]), int(shadow[0])] < 0.85 * image[int(lit[1]), int(lit[0])]
    assert 20 < image.mean() < 235


@pytest.mark.parametrize("kind", ["metal", "glass", "fabric", "emissive", "wood"])
def test_every_optical_path_gives_sound_pixels(kind):
    image = render(from_front([ball(1.0, kind=kind), brick((6, 0.5, 6), at=(0, 3, 0), name="b")], size=48)).image
    assert image.dtype == np.uint8
    assert image[24, 24].max() > 10


@pytest.mark.parametrize(
    "pattern",
    ["stripes", "checks", "dots", "noise", "grain", "patches", "gradient", "weave", "planks", "bricks", "tiles"],
)
def test_patterns_vary_the_surface(pattern):
    plain = render(from_front([brick((3, 1, 3))], size=64)).image.astype(int)
    drawn = render(from_front([brick((3, 1, 3), pattern=pattern)], size=64)).image.astype(int)
    assert np.abs(plain - drawn).max() > 20


def test_edges_are_smooth():
    """Anti-aliasing leaves intermediate values on the outline, and labels stay those of the pixel centre."""
    scene = from_front([ball(1.0)], size=64)
    seen = render(scene)
    assert np.array_equal(seen.piece, render_labels(scene).piece)
    row = seen.image[20].astype(int).sum(1)
    mask = seen.instance_mask(0)[20]
    edge = np.flatnonzero(np.diff(mask.astype(int)))[0]
    outside, inside = row[edge - 3], row[edge + 4]
    low, high = min(outside, inside), max(outside, inside)
    assert any(low + 15 < row[k] < high - 15 for k in (edge, edge + 1))


def test_render_is_deterministic():
    scene = from_front([ball(1.0, kind="metal"), brick((6, 6, 0.5), at=(0, 0, -1.5), name="b")], size=64)
    assert np.array_equal(render(scene).image, render(scene).image)
