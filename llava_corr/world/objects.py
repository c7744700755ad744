"""What a category program makes: pieces with part names, keypoints, functional parts, material slots.

A category program is a function ``program(b, rng)`` that adds pieces to an :class:`ObjectBuilder`; ``@category``
registers it with the names it has in the public taxonomies. Object coordinates: metres, z up, front towards -y, the
object's own left towards +x; the object stands on z = 0 (or hangs from it, see ``support``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .shapes import Mesh

Flavour = Literal["paco_lvis", "partimagenet", "ade20k_part_234"]
Support = Literal["floor", "table", "wall", "ceiling", "ground", "sky", "water"]
SuperCategory = Literal["transportation", "hand-held", "furniture", "animals"]

MATERIAL_KINDS = (
    "wood", "metal", "plastic", "ceramic", "glass", "fabric", "leather", "paper", "rubber", "paint", "fur", "feather",
    "skin", "scales", "straw", "emissive",
)  # fmt: skip


@dataclass(frozen=True)
class Material:
    """How a slot may look.

    Attributes:
        kinds: material kinds to draw from (see ``MATERIAL_KINDS``).
        colours: RGB in 0..1 to draw from; empty for any colour that suits the kind.
        patterns: surface patterns to draw from: plain, stripes, checks, dots, noise, grain, patches, gradient.
        fixed: keep this look even on objects drawn with one colour for all parts (screens, tyres, eyes).
    """

    kinds: tuple[str, ...] = ("plastic",)
    colours: tuple[tuple[float, float, float], ...] = ()
    patterns: tuple[str, ...] = ("plain",)
    fixed: bool = False


@dataclass(frozen=True)
class Piece:
    """A mesh that belongs to one named part.

    Attributes:
        part: name as in the taxonomies, one name for all flavours or a name per flavour; "" for no named part.
        functions: function -> functional part name, for the functional parts that this piece belongs to.
        material: slot name.
    """

    part: str | Mapping[str, str]
    mesh: Mesh
    functions: Mapping[str, str]
    material: str

    def part_in(self, flavour: str) -> str:
        return self.part if isinstance(self.part, str) else self.part.get(flavour, "")


@dataclass(frozen=True)
class Keypoint3D:
    """A semantic point: ``part`` and ``point`` make the concept, the two position slots single it out.

    Attributes:
        part: category-free part name ("wheel", "leg", "rim").
        point: point type ("center", "tip", "corner", "top").
        part_position: place of the part in the object, from front, rear, left, right, top, bottom, middle.
        point_position: place of the point in the part, from the same words.
        at: object coordinates, on or near the surface.
    """

    part: str
    point: str
    part_position: tuple[str, ...]
    point_position: tuple[str, ...]
    at: NDArray[np.float64]


@dataclass(frozen=True)
class ObjectModel:
    """One object instance in object coordinates."""

    category: str
    pieces: tuple[Piece, ...]
    keypoints: tuple[Keypoint3D, ...]
    materials: Mapping[str, Material]

    def bounds(self) -> NDArray[np.float64]:
        """2 x 3: lowest and highest corner."""
        return self._bounds

    @cached_property
    def _bounds(self) -> NDArray[np.float64]:
        corners = np.concatenate([p.mesh.vertices for p in self.pieces])
        return np.stack([corners.min(0), corners.max(0)])


@dataclass
class ObjectBuilder:
    """Collects the pieces of one object; a category program's first argument."""

    category: str
    pieces: list[Piece] = field(default_factory=list)
    keypoints: list[Keypoint3D] = field(default_factory=list)
    materials: dict[str, Material] = field(default_factory=dict)

    def material(
        self,
        slot: str,
        *kinds: str,
        colours: Sequence[tuple[float, float, float]] = (),
        patterns: Sequence[str] = ("plain",),
        fixed: bool = False,
    ) -> str:
        """Declares a material slot and returns its name."""
        self.materials[slot] = Material(kinds or ("plastic",), tuple(colours), tuple(patterns), fixed)
        return slot

    def piece(
        self,
        part: str | Mapping[str, str],
        mesh: Mesh,
        material: str = "main",
        functions: Mapping[str, str] | None = None,
    ) -> None:
        """Adds a mesh to a named part (several pieces may share a name)."""
        self.pieces.append(Piece(part, mesh, dict(functions or {}), material))

    def keypoint(
        self,
        part: str,
        point: str,
        at: ArrayLike,
        part_position: str | Sequence[str] = (),
        point_position: str | Sequence[str] = (),
    ) -> None:
        """Adds a semantic point; positions are one word or several ("front", "left")."""
        words = [tuple(w.split()) if isinstance(w, str) else tuple(w) for w in (part_position, point_position)]
        self.keypoints.append(Keypoint3D(part, point, words[0], words[1], np.asarray(at, float)))

    def build(self) -> ObjectModel:
        for piece in self.pieces:
            self.materials.setdefault(piece.material, Material())
        return ObjectModel(self.category, tuple(self.pieces), tuple(self.keypoints), dict(self.materials))


Program = Callable[[ObjectBuilder, np.random.Generator], None]


@dataclass(frozen=True)
class Category:
    """A category program with its place in the taxonomies and scenes.

    Attributes:
        name: unique name in the world.
        flavours: flavour -> class name in that taxonomy.
        supercategory: one of SOCO's four, or None.
        support: where it stands; "table" objects also stand on floors in close-ups.
        size: typical largest extent in metres (scenes may rescale).
    """

    name: str
    program: Program
    flavours: Mapping[str, str]
    supercategory: str | None
    support: str
    size: float

    def make(self, rng: np.random.Generator) -> ObjectModel:
        builder = ObjectBuilder(self.name)
        self.program(builder, rng)
        return builder.build()


CATEGORIES: dict[str, Category] = {}


def category(
    name: str,
    *,
    flavours: Mapping[Flavour, str],
    support: Support,
    size: float,
    supercategory: SuperCategory | None = None,
) -> Callable[[Program], Program]:
    """Registers a category program under ``name``."""

    def register(program: Program) -> Program:
        if name in CATEGORIES:
            raise ValueError(f"category {name!r} is registered twice")
        CATEGORIES[name] = Category(
            name, program, {str(k): v for k, v in flavours.items()}, supercategory, support, size
        )
        return program

    return register
