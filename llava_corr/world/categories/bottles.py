"""Vessels with closures: bottle, jar, can."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, cylinder, lathe, torus, tube
from ._forms import ball, near, pick
from ._skins import superellipse, tile
from ._wares import (
    BRIGHTS,
    DARKS,
    GLAZES,
    METALS,
    WHITES,
    bands,
    between,
    chance,
    circle_points,
    dark,
    functional,
    handle_points,
    lettering,
    loop_handle,
    patch,
    radius_at,
    shifted,
    silhouette,
    tinted,
    uniform,
    vessel,
    vessel_points,
)

# (outline as fractions of radius and height, top of the body, foot of the neck, radius/height)
BOTTLES: Mapping[str, tuple[tuple[tuple[float, float], ...], float, float, float]] = {
    "wine": (
        ((0.94, 0), (1, 0.03), (1, 0.3), (1, 0.56), (0.8, 0.66), (0.42, 0.73), (0.36, 0.85), (0.36, 1)),
        0.56,
        0.73,
        0.13,
    ),
    "burgundy": (
        ((0.94, 0), (1, 0.03), (1, 0.25), (0.97, 0.42), (0.62, 0.62), (0.36, 0.76), (0.33, 1)),
        0.44,
        0.74,
        0.14,
    ),
    "beer": (((0.94, 0), (1, 0.03), (1, 0.3), (1, 0.52), (0.7, 0.64), (0.45, 0.76), (0.42, 1)), 0.52, 0.7, 0.15),
    "water": (
        ((0.9, 0), (1, 0.05), (0.93, 0.2), (1, 0.4), (1, 0.62), (0.75, 0.8), (0.4, 0.88), (0.38, 1)),
        0.64,
        0.88,
        0.15,
    ),
    "flask": (((0.95, 0), (1, 0.04), (1, 0.4), (1, 0.74), (0.9, 0.82), (0.7, 0.87), (0.7, 1)), 0.76, 0.87, 0.17),
    "jug": (((0.95, 0), (1, 0.04), (1, 0.35), (0.95, 0.6), (0.6, 0.78), (0.36, 0.88), (0.34, 1)), 0.6, 0.87, 0.24),
}
BOTTLE_COLOURS = ((0.1, 0.25, 0.12), (0.35, 0.2, 0.08), (0.6, 0.75, 0.82), (0.82, 0.86, 0.86), (0.1, 0.25, 0.45))


@category("bottle", flavours={"paco_lvis": "bottle"}, supercategory="hand-held", support="table", size=0.28)
def bottle(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Wine, beer, water, sports and oil bottles, and detergent jugs with a handle."""
    style = pick(rng, *BOTTLES)
    control, shoulder_z, neck_z, ratio = BOTTLES[style]
    glassy = style in ("wine", "burgundy", "beer")
    tinted(
        b, "main", "glass" if glassy else pick(rng, "plastic", "metal"), BOTTLE_COLOURS if glassy else BRIGHTS + WHITES
    )
    tinted(b, "label", "paper", WHITES + BRIGHTS, "plain", "stripes", "patches")
    tinted(b, "top", pick(rng, "plastic", "metal"), BRIGHTS + DARKS + WHITES)
    height = uniform(rng, 0.2, 0.32)
    body_profile = silhouette(rng, control, height * near(rng, ratio), height, 0.015)
    outline = superellipse(1, near(rng, 0.62), 2.6) if style == "jug" else None
    z = {"base": 0.025 * height, "heel": 0.07 * height, "shoulder": shoulder_z * height, "neck": neck_z * height}
    cuts = (z["base"], z["heel"], z["shoulder"], z["neck"], 0.985 * height)
    names = ("base", "heel", "body", "shoulder", "neck", "top")
    uses = (("base",), (), ("body",), (), ("neck",), ("mouth",))
    for name, mesh, use in zip(names, bands(body_profile, *cuts, outline=outline), uses, strict=True):
        b.piece(name, mesh, functions=functional("bottle", *use) if use else {})
    if outline is None:
        low, high = 0.18 * height, z["shoulder"] - 0.06 * height
        b.piece("label", patch(body_profile, low, high, -90, uniform(rng, 110, 300)), "label")
    _closure(b, rng, style, body_profile, height)
    _bottle_points(b, body_profile, z, 1.0 if outline is None else float(outline[:, 1].max()))
    if style == "jug":
        y = float(outline[:, 1].max()) if outline is not None else 1.0
        top, low = 0.85 * height, 0.5 * height
        joint = [(radius_at(body_profile, h) * y - 0.004, h) for h in (top, low)]
        mesh, path = loop_handle(rng, joint[0], joint[1], 0.035, 0.009, ("ear", "round"))
        b.piece("handle", mesh)
        handle_points(b, path)


def _closure(b: ObjectBuilder, rng: np.random.Generator, style: str, profile: Floats, height: float) -> None:
    """What closes the neck: cork and capsule, crown or screw cap with its ring, sipper, pouring spout, or nothing."""
    r = float(profile[-1, 0])
    kinds = {
        "wine": ("capsule", "closure", "spout"),
        "burgundy": ("capsule", "closure"),
        "beer": ("cap", "open"),
        "flask": ("sipper", "cap"),
    }
    kind = pick(rng, *kinds.get(style, ("cap", "cap", "sipper", "open")))
    if kind == "capsule":
        low = 0.84 * height
        shell = shifted(between(profile, low, height), 0.0012)
        b.piece("capsule", lathe([*shell, (0, height + 0.001)], segments=20), "top")
    elif kind == "closure":
        tinted(b, "cork", "wood", ((0.75, 0.58, 0.4),))
        b.piece("closure", cylinder(0.8 * r, 0.045, top=0.9 * r).move(z=height + 0.01), "cork")
    elif kind == "spout":
        b.piece(
            "spout", tube([(0, 0, height - 0.01), (0, 0, height + 0.02), (0, -0.02, height + 0.045)], 0.45 * r), "top"
        )
    elif kind == "cap":
        tall = 0.012 if style == "beer" else near(rng, 0.02, 0.3)
        wide = r + 0.003
        cap = [(0, -tall), (wide, -tall), (wide, -0.15 * tall), (0.85 * wide, 0), (0, 0)]
        b.piece("cap", lathe(cap, segments=20).move(z=height + 0.002), "top")
        b.piece("ring", torus(r + 0.001, 0.002, sides=6).move(z=height - tall - 0.005), "top")
    elif kind == "sipper":
        b.piece(
            "cap",
            lathe([(0, -0.02), (r + 0.003, -0.02), (r + 0.003, 0), (0.4 * r, 0.008), (0, 0.008)]).move(z=height),
            "top",
        )
        b.piece(
            "sipper",
            lathe([(0, 0), (0.3 * r, 0), (0.3 * r, 0.014), (0.42 * r, 0.016), (0.38 * r, 0.026), (0, 0.026)]).move(
                z=height + 0.007
            ),
            "label",
        )
    else:
        b.piece("inner body", cylinder(0.75 * r, 0.002).move(z=height), dark(b))


def _bottle_points(b: ObjectBuilder, profile: Floats, z: Mapping[str, float], aspect: float) -> None:
    height = float(profile[-1, 1])
    circle_points(b, "base", "edge", float(profile[0, 0]), 0.0, "bottom", aspect)
    circle_points(b, "body", "upper edge", radius_at(profile, z["shoulder"]), z["shoulder"], "middle", aspect)
    circle_points(b, "neck", "lower edge", radius_at(profile, z["neck"]), z["neck"], "top", aspect)
    b.keypoint("rim", "center", (0, 0, height), "top", "middle")


JARS = {
    "cylinder": ((0.94, 0), (1, 0.05), (1, 0.5), (1, 0.78), (0.8, 0.88), (0.8, 1)),
    "squat": ((0.8, 0), (1, 0.12), (1.02, 0.5), (1, 0.75), (0.78, 0.9), (0.78, 1)),
    "ginger": ((0.6, 0), (0.8, 0.2), (1, 0.62), (0.85, 0.85), (0.62, 0.92), (0.62, 1)),
    "round": ((0.7, 0), (0.97, 0.25), (1.03, 0.5), (0.9, 0.8), (0.7, 0.93), (0.7, 1)),
}


@category("jar", flavours={"paco_lvis": "jar"}, supercategory="hand-held", support="table", size=0.16)
def jar(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Screw-lid jars, cookie jars with a knob on the lid, jam jars under a cloth cover, and open honey pots."""
    kind = pick(rng, "glass", "ceramic", "plastic")
    tinted(b, "main", kind, BOTTLE_COLOURS[2:] if kind == "glass" else GLAZES)
    tinted(b, "inside", kind, ((0.5, 0.25, 0.08), (0.6, 0.1, 0.08), (0.75, 0.5, 0.2), (0.35, 0.4, 0.15)))
    tinted(b, "lid", pick(rng, "metal", "plastic", "wood"), ())
    tinted(b, "paper", "paper", WHITES, "plain", "checks")
    tinted(b, "ink", "paint", DARKS + BRIGHTS)
    height = uniform(rng, 0.09, 0.18)
    radius = height * uniform(rng, 0.36, 0.52)
    profile = silhouette(rng, JARS[pick(rng, *JARS)], radius, height, 0.015)
    parts = {"base": "base", "bottom": "bottom", "body": "body", "rim": "rim", "inner": "inner body"}
    v = vessel(b, profile, 0.003, parts, "jar", inside="inside", base=0.07, rim=0.08, floor=0.008)
    closing = pick(rng, "screw", "knob", "cloth", "open")
    mouth = float(profile[-1, 0])
    if closing == "screw":
        tall, wide = 0.016, mouth + 0.003
        b.piece(
            "lid",
            lathe([(wide - 0.002, -tall), (wide, -tall), (wide, -0.002), (wide - 0.003, 0), (0, 0)]).move(
                z=height + 0.003
            ),
            "lid",
        )
    elif closing == "knob":
        dome = [
            (mouth + 0.004, 0),
            (mouth + 0.004, 0.006),
            (0.6 * mouth, 0.02),
            (0.012, 0.026),
            (0.01, 0.03),
            (0, 0.03),
        ]
        b.piece("lid", lathe([(0, 0), *dome]).move(z=height), "lid")
        b.piece("handle", ball(0.011, 0.011, 0.009, (0, 0, height + 0.037)), "lid")
    elif closing == "cloth":
        tinted(b, "cloth", "fabric", BRIGHTS, "checks", "dots")
        frill = superellipse(1, 1, 2, points=32) * (1 + 0.1 * np.cos(np.arange(32) * np.pi / 2))[:, None]
        skirt = [(mouth + 0.016, -0.024), (mouth + 0.004, -0.004), (mouth, 0.003), (0, 0.005)]
        b.piece("cover", lathe([(mouth + 0.002, -0.022), *skirt], outline=frill).move(z=height), "cloth")
    low, high = 0.24 * height, 0.66 * height
    if chance(rng, 0.65):
        b.piece("sticker", patch(profile, low, high, -90, uniform(rng, 80, 120)), "paper")
        ink = shifted(profile, 0.0008)
        b.piece("text", lettering(ink, 0.4 * height, 0.52 * height, -90, 5, uniform(rng, 12, 15)), "ink")
    vessel_points(b, v)
    circle_points(b, "body", "upper edge", v.radius(0.75 * height), 0.75 * height, "middle")


@category("can", flavours={"paco_lvis": "can"}, supercategory="hand-held", support="table", size=0.12)
def can(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Drink cans with a pull tab, food tins closed or opened with the lid bent up."""
    tinted(b, "main", "metal", BRIGHTS + METALS, "plain", "stripes", "gradient")
    tinted(b, "bare", "metal", METALS)
    tinted(b, "ink", "paint", WHITES + DARKS)
    drink = chance(rng, 0.55)
    radius = uniform(rng, 0.029, 0.034) if drink else uniform(rng, 0.034, 0.05)
    height = radius * (uniform(rng, 3.2, 4.6) if drink else uniform(rng, 1.3, 2.8))
    n = 0.82 if drink else 0.985
    profile = np.array(
        [(n, 0), (1, 0.07 if drink else 0.03), (1, 0.4), (1, 0.86 if drink else 0.96), (n, 0.96), (n, 1)]
    )
    profile = profile * [radius, height]
    low, body, rim = bands(profile, 0.06 * height, 0.965 * height, closed=(False, False))
    b.piece("bottom", lathe([(0, 0), (profile[0, 0], 0)]), "bare", functional("can", "base"))
    b.piece("base", low, "bare", functional("can", "base"))
    b.piece("body", body, functions=functional("can", "body"))
    r = float(profile[-1, 0])
    b.piece("rim", rim, "bare", functional("can", "rim"))
    crown = [(r, 0), (r, 0.001), (r - 0.002, 0.001), (r - 0.003, -0.005)]
    b.piece("rim", lathe(crown).move(z=height), "bare", functional("can", "rim"))
    b.piece("text", lettering(profile, 0.45 * height, 0.62 * height, -90, 6, uniform(rng, 14, 20)), "ink")
    lid = cylinder(r - 0.0025, 0.002, segments=24)
    circle_points(b, "rim", "edge", r, height, "top")
    circle_points(b, "base", "edge", float(profile[0, 0]), 0.0, "bottom")
    tab = tile(0.013, 0.024, 0.0016, 0.006).move(y=0.003)
    if drink or chance(rng, 0.5):
        b.piece("lid", lid.move(z=height - 0.004), "bare")
        b.piece("pull tab", tab.move(y=0.4 * r, z=height - 0.0015), "bare")
        mouth = lathe([(0, 0), (0.009, 0), (0.009, 0.0006), (0, 0.0006)]).scale(1, 1.2, 1)
        b.piece("lid", mouth.move(y=-0.45 * r, z=height - 0.003), dark(b), functional("can", "mouth"))
        b.keypoint("lid", "center", (0, 0, height - 0.003), "top", "middle")
        return
    tinted(b, "food", "paint", ((0.5, 0.2, 0.08), (0.7, 0.6, 0.3), (0.6, 0.1, 0.05)))
    cavity = [(r - 0.003, height - 0.005), (r - 0.003, 0.7 * height), (0, 0.7 * height)]
    b.piece("inner body", lathe(cavity), "food", functional("can", "mouth"))
    tilt, swing = uniform(rng, 55, 80), r - 0.0025
    raised = lid.move(y=-swing).rotate("x", -tilt).move(y=swing, z=height)
    b.piece("lid", raised, "bare")
    b.piece("pull tab", tab.move(y=-0.6 * r, z=0.002).move(y=-swing).rotate("x", -tilt).move(y=swing, z=height), "bare")
    b.keypoint("lid", "center", raised.vertices.mean(0), "top", "middle")
