"""What grounds and walls look like: surfaces with numbered families of colours and patterns.

The families are a fixed bank that no seed changes, like the texture recipes of :mod:`.materials`: a split uses only its
own numbers, so validation and test show backgrounds that training never saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .materials import Look, linear, pick, recipe, recipe_numbers

FAMILY_SEED = 9_113


@dataclass(frozen=True)
class Surface:
    """A kind of ground or wall.

    Attributes:
        kind: material kind.
        pattern: surface pattern.
        per_metre: texture units per metre.
        colours: pairs of sRGB colours in hexadecimal, ``#first#second``, one pair per word.
    """

    kind: str
    pattern: str
    per_metre: float
    colours: str

    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The colour pairs, RGB in 0..1."""
        tones = [[np.array(list(bytes.fromhex(h))) / 255 for h in word.split("#")[1:]] for word in self.colours.split()]
        return [(first, second) for first, second in tones]


SURFACES: dict[str, Surface] = {
    "grass": Surface("grass", "noise", 0.35, "#4c7029#6b8538 #3d6124#808542 #5c753d#385724"),
    "earth": Surface("earth", "noise", 0.5, "#70543b#8f7052 #855c40#614733"),
    "sand": Surface("earth", "noise", 0.4, "#ccb285#b89c70 #dbc49e#bda880"),
    "snow": Surface("earth", "noise", 0.3, "#ebf0f7#d6e0f0"),
    "gravel": Surface("earth", "noise", 4.0, "#807d78#9e9991"),
    "asphalt": Surface("stone", "noise", 2.5, "#47474a#4e4e50 #5a5854#626059"),
    "concrete": Surface("stone", "noise", 0.6, "#999691#858280 #ada89e#99948a"),
    "pavement": Surface("stone", "tiles", 0.35, "#9e948a#615954 #8c6657#594c47"),
    "planks": Surface("wood", "planks", 1.0, "#a87a4f#5c3b24 #c79e6e#805938 #754f36#3d261a #b2a899#756b61"),
    "tabletop": Surface("wood", "grain", 1.3, "#9e6b40#704729 #cca370#9e754c #613d29#42291a #d9c29e#b89975"),
    "marble": Surface("ceramic", "noise", 1.0, "#e6e3de#b2b2b8 #383b40#66666b"),
    "cloth": Surface("fabric", "checks", 2.0, "#dbd6cc#9e332e #e6e3d9#4c6b99 #c7b894#8c8061 #526b61#708a7a"),
    "carpet": Surface("fabric", "noise", 0.5, "#9e9485#857a6e #667085#525c70 #80423d#663333"),
    "tiles": Surface("ceramic", "tiles", 0.45, "#d6d1c7#8c8780 #a86b52#6b4c42 #75808a#4c5257"),
    "plaster": Surface(
        "plaster",
        "plain",
        0.5,
        "#e0dbd1#e0dbd1 #b8c7cc#b8c7cc #d1bda3#d1bda3 #9ead99#9ead99 #ccada8#ccada8 #808fa3#808fa3 #e0d19e#e0d19e",
    ),
    "wallpaper": Surface("paper", "stripes", 0.8, "#d6ccb8#bdad94 #b2c2c7#d1dbdb #c2a8a3#dbccc7"),
    "brick": Surface("stone", "bricks", 1.2, "#944c38#bdad9e #d1ccc2#9e9991"),
    "panels": Surface("paint", "planks", 0.8, "#dbd9d1#a8a69e #8c9e9e#667575"),
    "water": Surface("water", "noise", 0.15, "#1a4252#245261 #14334c#1a425c #295752#336661"),
}


def draw_family(split: str, rng: np.random.Generator) -> int:
    """One of the family numbers that a split may use (the rule of the texture recipes)."""
    return pick(recipe_numbers(split), rng)


@cache
def surface_look(surface: str, family: int) -> tuple[Look, float]:
    """The look of a ground or wall, and metres per texture unit; family ``family`` is the same in every run."""
    made = SURFACES[surface]
    pattern = made.pattern
    rng = np.random.default_rng([FAMILY_SEED, family, *surface.encode()])
    if pattern == "checks" and rng.random() < 0.5:
        pattern = str(rng.choice(["stripes", "plain", "dots", "weave"]))
    pairs = made.pairs()
    pair = pairs[int(rng.integers(len(pairs)))]
    shift = 1 + rng.normal(0, 0.03, 3) + rng.normal(0, 0.05)
    first, second = (linear(np.clip(colour * shift, 0.03, 0.97)) for colour in pair)
    look = Look(made.kind, pattern, first, second, recipe(pattern, family))
    return look, float(rng.uniform(0.8, 1.25) / made.per_metre)
