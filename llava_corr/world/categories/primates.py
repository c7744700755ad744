"""Apes and monkeys of PartImageNet and the persons of ADE20K-Part-234: one upright body on two legs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats
from ._forms import BLACK, DARK, WHITE, Frame, Part, ball, loft, near, placed, rod, settle, shifted

# PartImageNet's biped against ADE20K's person.
PARTS: dict[str, Part] = {
    fine: {"partimagenet": coarse, "ade20k_part_234": person}
    for fine, coarse, person in (
        ("torso", "body", "torso"), ("neck", "body", "neck"), ("head", "head", "head"), ("arm", "body", "arm"),
        ("hand", "hand", "hand"), ("leg", "foot", "leg"), ("foot", "foot", "foot"), ("tail", "tail", "torso"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Body:
    """Proportions in metres (of a body of about 1 m when not said otherwise)."""

    hip: float  # height of the hip joint
    torso: float
    shoulder: float  # half width
    waist: float
    deep: float
    lean: float  # degrees forward
    arm: float
    limb: float  # half thickness
    leg_limb: float
    head: tuple[float, float, float]  # half width, half depth, half height
    neck: float
    crouch: float = 0.0  # degrees of knee bend
    spread: float = 10.0


def _limb(f: Frame, upper: str, start: Floats, joint: Floats, end: Floats, thick: float, look: str) -> None:
    rows = [(*start, thick, thick), (*((start + joint) / 2), 1.05 * thick, 1.05 * thick), (*joint, 0.8 * thick, 0.85 *
            thick), (*((joint + end) / 2), 0.8 * thick, 0.8 * thick), (*end, 0.6 * thick, 0.6 * thick)]  # fmt: skip
    f.piece(PARTS[upper], loft(rows, steps=3, sides=10), look)


def _arms(f: Frame, s: Body, swings: tuple[float, float], raise_: float, looks: tuple[str, str]) -> None:
    for side, swing, word in ((1, swings[0], "left"), (-1, swings[1], "right")):
        start = np.array([side * s.shoulder, 0.0, s.torso * 0.93])
        out, fore = np.radians(s.spread), np.radians(swing)
        half = s.arm / 2
        down = np.array([side * np.sin(out), -np.sin(fore) * np.cos(out), -np.cos(fore) * np.cos(out)])
        joint = start + half * down
        bent = fore + np.radians(12 + raise_)
        end = joint + half * np.array([side * 0.04, -np.sin(bent), -np.cos(bent)])
        _limb(f, "arm", start, joint, end, s.limb, looks[0])
        lowest = 1.6 * s.limb  # knuckles rest on the ground, they do not sink into it
        while (f.matrix[2, :3] @ end + f.matrix[2, 3] < lowest) and bent < 2.2:
            bent += 0.12
            end = joint + half * np.array([side * 0.04, -np.sin(bent), -np.cos(bent)])
        along = s.limb * np.array([0, -np.sin(bent), -np.cos(bent)])
        shape = ((0.0, 0.55, 0.5), (0.8, 0.85, 0.6), (1.6, 0.7, 0.4))
        hand = [(*(end + t * along), wide * s.limb, deep * s.limb) for t, wide, deep in shape]
        f.piece(PARTS["hand"], loft(hand, sides=10), looks[1])
        f.keypoint("arm", "elbow", shifted(joint, side * 0.8 * s.limb, 0, 0), word)
        f.keypoint("arm", "shoulder", shifted(start, side * s.limb, 0, 0), word)
        f.keypoint("hand", "tip", end + 1.8 * along, word)


def _legs(f: Frame, s: Body, swings: tuple[float, float], looks: tuple[str, str]) -> None:
    """Adds legs whose feet stand on z = 0."""
    for side, swing, word in ((1, swings[0], "left"), (-1, swings[1], "right")):
        start = np.array([side * 0.58 * s.waist, 0.0, s.hip])
        thigh, shin = np.radians(swing + s.crouch), np.radians(swing - s.crouch)
        half = s.hip / 2 * 0.96
        joint = start + half * np.array([side * 0.1 * (s.crouch > 0), -np.sin(thigh), -np.cos(thigh)])
        end = joint + half * np.array([0, -np.sin(shin), -np.cos(shin)])
        drop = (s.hip - 0.8 * s.leg_limb) / (s.hip - end[2])
        joint[2], end[2] = (s.hip - drop * (s.hip - p[2]) for p in (joint, end))
        _limb(f, "leg", start, joint, end, s.leg_limb, looks[0])
        sole = shifted(end, 0, -1.1 * s.leg_limb, -0.35 * s.leg_limb)
        sole[2] = max(sole[2], 0.45 * s.leg_limb)
        f.piece(
            PARTS["foot"], ball(0.75 * s.leg_limb, 2.0 * s.leg_limb, 0.45 * s.leg_limb, sole, segments=10), looks[1]
        )
        f.keypoint("leg", "knee", shifted(joint, 0, -0.85 * s.leg_limb, 0), word)
        f.keypoint("paw", "tip", sole - [0, 1.95 * s.leg_limb, 0], word)


def _trunk(f: Frame, s: Body, look: str) -> None:
    rows = [(0, 0, -0.04 * s.torso, 0.85 * s.waist, s.deep * 0.9), (0, 0, 0.2 * s.torso, s.waist, s.deep), (0, 0, 0.6
            * s.torso, 0.5 * (s.waist + s.shoulder), 1.05 * s.deep), (0, 0, 0.9 * s.torso, s.shoulder, 0.9 * s.deep),
            (0, 0, 1.02 * s.torso, 0.55 * s.shoulder, 0.6 * s.deep)]  # fmt: skip
    f.piece(PARTS["torso"], loft(rows, sides=14, caps=(0.5, 0.5)), look)
    f.keypoint("chest", "center", (0, -s.deep, 0.7 * s.torso))
    f.keypoint("back", "center", (0, s.deep, 0.6 * s.torso), "", "middle")
    f.keypoint("belly", "center", (0, -s.deep, 0.2 * s.torso))


def _ape_head(f: Frame, s: Body, ears: float) -> None:
    x, y, z = s.head
    f.piece(PARTS["head"], ball(x, y, z, segments=14), "main")
    f.piece(PARTS["head"], ball(0.8 * x, 0.35 * y, 0.72 * z, (0, -0.72 * y, -0.08 * z), segments=12), "face")
    f.piece(PARTS["head"], ball(0.62 * x, 0.6 * y, 0.42 * z, (0, -0.95 * y, -0.5 * z), segments=12), "face")
    f.piece(PARTS["head"], ball(0.86 * x, 0.25 * y, 0.16 * z, (0, -0.86 * y, 0.36 * z), segments=10), "main")
    f.both(
        PARTS["head"], ball(0.25 * ears, 0.12 * ears, 0.34 * ears, (x + 0.1 * ears, 0, 0.05 * z), segments=10), "face"
    )
    f.both(PARTS["head"], ball(0.13 * x, 0.1 * x, 0.13 * x, (0.34 * x, -1.03 * y, 0.16 * z), segments=8), "eye")
    f.both(PARTS["head"], ball(0.08 * x, 0.06 * x, 0.06 * x, (0.14 * x, -1.5 * y, -0.36 * z), segments=6), "eye")
    f.piece(PARTS["head"], ball(0.4 * x, 0.1 * y, 0.05 * z, (0, -1.48 * y, -0.62 * z), segments=8), "eye")
    f.pair("eye", "center", (0.34 * x, -1.1 * y, 0.16 * z))
    f.pair("ear", "tip", (x + 0.3 * ears, 0, 0.1 * z))
    f.keypoint("nose", "tip", (0, -1.52 * y, -0.36 * z))
    f.keypoint("head", "top", (0, 0, z))


def _primate(b: ObjectBuilder, rng: np.random.Generator, s: Body, ears: float) -> Frame:
    """Adds everything but the tail; returns the frame of the torso."""
    whole = Frame(b)
    still = rng.random() < 0.25
    swing = 0.0 if still else float(rng.uniform(-25, 25))
    _legs(whole, s, (swing, -swing), ("main", "face"))
    torso = Frame(b, placed(0, 0, s.hip, ("x", s.lean)))
    _trunk(torso, s, "main")
    reach = s.lean * 0.9
    lift = 0.0 if still else float(rng.uniform(0, 50))
    _arms(torso, s, (reach + lift, reach - 0.4 * swing), lift, ("main", "face"))
    yaw = 0.0 if still else float(rng.uniform(-30, 30))
    top = torso.matrix[:3, :3] @ np.array([0, 0, s.torso + s.neck + 0.4 * s.head[2]]) + torso.matrix[:3, 3]
    _ape_head(Frame(b, placed(*top, ("z", yaw))), s, ears)
    return torso


def _materials(b: ObjectBuilder, coat: list, face: list) -> None:
    b.material("main", "fur", colours=coat, patterns=("plain", "plain", "noise"))
    b.material("face", "skin", colours=face)
    b.material("eye", "plastic", colours=(BLACK,), fixed=True)


@category("ape", flavours={"partimagenet": "ape"}, supercategory="animals", support="ground", size=1.5)
def ape(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A gorilla, chimpanzee or orang-utan: long arms, bent legs, no tail."""
    orang = rng.random() < 0.3
    _materials(
        b,
        [(0.62, 0.27, 0.08)] if orang else [(0.1, 0.09, 0.09), (0.2, 0.17, 0.15)],
        [(0.16, 0.13, 0.12), (0.45, 0.33, 0.26)],
    )
    s = Body(near(rng, 0.46), near(rng, 0.68), near(rng, 0.27), near(rng, 0.25), near(rng, 0.2), float(rng.uniform(18,
             40)), near(rng, 0.92), near(rng, 0.095), near(rng, 0.1), (0.16, 0.16, 0.19), 0.02,
             crouch=float(rng.uniform(15, 30)), spread=float(rng.uniform(12, 24)))  # fmt: skip
    _primate(b, rng, s, ears=near(rng, 0.11))
    settle(b)


@category("monkey", flavours={"partimagenet": "monkey"}, supercategory="animals", support="ground", size=0.7)
def monkey(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Slender, big-eared, with a long tail that curls up."""
    _materials(b, [(0.45, 0.32, 0.2), (0.3, 0.2, 0.13), (0.6, 0.5, 0.36)], [(0.85, 0.65, 0.5), (0.78, 0.55, 0.42)])
    s = Body(near(rng, 0.2), near(rng, 0.24), near(rng, 0.075), near(rng, 0.075), near(rng, 0.065),
             float(rng.uniform(10, 40)), near(rng, 0.3), near(rng, 0.028), near(rng, 0.032), (0.075, 0.072, 0.08),
             0.005, crouch=float(rng.uniform(15, 35)), spread=float(rng.uniform(10, 30)))  # fmt: skip
    torso = _primate(b, rng, s, ears=near(rng, 0.1))
    back = float(rng.uniform(0.9, 1.2))
    path = (
        np.array([(0, 0.05, 0.0), (0, 0.17, -0.02), (0, 0.26, 0.1), (0, 0.24, 0.27), (0, 0.15, 0.33), (0, 0.1, 0.26)])
        * back
    )
    path[:, 0] = rng.uniform(-0.12, 0.12) * np.linspace(0, 1, 6) ** 2
    rows = np.column_stack([path, np.linspace(0.02, 0.011, 6), np.linspace(0.02, 0.011, 6)])
    upright = Frame(b, placed(*torso.matrix[:3, 3]))
    upright.piece(PARTS["tail"], loft(rows, steps=4, sides=8, caps=(0.5, 1)), "main")
    upright.keypoint("tail", "tip", rows[-1, :3])
    upright.keypoint("tail", "base", shifted(0.4 * rows[0, :3] + 0.6 * rows[1, :3], 0, 0, 0.018))
    settle(b)


@category("person", flavours={"ade20k_part_234": "person"}, support="floor", size=1.75)
def person(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A standing or walking person in a shirt and trousers."""
    b.material("skin", "skin", colours=((0.92, 0.74, 0.62), (0.78, 0.56, 0.42), (0.5, 0.33, 0.23), (0.33, 0.21, 0.15)))
    b.material("shirt", "fabric", patterns=("plain", "stripes", "checks"))
    b.material(
        "trousers", "fabric", colours=((0.15, 0.18, 0.3), (0.12, 0.12, 0.13), (0.5, 0.44, 0.34), (0.3, 0.32, 0.34))
    )
    b.material("shoe", "leather", colours=(DARK, (0.4, 0.25, 0.15), WHITE))
    b.material("hair", "fur", colours=(BLACK, (0.3, 0.18, 0.1), (0.7, 0.52, 0.28), (0.6, 0.6, 0.6)))
    b.material("eye", "plastic", colours=(BLACK,), fixed=True)
    tall = float(rng.uniform(0.9, 1.08))
    slim = float(rng.uniform(0.85, 1.2))
    s = Body(0.88, 0.56, 0.2, 0.15 * slim, 0.115 * slim, 0.0, 0.6, 0.052, 0.085 * slim**0.5, (0.085, 0.1, 0.125), 0.06,
             crouch=1.0, spread=float(rng.uniform(5, 14)))  # fmt: skip
    stride = 0.0 if rng.random() < 0.4 else float(rng.uniform(-28, 28))
    whole = Frame(b, np.diag([tall, tall, tall, 1.0]))
    _legs(whole, s, (stride, -stride), ("trousers", "shoe"))
    torso = Frame(b, whole.matrix @ placed(0, 0, s.hip))
    _trunk(torso, s, "shirt")
    _arms(torso, s, (-stride, stride), float(rng.uniform(0, 40)), ("shirt", "skin"))
    torso.piece(PARTS["neck"], rod((0, 0, s.torso - 0.02), (0, -0.01, s.torso + 0.12), 0.052, sides=10), "skin")
    head = Frame(b, torso.matrix @ placed(0, -0.015, s.torso + 0.2, ("z", float(rng.uniform(-30, 30)))))
    _face(head, s, long=rng.random() < 0.5)


def _face(f: Frame, s: Body, long: bool) -> None:
    x, y, z = s.head
    f.piece(PARTS["head"], ball(x, y, z, segments=14), "skin")
    f.piece(PARTS["head"], ball(1.09 * x, 1.0 * y, 0.9 * z, (0, 0.16 * y, 0.24 * z), segments=14), "hair")
    if long:
        f.piece(PARTS["head"], ball(1.08 * x, 0.6 * y, 1.25 * z, (0, 0.55 * y, -0.35 * z), segments=12), "hair")
    f.piece(PARTS["head"], rod((0, -0.95 * y, 0.05 * z), (0, -1.17 * y, -0.16 * z), 0.01, 0.018, sides=6), "skin")
    f.both(PARTS["head"], ball(0.013, 0.008, 0.01, (0.036, -0.89 * y, 0.1 * z), segments=8), "eye")
    f.both(PARTS["head"], ball(0.012, 0.025, 0.032, (0.98 * x, 0.0, -0.02), segments=8), "skin")
    f.pair("eye", "center", (0.036, -0.95 * y, 0.1 * z))
    f.pair("ear", "tip", (1.05 * x, 0.0, 0.01))
    f.keypoint("nose", "tip", (0, -1.2 * y, -0.16 * z))
    f.keypoint("head", "top", (0, 0.1 * y, 1.12 * z))
