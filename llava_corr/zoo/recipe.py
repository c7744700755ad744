"""What the zoo's twins are trained on, for how long, and how: the numbers of one run, read from a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ..config import merge, read_yaml, resolve_config_path, validate
from ..experiment import Section, Size


class WorldSection(Section):
    """The embedded world whose training split everything learns from."""

    kinds: tuple[str, ...] = Field(description="what its pictures show")
    images: int = Field(gt=0, description="training pictures per flavour")
    held_out: int = Field(gt=0, description="validation pictures per flavour, for the card's measurements")
    seed: int = Field(0, ge=0)


class FitSection(Section):
    """How long and how fast one twin is trained; the rates rise over the warm-up and fall to zero in a line."""

    steps: int = Field(gt=0)
    batch: int = Field(gt=0, description="pictures, crops or texts of a step")
    muon: float = Field(gt=0, description="learning rate of the matrices inside layers (Muon)")
    adamw: float = Field(gt=0, description="of everything else (AdamW)")
    warmup: int = Field(60, ge=0)
    decay: float = Field(0.05, ge=0)


class CropSection(FitSection):
    """Training on crops."""

    side: int = Field(gt=0, description="of a crop, pixels: what it shows is shrunk to that")


class CellsSection(FitSection):
    """Naming the cells of whole pictures."""

    patch: Size = Field(description="side of the encoder's patches here and on crops; the towers' own may be finer")


class RadioSection(Section):
    """RADIO's twin; its pictures have the size of the grounding tower's."""

    hidden_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    patch_size: Size


class ZooRecipe(Section):
    """One zoo."""

    seed: int = Field(0, ge=0)
    experiment: str = Field(description="configuration file whose model section the twins have the sizes of")
    world: WorldSection
    dialogues: int = Field(gt=0, description="MixedParts dialogues told in words, for the trunk")
    captions: int = Field(gt=0, description="single-image dialogues of the alignment stage")
    radio: RadioSection
    crops: CropSection = Field(description="SAM's encoder names the cells of crops")
    cells: CellsSection = Field(description="and then of whole pictures")
    masks: FitSection = Field(description="SAM draws by name")
    vision: FitSection = Field(description="EVA-CLIP's twin")
    semantic: FitSection = Field(description="DINOv2's twin")
    expert: FitSection = Field(description="RADIO's twin")
    words: FitSection = Field(description="the trunk")
    align_steps: int = Field(
        gt=0, description="of the alignment stage, whose other settings tiny/calico_align.yaml has"
    )


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> ZooRecipe:
    """Reads a recipe; a bare name resolves in ``configs/``.

    Raises:
        ConfigError: no such file, broken YAML, faulty keys or values.
    """
    path = resolve_config_path(name)
    return validate(ZooRecipe, merge([(str(path), read_yaml(path, seen=()))], overrides), where=str(path))
