"""What the zoo's twins are trained on, for how long, and how: the numbers of one run, read from a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ..config import load_config, merge, read_yaml, resolve_config_path, validate
from ..errors import ConfigError
from ..experiment import Section, Size


class WorldSection(Section):
    """The embedded world whose training split everything learns from."""

    kinds: tuple[str, ...] = Field(description="what its pictures show")
    images: int = Field(gt=0, description="training pictures per flavour")
    held_out: int = Field(gt=0, description="validation pictures per flavour, for the card's measurements")
    seed: int = Field(0, ge=0, description="of its pictures")


class FitSection(Section):
    """How long and how fast one twin is trained; the rates rise over the warm-up and fall to zero in a line."""

    steps: int = Field(gt=0, description="of training")
    batch: int = Field(gt=0, description="pictures, crops or texts of a step")
    muon: float = Field(gt=0, description="learning rate of the matrices inside layers (Muon)")
    adamw: float = Field(gt=0, description="of everything else (AdamW)")
    warmup: int = Field(60, ge=0, description="steps in which the rates rise")
    decay: float = Field(0.05, ge=0, description="weight decay")


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

    seed: int = Field(0, ge=0, description="of fresh weights and of the order of pictures and texts")
    experiment: str = Field(description="configuration file whose model section the twins have the sizes of")
    alignment: str = Field("tiny/calico_align.yaml", description="that of the alignment stage, of the same sizes")
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
    align_steps: int = Field(gt=0, description="of the alignment stage, whose other settings `alignment` has")


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> ZooRecipe:
    """Reads a recipe; a bare name resolves in ``configs/``.

    Raises:
        ConfigError: no such file, broken YAML, faulty keys or values.
    """
    path = resolve_config_path(name)
    return validate(ZooRecipe, merge([(str(path), read_yaml(path, seen=()))], overrides), where=str(path))


def check_sizes(recipe: ZooRecipe) -> None:
    """The alignment stage trains the models that the other stages made.

    Raises:
        ConfigError: a configuration is not there, or its models have other sizes.
    """
    made, aligned = (load_config(name).model for name in (recipe.experiment, recipe.alignment))
    sections = ("tokenizer", "vision", "qformer", "trunk", "grounding")
    if other := [name for name in sections if getattr(made, name) != getattr(aligned, name)]:
        raise ConfigError(
            f"the alignment's {recipe.alignment} has other sizes than the experiment's {recipe.experiment} (model: "
            f"{', '.join(other)})",
            mend="write one with `base:` of the experiment, and name it: --set alignment=FILE",
        )
