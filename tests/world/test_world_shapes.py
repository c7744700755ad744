"""Mesh primitives against closed forms and trimesh."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.world import shapes
from llava_corr.world.shapes import Mesh

lengths = st.floats(0.05, 3.0)


def solid(mesh: Mesh) -> trimesh.Trimesh:
    """The mesh with equal vertices joined."""
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=True, merge_norm=True)


def assert_sound(mesh: Mesh, volume: float, tolerance: float) -> None:
    body = solid(mesh)
    assert body.is_watertight
    assert body.is_winding_consistent
    assert body.volume == pytest.approx(volume, rel=tolerance)
    corners = mesh.vertices[mesh.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    shading = mesh.normals[mesh.faces]
    assert np.einsum("fk,fck->fc", flat, shading).min() > 0, "normals look the way the winding does"
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-9)


@given(lengths, lengths, lengths)
@settings(max_examples=20, deadline=None)
def test_box(x, y, z):
    mesh = shapes.box(x, y, z)
    assert_sound(mesh, x * y * z, 1e-9)
    assert np.allclose(np.ptp(mesh.vertices, axis=0), [x, y, z])


def test_bevelled_box_is_a_little_smaller():
    body = solid(shapes.box(1, 2, 3, bevel=0.1))
    assert body.is_watertight
    assert 5.5 < body.volume < 6.0


@given(lengths, lengths)
@settings(max_examples=20, deadline=None)
def test_cylinder(radius, height):
    """A prism over a regular polygon: area (n / 2) r^2 sin(2 pi / n)."""
    n = 24
    area = n / 2 * radius**2 * np.sin(2 * np.pi / n)
    assert_sound(shapes.cylinder(radius, height, segments=n), area * height, 1e-9)


def test_cone_and_frustum():
    n = 64
    area = n / 2 * np.sin(2 * np.pi / n)
    assert_sound(shapes.cylinder(1, 3, top=0.0, segments=n), area, 1e-9)
    assert_sound(shapes.cylinder(1, 3, top=0.5, segments=n), area * (1 + 0.5 + 0.25), 1e-9)


@given(lengths, lengths, lengths)
@settings(max_examples=10, deadline=None)
def test_ellipsoid(x, y, z):
    assert_sound(shapes.ellipsoid(x, y, z, segments=48), 4 / 3 * np.pi * x * y * z, 0.02)


def test_torus():
    assert_sound(shapes.torus(2, 0.5, segments=64, sides=32), 2 * np.pi**2 * 2 * 0.25, 0.02)


def test_straight_tube_is_a_prism():
    n = 12
    area = n / 2 * 0.04 * np.sin(2 * np.pi / n)
    assert_sound(shapes.tube([[0, 0, 0], [0.6, 0, 0.8], [1.2, 0, 1.6]], 0.2, sides=n), area * 2, 1e-9)


def test_extruded_concave_outline():
    outline = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
    assert_sound(shapes.extrude(outline, 0.5), 1.5, 1e-9)
    assert_sound(shapes.extrude(outline[::-1], 0.5), 1.5, 1e-9)


def test_sheet_keeps_its_volume_when_it_waves():
    heights = 0.2 * np.sin(np.linspace(0, 6, 12))[:, None] * np.ones((1, 9))
    assert_sound(shapes.sheet(heights, 3, 2, 0.1), 0.6, 1e-9)


def test_hollow_vessel():
    """A cup: outer minus inner cylinder; the rim joins them."""
    n = 32
    area = n / 2 * np.sin(2 * np.pi / n)
    cup = shapes.lathe([(0, 0), (1, 0), (1, 2), (0.9, 2), (0.9, 0.1), (0, 0.1)], segments=n)
    assert_sound(cup, area * (2 - 0.81 * 1.9), 1e-9)


def test_merge_adds_volumes():
    both = shapes.merge(shapes.box(1, 1, 1), shapes.box(1, 1, 1).move(x=3))
    assert solid(both).volume == pytest.approx(2)


@given(st.sampled_from("xyz"), st.floats(-180, 180), st.floats(0.2, 3))
@settings(max_examples=20, deadline=None)
def test_moves_keep_meshes_sound(axis, degrees, factor):
    mesh = shapes.cylinder(0.3, 1, segments=16)
    volume = solid(mesh).volume
    moved = mesh.rotate(axis, degrees).mirror(axis).scale(factor).move(1, 2, 3)
    assert_sound(moved, volume * factor**3, 1e-6)


def test_rotation_is_right_handed():
    turned = shapes.rotation("z", 90)[:3, :3] @ [1, 0, 0]
    assert np.allclose(turned, [0, 1, 0])


def test_bend_keeps_the_volume_of_a_thin_rod_and_turns_its_end():
    rod = shapes.tube(np.column_stack([np.zeros((30, 2)), np.linspace(0, 2, 30)]), 0.05, sides=12)
    bent = rod.bend(90, axis="x")
    assert solid(bent).volume == pytest.approx(solid(rod).volume, rel=0.01)
    radius = 2 / (np.pi / 2)
    end = bent.vertices[np.argmax(rod.vertices[:, 2])]
    assert np.linalg.norm(end - [0, -radius, radius]) < 0.06
