"""Tableware: mug, cup, bowl, plate, glass, vase."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, lathe
from ._forms import near, pick
from ._skins import superellipse
from ._wares import (
    BRIGHTS,
    CLEAR,
    DARKS,
    GLAZES,
    METALS,
    bands,
    between,
    chance,
    circle_points,
    footed,
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

MUGS = {
    "straight": ((0.94, 0), (1, 0.06), (1, 0.5), (1, 1)),
    "taper": ((0.7, 0), (0.78, 0.08), (0.9, 0.5), (1, 1)),
    "barrel": ((0.78, 0), (0.98, 0.25), (1.05, 0.5), (1, 0.8), (0.93, 1)),
    "flare": ((0.7, 0), (0.8, 0.15), (0.82, 0.55), (1, 1)),
    "belly": ((0.7, 0), (1.08, 0.22), (1.1, 0.42), (0.9, 0.75), (0.95, 1)),
}


@category("mug", flavours={"paco_lvis": "mug"}, supercategory="hand-held", support="table", size=0.12)
def mug(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Straight to bellied body, looped handle at the rear, sometimes a drawing or a line of text on the sides."""
    tinted(b, "main", "ceramic", GLAZES, "plain", "plain", "stripes", "gradient")
    tinted(b, "inside", "ceramic", GLAZES)
    tinted(b, "ink", "paint", BRIGHTS + DARKS)
    radius = uniform(rng, 0.036, 0.047)
    height = radius * uniform(rng, 1.9, 2.9)
    profile = silhouette(rng, MUGS[pick(rng, *MUGS)], radius, height)
    parts = {"base": "base", "bottom": "bottom", "body": "body", "rim": "rim", "inner": "inner body"}
    v = vessel(b, profile, uniform(rng, 0.003, 0.005), parts, "mug", inside="inside", base=near(rng, 0.09, 0.3))
    top, low = uniform(rng, 0.76, 0.9) * height, uniform(rng, 0.14, 0.34) * height
    mesh, path = loop_handle(
        rng,
        (v.radius(top) - 0.0005, top),
        (v.radius(low) - 0.0005, low),
        uniform(rng, 0.55, 0.9) * radius,
        uniform(rng, 0.0045, 0.0065),
    )
    b.piece("handle", mesh, functions=functional("mug", "handle"))
    motif = pick(rng, "none", "drawing", "text", "both")
    if motif in ("drawing", "both"):
        low_edge = 0.42 if motif == "both" else 0.3
        width = uniform(rng, 50, 85)
        for azimuth in (180, 0):
            b.piece("drawing", patch(profile, low_edge * height, 0.75 * height, azimuth, width), "ink")
    if motif in ("text", "both"):
        z = 0.24 if motif == "both" else 0.5
        b.piece("text", lettering(profile, z * height, (z + 0.14) * height, 180, 5, uniform(rng, 16, 21)), "ink")
    vessel_points(b, v)
    handle_points(b, path)


CUPS = {
    "tea": ((0.45, 0), (0.62, 0.15), (0.85, 0.5), (1, 1)),
    "round": ((0.4, 0), (0.75, 0.12), (0.97, 0.5), (1, 1)),
    "beaker": ((0.68, 0), (0.74, 0.2), (0.86, 0.6), (1, 1)),
    "bell": ((0.5, 0), (0.66, 0.1), (0.72, 0.5), (1, 1)),
}


@category("cup", flavours={"paco_lvis": "cup"}, supercategory="hand-held", support="table", size=0.1)
def cup(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Tea cup with a thin handle, or a plain beaker without one."""
    style = pick(rng, *CUPS)
    beaker = style == "beaker"
    tinted(
        b, "main", pick(rng, "paper", "plastic") if beaker else "ceramic", GLAZES + BRIGHTS, "plain", "dots", "stripes"
    )
    tinted(b, "inside", "ceramic", GLAZES[:3])
    radius = uniform(rng, 0.037, 0.043) if beaker else uniform(rng, 0.042, 0.055)
    height = radius * (uniform(rng, 2.0, 2.7) if beaker else uniform(rng, 1.05, 1.5))
    profile = silhouette(rng, CUPS[style], radius, height, 0.02)
    if not beaker:
        foot = 0.06 * height
        profile = footed(profile, foot)
    v = vessel(
        b,
        profile,
        0.0025,
        {"base": "base", "bottom": "base", "rim": "rim", "inner": "inner body"},
        "cup",
        inside="inside",
        base=0.13,
        rim=0.07,
    )
    vessel_points(b, v)
    if beaker and chance(rng, 0.7):
        return
    top, low = 0.84 * v.height, uniform(rng, 0.28, 0.42) * v.height
    mesh, path = loop_handle(
        rng,
        (v.radius(top) - 0.0005, top),
        (v.radius(low) - 0.0005, low),
        uniform(rng, 0.5, 0.7) * radius,
        uniform(rng, 0.003, 0.0045),
        ("round", "ear", "strap"),
    )
    b.piece("handle", mesh)
    handle_points(b, path)


BOWLS = {
    "half": ((0.4, 0), (0.74, 0.18), (0.93, 0.5), (1, 1)),
    "wide": ((0.32, 0), (0.55, 0.15), (0.82, 0.5), (1, 1)),
    "straight": ((0.75, 0), (0.92, 0.12), (0.98, 0.5), (1, 1)),
    "flared": ((0.4, 0), (0.66, 0.14), (0.76, 0.55), (1, 1)),
}


@category("bowl", flavours={"paco_lvis": "bowl"}, supercategory="hand-held", support="table", size=0.18)
def bowl(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Cereal, salad and soup bowls, some on a foot ring, some of wood or metal."""
    kind = pick(rng, "ceramic", "ceramic", "wood", "metal", "plastic")
    palette = METALS if kind == "metal" else GLAZES
    tinted(b, "main", kind, () if kind == "wood" else palette, "grain" if kind == "wood" else "plain", "stripes")
    tinted(b, "inside", kind, () if kind == "wood" else palette)
    radius = uniform(rng, 0.06, 0.12)
    profile = silhouette(rng, BOWLS[pick(rng, *BOWLS)], radius, radius * uniform(rng, 0.6, 1.0), 0.02)
    base = 0.1
    if chance(rng, 0.6):
        foot = uniform(rng, 0.06, 0.14) * radius
        profile = footed(profile, foot)
        base = foot / profile[-1, 1]
    parts = {"base": "base", "bottom": "bottom", "body": "body", "rim": "rim", "inner": "inner body"}
    v = vessel(b, profile, uniform(rng, 0.003, 0.006), parts, "bowl", inside="inside", base=base, rim=0.07)
    vessel_points(b, v)


@category("plate", flavours={"paco_lvis": "plate"}, supercategory="hand-held", support="table", size=0.26)
def plate(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Flat middle, rising inner wall and a broad rim; round, or square with round corners."""
    tinted(b, "main", "ceramic", GLAZES)
    tinted(b, "wall", "ceramic", GLAZES)
    tinted(b, "border", pick(rng, "ceramic", "paint"), GLAZES + BRIGHTS, "plain", "plain", "checks", "stripes")
    radius = uniform(rng, 0.09, 0.15)
    rise = radius * uniform(rng, 0.1, 0.22)
    flat, shoulder = uniform(rng, 0.5, 0.62) * radius, uniform(rng, 0.68, 0.78) * radius
    outline = superellipse(1, 1, uniform(rng, 4, 7), points=32) if chance(rng, 0.25) else None
    thick, ledge = 0.004, rise * uniform(rng, 0.55, 0.8)

    def turned(part: str, points: list[tuple[float, float]], slot: str, *use: str) -> None:
        mesh = lathe(points, segments=32, sharp=60, outline=outline)
        b.piece(part, mesh, slot, functional("plate", *use))

    turned("bottom", [(0, 0.002), (flat * 0.9, 0.002)], "main", "base")
    turned("base", [(flat * 0.9, 0.002), (flat * 0.92, 0), (flat, 0), (flat, thick)], "main", "base")
    turned("body", [(flat, thick), (shoulder, ledge), (radius, rise)], "main")
    lip = [(radius, rise), (radius + 0.001, rise + thick / 2), (radius, rise + thick), (shoulder, ledge + thick)]
    turned("rim", lip, "border", "rim")
    turned("inner wall", [(shoulder, ledge + thick), (flat, 2 * thick)], "wall", "surface")
    turned("body", [(flat, 2 * thick), (0, 2 * thick)], "main", "surface")
    circle_points(b, "rim", "edge", radius, rise + thick / 2, "top")
    circle_points(b, "rim", "inner edge", shoulder, ledge + thick, "top")
    circle_points(b, "base", "edge", flat, 0.0, "bottom")
    b.keypoint("body", "inner center", (0, 0, 2 * thick), "bottom", "middle")


STEMMED = {
    "wine": ((0.5, 0), (0.9, 0.22), (1, 0.45), (0.88, 0.8), (0.8, 1)),
    "flute": ((0.55, 0), (0.9, 0.25), (1, 0.6), (0.92, 1)),
    "martini": ((0.12, 0), (0.4, 0.33), (0.7, 0.67), (1, 1)),
    "coupe": ((0.4, 0), (0.82, 0.3), (0.97, 0.7), (1, 1)),
}
TUMBLERS = {
    "straight": ((0.9, 0), (0.94, 0.3), (0.97, 0.6), (1, 1)),
    "taper": ((0.7, 0), (0.8, 0.3), (0.9, 0.6), (1, 1)),
    "pint": ((0.72, 0), (0.82, 0.45), (1.02, 0.7), (0.98, 1)),
    "tulip": ((0.7, 0), (0.72, 0.2), (1, 0.6), (0.9, 1)),
}
ASPECTS = {"wine": 1.9, "flute": 4.2, "martini": 1.2, "coupe": 1.0}


@category(
    "glass",
    flavours={"paco_lvis": "glass", "ade20k_part_234": "glass"},
    supercategory="hand-held",
    support="table",
    size=0.16,
)
def glass(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Tumblers, and wine, champagne and martini glasses on a stem."""
    tinted(b, "main", "glass", CLEAR)
    tinted(b, "inside", "glass", (*CLEAR, (0.35, 0.05, 0.1), (0.9, 0.7, 0.2)))
    body = {"paco_lvis": "body", "ade20k_part_234": "bowl"}
    rim = {"paco_lvis": "rim", "ade20k_part_234": "opening"}
    inner = {"paco_lvis": "inner body", "ade20k_part_234": "bowl"}
    base = {"paco_lvis": "base", "ade20k_part_234": "base"}
    bottom = {"paco_lvis": "bottom", "ade20k_part_234": "base"}
    if chance(rng, 0.5):
        radius = uniform(rng, 0.03, 0.042)
        profile = silhouette(rng, TUMBLERS[pick(rng, *TUMBLERS)], radius, radius * uniform(rng, 2.2, 4.2), 0.02)
        parts = {"base": base, "bottom": bottom, "body": body, "rim": rim, "inner": inner}
        v = vessel(b, profile, 0.0022, parts, "glass", inside="inside", base=0.08, floor=0.012)
        vessel_points(b, v)
        return
    style = pick(rng, *STEMMED)
    radius = uniform(rng, 0.026, 0.03) if style == "flute" else uniform(rng, 0.036, 0.05)
    cup_height, stem = radius * near(rng, ASPECTS[style]), uniform(rng, 0.05, 0.1)
    profile = silhouette(rng, STEMMED[style], radius, cup_height, 0.02)
    _stemmed(b, np.concatenate([[(0.004, 0.0)], shifted(profile, z=0.004)]), stem, radius, (base, body, rim, inner))


def _stemmed(
    b: ObjectBuilder, bowl_profile: Floats, stem: float, radius: float, names: tuple[dict[str, str], ...]
) -> None:
    """Foot disc, thin stem, and the hollow bowl on it."""
    base, body, rim, inner = names
    foot = 0.82 * max(radius, 0.032)
    curve = np.array([(0.003, stem), (0.003, 0.02), (0.006, 0.008), (foot, 0.003), (foot, 0)])[::-1]
    low, column = bands(curve, 0.0085, closed=(True, False), segments=20)
    b.piece(base, low, functions=functional("glass", "base"))
    b.piece({"paco_lvis": "", "ade20k_part_234": "stem"}, column)
    shell = shifted(bowl_profile, z=stem - 0.001)
    top, wall = float(shell[-1, 1]), 0.0018
    lip = top - 0.06 * (top - stem)
    b.piece(body, lathe(between(shell, stem - 0.001, lip), segments=24), functions=functional("glass", "body"))
    high = between(shell, lip, top)
    crown = np.concatenate([high, shifted(high[::-1], -wall)])
    b.piece(rim, lathe(crown, segments=24), functions=functional("glass", "rim", "lip"))
    cavity = shifted(between(shell, stem + 0.006, lip), -wall)
    cavity = np.concatenate([np.maximum(cavity, 0.0005)[::-1], [(0, stem + 0.006)]])
    b.piece(inner, lathe(cavity, segments=24), "inside", functional("glass", "bowl"))
    circle_points(b, "rim", "edge", float(shell[-1, 0]), top, "top")
    circle_points(b, "base", "edge", foot, 0.0, "bottom")
    b.keypoint("stem", "joint", (0, -0.003, stem), "middle", "top")
    b.keypoint("stem", "center", (0, -0.003, 0.55 * stem), "middle", "middle")
    b.keypoint("body", "inner center", (0, 0, stem + 0.006), "top", "bottom")


VASES = {
    "classic": ((0.6, 0), (0.95, 0.28), (1, 0.48), (0.5, 0.8), (0.48, 0.88), (0.7, 1)),
    "bud": ((0.75, 0), (1, 0.18), (0.7, 0.42), (0.28, 0.62), (0.26, 0.85), (0.4, 1)),
    "column": ((0.75, 0), (0.8, 0.3), (0.85, 0.6), (0.82, 0.8), (0.8, 0.88), (1, 1)),
    "amphora": ((0.35, 0), (0.75, 0.3), (1, 0.6), (0.55, 0.8), (0.42, 0.87), (0.6, 1)),
    "gourd": ((0.7, 0), (1, 0.2), (0.55, 0.48), (0.72, 0.66), (0.4, 0.84), (0.5, 1)),
}


@category("vase", flavours={"paco_lvis": "vase"}, supercategory=None, support="table", size=0.3)
def vase(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Foot, bellied body, narrow neck and a flared mouth; amphorae have two handles at the sides."""
    style = pick(rng, *VASES)
    tinted(
        b, "main", pick(rng, "ceramic", "ceramic", "glass", "metal"), GLAZES + BRIGHTS, "plain", "stripes", "patches"
    )
    tinted(b, "band", "ceramic", GLAZES)
    b.materials["inside"] = b.materials["main"]
    height = uniform(rng, 0.2, 0.36)
    profile = silhouette(rng, VASES[style], height * uniform(rng, 0.24, 0.36), height)
    foot, neck, mouth = 0.07 * height, 0.76 * height, 0.93 * height
    wall = 0.005
    for part, low, high, slot in (
        ("foot", 0.0, foot, "band"),
        ("body", foot, neck, "main"),
        ("neck", neck, mouth, "main"),
    ):
        curve = between(profile, low, high)
        b.piece(part, lathe(np.concatenate([[(0, 0)], curve]) if low == 0 else curve, segments=28), slot)
    lip = between(profile, mouth, height)
    crown = np.concatenate([lip, [(profile[-1, 0] - wall / 2, height + 0.4 * wall)], shifted(lip[::-1], -wall)])
    b.piece("mouth", lathe(crown, segments=28), "band")
    cavity = np.concatenate([shifted(between(profile, foot, mouth), -wall)[::-1], [(0, foot)]])
    b.piece("", lathe(cavity, segments=28), "inside")
    circle_points(b, "rim", "edge", float(profile[-1, 0]) - wall / 2, height, "top")
    circle_points(b, "base", "edge", float(profile[0, 0]), 0.0, "bottom")
    circle_points(b, "neck", "center", radius_at(profile, 0.86 * height), 0.86 * height, "top")
    if style != "amphora" and chance(rng, 0.75):
        return
    top, low = 0.9 * height, 0.62 * height
    radius = {z: radius_at(profile, z) - 0.003 for z in (top, low)}
    reach = 0.25 * float(profile[:, 0].max())
    mesh, path = loop_handle(rng, (radius[top], top), (radius[low], low), reach, 0.006, ("round", "ear"))
    for word, degrees in (("left", -90), ("right", 90)):
        turned = mesh.rotate("z", degrees)
        b.piece("handle", turned, "band")
        x = float(path[len(path) // 2, 1]) * (1 if word == "left" else -1)
        b.keypoint("handle", "center", (x, 0, path[len(path) // 2, 2]), word, "middle")
