"""Every everyday category, over several seeds: names, shapes, sizes, keypoints, functional parts, repeatability."""

from __future__ import annotations

import json
from functools import cache

import embreex.rtcore_scene as embree
import numpy as np
import pytest
from embreex.mesh_construction import TriangleMesh

from llava_corr.files import resource
from llava_corr.world.categories import (
    bags_shoes,
    bottles,
    containers,
    cookware,
    cutlery,
    electronics,
    home_electronics,
    instruments,
    small_goods,
    stationery,
    tools,
    upright_tools,
    vehicles_everyday,
    vessels,
    wearables,
)
from llava_corr.world.objects import CATEGORIES, MATERIAL_KINDS, ObjectModel

MODULES = (
    bags_shoes, bottles, containers, cookware, cutlery, electronics, home_electronics, instruments, small_goods,
    stationery, tools, upright_tools, vehicles_everyday, vessels, wearables,
)  # fmt: skip
NAMES = sorted(n for n, c in CATEGORIES.items() if c.program.__module__ in {m.__name__ for m in MODULES})
SEEDS = range(20)
WORDS = {"front", "rear", "left", "right", "top", "bottom", "middle"}
PATTERNS = {"plain", "stripes", "checks", "dots", "noise", "grain", "patches", "gradient"}

# Taxonomy parts that a class does without, because they would never be seen apart from another part.
LEFT_OUT = {
    "belt": {"buckle"},  # its frame, bar and prong are named one by one
    "blender": {"food cup"},
    "bottle": {"bottom", "punt"},
    "carton": {"inner side", "lid"},
    "kettle": {"inner body"},
    "tray": {"inner side"},  # it has an inner wall
}


@cache
def objects(name: str) -> list[ObjectModel]:
    return [CATEGORIES[name].make(np.random.default_rng([seed, 5])) for seed in SEEDS]


@cache
def taxonomy() -> dict[str, dict[str, list[str]]]:
    return json.loads(resource("data", "taxonomies", "paco_lvis.json").read_text())["objects"]


def test_there_are_enough_classes_and_the_requested_ones():
    wanted = {
        "mug", "cup", "bowl", "plate", "bottle", "jar", "glass", "vase", "kettle", "pan", "bucket", "can", "basket",
        "tray", "box", "knife", "spoon", "scissors", "hammer", "screwdriver", "wrench", "pliers", "drill", "broom",
        "pen", "pencil", "book", "laptop computer", "mouse", "remote control", "cellular telephone", "hat", "shoe",
        "handbag", "guitar", "ladder", "trash can", "bicycle", "television set", "microwave oven", "drum", "helmet",
        "crate", "watch",
    }  # fmt: skip
    assert wanted <= set(NAMES)
    assert len(NAMES) >= 50


@pytest.mark.parametrize("name", NAMES)
def test_part_names_are_the_taxonomy_s(name):
    assert CATEGORIES[name].flavours["paco_lvis"] == name
    seen = {piece.part_in("paco_lvis") for model in objects(name) for piece in model.pieces} - {""}
    assert seen == set(taxonomy()[name]["parts"]) - LEFT_OUT.get(name, set())


def test_glass_carries_the_room_flavour_too():
    ade = json.loads(resource("data", "taxonomies", "ade20k_part_234.json").read_text())["objects"]["glass"]["parts"]
    seen = {piece.part_in("ade20k_part_234") for model in objects("glass") for piece in model.pieces}
    assert seen - {""} == set(ade)


@pytest.mark.parametrize("name", NAMES)
def test_meshes_are_sound(name):
    for model in objects(name)[:8]:
        assert sum(len(piece.mesh.faces) for piece in model.pieces) <= 6000
        for piece in model.pieces:
            mesh = piece.mesh
            assert np.isfinite(mesh.vertices).all()
            np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)
            assert mesh.faces.min() >= 0
            assert mesh.faces.max() < len(mesh.vertices)
            a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
            plane = np.cross(b - a, c - a)
            size = np.linalg.norm(plane, axis=1)
            agree = np.einsum("fc,fc->f", plane, mesh.normals[mesh.faces].sum(1)) > 0
            share = size[agree].sum() / size.sum()
            assert share >= 0.95, (piece.part, share)


@pytest.mark.parametrize("name", NAMES)
def test_surfaces_face_outwards(name):
    """Whatever a camera sees from outside, it sees from the front: rays of six views hit no back faces."""
    backs = hits = 0
    for model in objects(name)[:3]:
        triangles = np.concatenate([p.mesh.vertices[p.mesh.faces] for p in model.pieces])
        scene = embree.EmbreeScene()
        TriangleMesh(scene, triangles.astype(np.float32))
        plane = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        low, high = model.bounds()
        reach = np.linalg.norm(high - low) / 2
        offsets = np.stack(np.meshgrid(*[np.linspace(-1, 1, 48)] * 2), -1).reshape(-1, 2)
        for azimuth, elevation in ((20, 15), (100, 35), (170, 55), (250, 20), (310, 40), (60, 80)):
            a, e = np.radians(azimuth), np.radians(elevation)
            towards = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
            side = np.array([-np.sin(a), np.cos(a), 0])
            start = (low + high) / 2 + reach * (
                2 * towards + offsets[:, :1] * side + offsets[:, 1:] * np.cross(towards, side)
            )
            rays = np.repeat(-towards[None], len(start), axis=0).astype(np.float32)
            face = scene.run(start.astype(np.float32), rays, output=1)["primID"]
            face = face[face >= 0]
            hits += len(face)
            backs += int((plane[face] @ towards < 0).sum())
    assert hits > 300
    assert backs <= 0.006 * hits


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_plausible_and_the_object_stands_on_the_ground(name):
    size = CATEGORIES[name].size
    for model in objects(name):
        low, high = model.bounds()
        assert 0.4 * size <= (high - low).max() <= 2.6 * size
        assert abs(low[2]) <= 1e-3 * size
        assert np.abs((low + high)[:2] / 2).max() <= 0.75 * size


def distance_to_surface(model: ObjectModel, point: np.ndarray) -> float:
    """Exact distance from a point to the nearest triangle, by brute force."""
    a, b, c = np.moveaxis(np.concatenate([p.mesh.vertices[p.mesh.faces] for p in model.pieces]), 1, 0)

    def to_segment(p: np.ndarray, q: np.ndarray) -> float:
        along = q - p
        t = np.einsum("fc,fc->f", point - p, along) / np.maximum(np.einsum("fc,fc->f", along, along), 1e-18)
        return float(np.linalg.norm(p + np.clip(t, 0, 1)[:, None] * along - point, axis=1).min())

    nearest = min(to_segment(a, b), to_segment(b, c), to_segment(c, a))
    normal = np.cross(b - a, c - a)
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-18)
    height = np.einsum("fc,fc->f", point - a, normal) / length
    foot = point - height[:, None] * normal / length[:, None]
    inside = np.all(
        [np.einsum("fc,fc->f", np.cross(q - p, foot - p), normal) >= 0 for p, q in ((a, b), (b, c), (c, a))], 0
    )
    return min(nearest, float(np.abs(height[inside]).min(initial=np.inf)))


@pytest.mark.parametrize("name", NAMES)
def test_keypoints_lie_on_the_surface_and_are_told_apart(name):
    for model in objects(name)[:4]:
        extent = (model.bounds()[1] - model.bounds()[0]).max()
        assert 5 <= len(model.keypoints) <= 30
        identities = [(k.part, k.point, k.part_position, k.point_position) for k in model.keypoints]
        assert len(set(identities)) == len(identities)
        for keypoint in model.keypoints:
            assert set(keypoint.part_position) | set(keypoint.point_position) <= WORDS
            away = distance_to_surface(model, keypoint.at)
            assert away <= 0.025 * extent, (keypoint, away / extent)


def test_left_and_right_are_the_object_s_own():
    for name in NAMES:
        for model in objects(name)[:2]:
            places = {(k.part, k.point, k.part_position, k.point_position): k.at for k in model.keypoints}
            if name in ("book", "cellular telephone", "watch", "tape", "tissue paper", "hat", "earphone", "sponge"):
                continue  # may lie turned over
            for (part, point, first, second), at in places.items():
                swap = [tuple({"left": "right"}.get(w, w) for w in words) for words in (first, second)]
                twin = places.get((part, point, swap[0], swap[1]))
                if twin is not None and "left" in (*first, *second) and "right" not in (*first, *second):
                    assert at[0] > twin[0], (name, part, point, first, second)


@cache
def functions() -> dict[str, dict[str, list[str]]]:
    return json.loads(resource("data", "taxonomies", "functions.json").read_text())


def test_functional_parts_agree_with_the_table():
    assert len(functions()) == 24
    used = set()
    for name in NAMES:
        for model in objects(name):
            for piece in model.pieces:
                for function, part in piece.functions.items():
                    assert part in functions()[function][name]
                    used.add((function, name))
    assert {(function, name) for function, listed in functions().items() for name in listed} <= used
    assert len({function for function, _ in used}) >= 18


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_object_and_other_seed_another(name):
    make = CATEGORIES[name].make
    one, two, other = (make(np.random.default_rng(seed)) for seed in (3, 3, 4))
    for p, q in zip(one.pieces, two.pieces, strict=True):
        assert p.part == q.part
        assert p.material == q.material
        np.testing.assert_array_equal(p.mesh.vertices, q.mesh.vertices)
    assert one.materials == two.materials
    assert not np.array_equal(one.bounds(), other.bounds())


@pytest.mark.parametrize("name", NAMES)
def test_materials_are_known(name):
    for model in objects(name):
        assert {piece.material for piece in model.pieces} <= set(model.materials)
        for material in model.materials.values():
            assert set(material.kinds) <= set(MATERIAL_KINDS)
            assert set(material.patterns) <= PATTERNS
            assert all(0 <= channel <= 1 for colour in material.colours for channel in colour)
