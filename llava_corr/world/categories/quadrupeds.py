"""Four-legged animals of PartImageNet (and PACO's dog), each a draw of proportions for the shared body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..objects import Flavour, ObjectBuilder, category
from ._forms import BLACK, DARK, IVORY, PINK, WHITE, pick, settle
from ._quadruped import quadruped
from ._quadruped_spec import Spec, draw_pose, vary

TAN = (0.72, 0.52, 0.32)
SAND = (0.8, 0.66, 0.44)
BROWN = (0.36, 0.22, 0.12)
RUST = (0.74, 0.34, 0.1)
GREY = (0.5, 0.49, 0.47)
CREAM = (0.93, 0.86, 0.72)
SOOT = (0.14, 0.12, 0.12)

CAT = Spec(
    0.28, length=1.4, depth=0.48, width=0.17, belly=0.75, neck=(0.14, 45, 0.15, 0.14), head=(0.43, 0.19, 0.2),
    muzzle=(0.24, 0.09, 0.09), ears=("pointed", 0.17), leg=(0.08, 0.055), tail=("up", 0.95, 0.042), pitch=8,
    coat=((0.85, 0.55, 0.25), GREY, SOOT, CREAM, (0.55, 0.42, 0.3)), under=(WHITE, CREAM), nose=PINK,
)  # fmt: skip
TIGER = Spec(
    1.0, length=1.5, depth=0.45, width=0.17, belly=0.75, sway=0.05, neck=(0.16, 28, 0.2, 0.17), head=(0.42, 0.155,
    0.16), muzzle=(0.34, 0.1, 0.095), ears=("round", 0.12), leg=(0.105, 0.075), tail=("long", 0.8, 0.035), pitch=14,
    coat=((0.9, 0.48, 0.12), (0.85, 0.42, 0.1)), under=(WHITE,), mark=(BLACK,), marking="stripes", nose=PINK,
)  # fmt: skip
BEAR = Spec(
    1.05, length=1.45, depth=0.58, width=0.26, belly=0.9, hip=0.95, hump=0.08, neck=(0.16, 20, 0.26, 0.2), head=(0.42,
    0.16, 0.16), muzzle=(0.42, 0.075, 0.075), ears=("round", 0.13), leg=(0.14, 0.1), foot="claw", tail=("stub", 0.1,
    0.04), coat=((0.32, 0.19, 0.1), (0.16, 0.1, 0.07), (0.45, 0.3, 0.18), SOOT), under=((0.6, 0.45, 0.3),),
)  # fmt: skip
ANTELOPE = Spec(
    0.9, length=1.1, depth=0.38, width=0.13, belly=0.45, neck=(0.4, 58, 0.12, 0.08), head=(0.33, 0.085, 0.075),
    muzzle=(0.5, 0.045, 0.042), pitch=32, ears=("leaf", 0.17), horns=("lyre", 0.5), leg=(0.065, 0.03), foot="hoof",
    tail=("stub", 0.16, 0.025), coat=((0.78, 0.5, 0.26), (0.7, 0.42, 0.2)), under=(WHITE,), mark=(BROWN,),
    marking="flank", hoof=BLACK,
)  # fmt: skip
OX = Spec(
    1.4, length=1.35, depth=0.52, width=0.22, belly=0.92, hump=0.04, neck=(0.22, 22, 0.21, 0.16), head=(0.42, 0.125,
    0.11), muzzle=(0.45, 0.085, 0.085), pitch=38, ears=("leaf", 0.16), horns=("side", 0.2), leg=(0.09, 0.05),
    foot="hoof", tail=("hang*", 0.55, 0.02), coat=(WHITE, BROWN, CREAM, TAN), mark=(SOOT, BROWN), marking="patches",
    nose=PINK,
)  # fmt: skip
SHEEP = Spec(
    0.75, length=1.15, depth=0.58, width=0.26, belly=0.95, wool=True, neck=(0.16, 38, 0.16, 0.12), head=(0.36, 0.1,
    0.09), muzzle=(0.5, 0.06, 0.055), pitch=38, ears=("hang", 0.17), leg=(0.06, 0.04), foot="hoof", tail=("stub",
    0.14, 0.05), coat=(WHITE, CREAM), marking="face", mark=(SOOT, SOOT, CREAM),
)  # fmt: skip
GOAT = Spec(
    0.75, length=1.1, depth=0.45, width=0.18, belly=0.85, neck=(0.3, 52, 0.14, 0.09), head=(0.38, 0.095, 0.08),
    muzzle=(0.5, 0.055, 0.05), pitch=30, ears=("hang", 0.2), horns=("back", 0.32), beard=0.16, leg=(0.065, 0.038),
    foot="hoof", tail=("up", 0.14, 0.035), coat=(WHITE, (0.5, 0.38, 0.28), SOOT, TAN), under=(CREAM, DARK),
)  # fmt: skip
SWINE = Spec(
    0.7, length=1.6, depth=0.66, width=0.28, belly=0.97, hip=1.0, sway=-0.04, neck=(0.06, 8, 0.24, 0.2),
    head=(0.5, 0.18, 0.16), muzzle=(0.5, 0.085, 0.085), pitch=22, snout=True, ears=("leaf", 0.2), leg=(0.085, 0.055),
    foot="hoof", tail=("cork", 0.2, 0.022), coat=((0.9, 0.62, 0.58), (0.86, 0.55, 0.5), (0.35, 0.28, 0.26)),
    marking="", nose=(0.5, 0.25, 0.24),
)  # fmt: skip
FOX = Spec(
    0.4, length=1.4, depth=0.46, width=0.16, belly=0.55, neck=(0.2, 42, 0.13, 0.11), head=(0.5, 0.125, 0.135),
    muzzle=(0.48, 0.045, 0.045), pitch=14, ears=("pointed", 0.17), leg=(0.07, 0.045), tail=("out+", 1.05, 0.13),
    coat=(RUST, (0.82, 0.4, 0.12)), under=(WHITE,), mark=(BLACK,), marking="legs",
)  # fmt: skip
WOLF = Spec(
    0.8, length=1.3, depth=0.43, width=0.15, belly=0.5, neck=(0.26, 32, 0.18, 0.14), head=(0.45, 0.115, 0.12),
    muzzle=(0.48, 0.055, 0.055), pitch=16, ears=("pointed", 0.13), ruff=0.17, leg=(0.08, 0.047), tail=("hang+", 0.5,
    0.075), coat=(GREY, (0.38, 0.37, 0.36), (0.62, 0.6, 0.56)), under=((0.78, 0.76, 0.72),),
)  # fmt: skip
CAMEL = Spec(
    1.9, length=0.95, depth=0.4, width=0.17, belly=0.6, humps=1, neck=(0.52, 40, 0.12, 0.075), neck_sag=0.12,
    head=(0.25, 0.065, 0.06), muzzle=(0.5, 0.045, 0.045), pitch=6, ears=("round", 0.06), leg=(0.075, 0.042),
    foot="claw", tail=("hang*", 0.32, 0.015), coat=((0.76, 0.58, 0.36), (0.66, 0.46, 0.27), SAND),
)  # fmt: skip
SQUIRREL = Spec(
    0.14, length=1.35, depth=0.6, width=0.24, belly=0.95, hip=1.05, sway=-0.14, neck=(0.1, 40, 0.2, 0.18),
    head=(0.5, 0.19, 0.175), muzzle=(0.42, 0.075, 0.075), pitch=8, ears=("pointed", 0.18), leg=(0.14, 0.07),
    tail=("plume+", 1.25, 0.24), coat=((0.66, 0.32, 0.12), (0.5, 0.45, 0.4), (0.4, 0.24, 0.12)), under=(WHITE, CREAM),
)  # fmt: skip
PANDA = replace(
    BEAR, height=0.85, length=1.35, depth=0.62, width=0.29, hump=0.0, head=(0.48, 0.21, 0.22), muzzle=(0.3, 0.09, 0.09),
    ears=("round", 0.19), leg=(0.15, 0.12), coat=(WHITE,), mark=(BLACK,), under=(), marking="panda", foot="paw",
)  # fmt: skip
LEOPARD = replace(
    TIGER, height=0.7, length=1.5, width=0.145, head=(0.38, 0.14, 0.14), coat=((0.88, 0.68, 0.36), SAND),
    marking="spots", leg=(0.095, 0.065), tail=("long", 0.95, 0.04), mark=((0.1, 0.06, 0.03),),
)  # fmt: skip
BUFFALO = replace(
    OX, depth=0.56, width=0.25, horns=("sweep", 0.36), coat=((0.2, 0.19, 0.2), (0.28, 0.25, 0.24)), marking="",
    under=(), nose=BLACK,
)  # fmt: skip
COUGAR = replace(
    TIGER, height=0.65, head=(0.34, 0.12, 0.125), coat=((0.76, 0.56, 0.36), TAN), marking="", mark=(DARK,),
    leg=(0.09, 0.06), tail=("long", 1.0, 0.04),
)  # fmt: skip
OTTER = Spec(
    0.28, length=2.3, depth=0.66, width=0.24, belly=0.95, sway=-0.05, neck=(0.25, 32, 0.24, 0.2), head=(0.52, 0.2,
    0.21), muzzle=(0.26, 0.13, 0.14), pitch=6, ears=("round", 0.08), leg=(0.12, 0.08), tail=("out", 1.5, 0.13),
    coat=((0.3, 0.2, 0.13), (0.4, 0.28, 0.18)), under=((0.7, 0.58, 0.45),),
)  # fmt: skip
BADGER = Spec(
    0.35, length=1.9, depth=0.72, width=0.36, belly=0.97, neck=(0.1, 6, 0.3, 0.22), head=(0.6, 0.17, 0.17),
    muzzle=(0.5, 0.06, 0.06), pitch=20, ears=("round", 0.12), leg=(0.15, 0.1), tail=("stub", 0.4, 0.08), coat=(GREY,),
    under=(WHITE,), mark=(BLACK,), marking="mask",
)  # fmt: skip


def _dog(rng: np.random.Generator) -> Spec:
    """Breeds differ more than species do: a hound, a spitz, a dachshund, a pug and a terrier."""
    colours = (TAN, BROWN, CREAM, SOOT, GREY, WHITE, RUST)
    hound = Spec(
        0.58, length=1.1, depth=0.42, width=0.15, belly=0.5, neck=(0.3, 52, 0.14, 0.11), head=(0.45, 0.115, 0.11),
        muzzle=(0.48, 0.07, 0.065), ears=("droop", 0.22), leg=(0.075, 0.045), tail=("up", 0.5, 0.03), coat=colours,
        under=(WHITE, CREAM, TAN), open_mouth=bool(rng.random() < 0.5),
    )  # fmt: skip
    breed = pick(rng, "hound", "hound", "spitz", "dachshund", "pug", "terrier")
    if breed == "spitz":
        return replace(
            hound, height=0.55, ears=("pointed", 0.15), tail=("curl+", 0.45, 0.09), ruff=0.16, under=(WHITE,)
        )
    if breed == "dachshund":
        return replace(
            hound, height=0.24, length=2.3, depth=0.62, width=0.24, belly=0.75, neck=(0.42, 48, 0.24, 0.18),
            head=(0.8, 0.19, 0.18), muzzle=(0.5, 0.1, 0.095), ears=("droop", 0.4), leg=(0.12, 0.1), tail=("out", 0.9,
            0.05),
        )  # fmt: skip
    if breed == "pug":
        return replace(
            hound, height=0.3, depth=0.55, width=0.23, belly=0.8, head=(0.46, 0.2, 0.2), muzzle=(0.26, 0.13, 0.14),
            neck=(0.2, 45, 0.2, 0.18), ears=("droop", 0.2), leg=(0.1, 0.065), tail=("curl", 0.25, 0.05),
            open_mouth=False,
        )  # fmt: skip
    if breed == "terrier":
        return replace(hound, height=0.35, ears=("pointed", 0.15), beard=0.07, tail=("up", 0.32, 0.04),
                       marking="patches", mark=(BROWN, SOOT, TAN), coat=(WHITE, CREAM))  # fmt: skip
    return hound


def _cat(rng: np.random.Generator) -> Spec:
    style = pick(rng, "plain", "plain", "stripes", "patches")
    tail = (pick(rng, "up", "out", "long"), *CAT.tail[1:])
    mark = ((0.25, 0.2, 0.16), SOOT) if style == "stripes" else (SOOT, RUST)
    coat = (GREY, (0.58, 0.52, 0.44)) if style == "stripes" else CAT.coat
    return replace(CAT, tail=tail, marking="" if style == "plain" else style, mark=mark, coat=coat)


def _sheep(rng: np.random.Generator) -> Spec:
    return replace(SHEEP, horns=("curl", 0.26)) if rng.random() < 0.35 else SHEEP


def _ox(rng: np.random.Generator) -> Spec:
    return replace(OX, marking="" if rng.random() < 0.4 else "patches", horns=("side", float(rng.uniform(0.16, 0.34))))


def _camel(rng: np.random.Generator) -> Spec:
    return replace(CAMEL, humps=int(rng.integers(1, 3)))


def _bear(rng: np.random.Generator) -> Spec:
    if rng.random() < 0.25:  # an ice bear
        return replace(BEAR, coat=(WHITE, IVORY), under=(WHITE,), neck=(0.3, 22, 0.22, 0.16), hump=0.0)
    return BEAR


SPECIES: dict[str, Spec | Callable[[np.random.Generator], Spec]] = {
    "dog": _dog, "cat": _cat, "bear": _bear, "antelope": ANTELOPE, "ox": _ox, "sheep": _sheep, "goat": GOAT,
    "tiger": TIGER, "leopard": LEOPARD, "fox": FOX, "camel": _camel, "squirrel": SQUIRREL, "swine": SWINE, "wolf": WOLF,
    "panda": PANDA, "water buffalo": BUFFALO, "cougar": COUGAR, "otter": OTTER, "badger": BADGER,
}  # fmt: skip


SIZES = {
    # largest extents in metres, horns and tails included
    "dog": 0.85, "cat": 0.7, "bear": 2.1, "antelope": 1.7, "ox": 2.8, "sheep": 1.2, "goat": 1.2, "tiger": 2.7,
    "leopard": 2.0, "fox": 1.2, "camel": 3.1, "squirrel": 0.34, "swine": 1.4, "wolf": 1.5, "panda": 1.6,
    "water buffalo": 2.7, "cougar": 1.9, "otter": 1.2, "badger": 0.89,
}  # fmt: skip


def species(name: str, rng: np.random.Generator) -> Spec:
    """One animal of a species: its drawn variant with varied proportions."""
    spec = SPECIES[name]
    return vary(spec if isinstance(spec, Spec) else spec(rng), rng)


def _register(name: str) -> None:
    flavours: dict[Flavour, str] = {"partimagenet": name}
    if name == "dog":
        flavours["paco_lvis"] = "dog"

    @category(name, flavours=flavours, supercategory="animals", support="ground", size=SIZES[name])
    def program(b: ObjectBuilder, rng: np.random.Generator) -> None:
        spec = species(name, rng)
        b.material("tooth", "ceramic", colours=(WHITE,), fixed=True)
        b.material("ear", "fur", colours=(BROWN, SOOT, *spec.coat[:1]))
        b.material("tuft", "fur", colours=(SOOT, BROWN))
        quadruped(b, spec, draw_pose(rng), phase=float(rng.uniform(0, 6)))
        settle(b)


for _name in SPECIES:
    _register(_name)
