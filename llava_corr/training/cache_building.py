"""Builds the feature cache of an experiment: every picture once through the frozen towers."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..datasets.feature_cache import picture_keys
from ..datasets.feature_cache_writer import writing
from ..datasets.images import dialogue_key, grey_picture, load_picture
from ..datasets.workers import errors_whole
from ..errors import FeatureCacheError
from ..experiment import ExperimentConfig
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.processing import LlavaCorrProcessor
from ..records import ImageRef
from .caching import SIZES, TOWERS, all_images, in_pure_bfloat16, made_with, tensor_names, towers
from .model import build_model
from .sft import read_some

logger = logging.getLogger(__name__)

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {rate_fmt}, ETA {remaining}"


@dataclass(frozen=True)
class Built:
    """What a build did.

    Attributes:
        folder: of the cache.
        pictures: of the experiment, each content once.
        added: of them, those that were not there before.
        seconds: that adding them took.
        bytes: of the whole cache on the disk.
    """

    folder: Path
    pictures: int
    added: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class _Reading:
    """Loads and resizes a batch of pictures; runs in worker processes."""

    processor: LlavaCorrProcessor
    blind: bool
    grounding: bool

    def __call__(self, pictures: Sequence[tuple[str, ImageRef]]) -> tuple[Sequence[tuple[str, ImageRef]], Any]:
        load = grey_picture if self.blind else load_picture
        with errors_whole():
            return pictures, self.processor.pixels([load(image) for _, image in pictures], grounding=self.grounding)


def build_cache(
    config: ExperimentConfig, folder: str | Path, *, batch_size: int = 8, dtype: torch.dtype | None = None
) -> Built:
    """Caches the features of all pictures of an experiment's samples; those that are there already are left alone.

    Args:
        config: the experiment, with the weights that its training starts from.
        folder: new, empty, or a cache of the same towers.
        batch_size: pictures that go through the towers at once.
        dtype: that features are stored in; None takes what the experiment computes in (``training.bf16``).

    Raises:
        FeatureCacheError: every tower is trained, or the folder holds something else.
        ImageError: a picture cannot be read; what was made before it is kept.
        StorageError: disk full, no permission.
    """
    transformers.utils.logging.disable_progress_bar()  # one line is enough
    data, masks = config.data, config.training.losses.draw
    samples = read_some(data.train, data.limit)
    validation = read_some(data.validation, data.limit) if data.validation else []
    parts, processor = build_model(config, samples)
    made = made_with(config, parts.model, processor)
    frozen = [name for name in TOWERS if name in made]
    for name in towers(parts.model, masks=masks).keys() - made.keys():
        logger.info("the %s is trained: its features change, they are not cached", TOWERS[name])
    if not frozen:
        raise FeatureCacheError(
            "every image tower is trained: their features change with every step",
            where="training.trainable",
            mend="name the parts that are trained, without the towers",
        )
    images = all_images(chain(samples, validation))
    keys = picture_keys(images, blind=data.blind)
    if not images:
        raise FeatureCacheError("no sample has a picture", where=data.train, mend="train on words without a cache")
    unique = {keys[dialogue_key(image, blind=data.blind)]: image for image in images}
    model, device = parts.model.eval(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _prepare(config, model, frozen, device)
    autocast = config.training.bf16 and not in_pure_bfloat16(config)
    if dtype is None:
        dtype = torch.bfloat16 if config.training.bf16 else torch.float32
    with writing(folder, made, dtype) as writer:
        missing = [(key, image) for key, image in unique.items() if key not in writer.keys]
        loader: Any = DataLoader(
            missing,  # type: ignore[arg-type]
            batch_size,
            collate_fn=_Reading(processor, data.blind, "grounding_features" in frozen),
            num_workers=data.workers,
        )
        started = time.monotonic()
        with tqdm(total=len(missing), desc="cache", unit=" pictures", bar_format=BAR, dynamic_ncols=True) as bar:
            for pictures, pixels in loader:
                found = look(model, frozen, pixels, device, autocast=autocast)
                for row, (key, image) in enumerate(pictures):
                    one = {name: found[name][row] for name in tensor_names(frozen)}
                    writer.add(key, (image.height, image.width), one)
                bar.update(len(pictures))
    seconds = time.monotonic() - started
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return Built(Path(folder), len(unique), len(missing), seconds, size)


def _prepare(
    config: ExperimentConfig, model: LlavaCorrForConditionalGeneration, frozen: Sequence[str], device: torch.device
) -> None:
    """Gives the frozen towers the arithmetic of the run, on the device; the trunk, most of the model, stays behind."""
    if in_pure_bfloat16(config):
        _round(model)
    for name, tower in towers(model, masks=config.training.losses.draw).items():
        if name in frozen:
            tower.to(device)


@torch.no_grad()
def _round(model: nn.Module) -> None:
    """Weights and buffers in bfloat16, as DeepSpeed holds them; those in 4 bits are as they are."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.bfloat16()


@torch.no_grad()
def look(
    model: LlavaCorrForConditionalGeneration,
    frozen: Sequence[str],
    pixels: Mapping[str, Tensor],
    device: torch.device,
    *,
    autocast: bool,
) -> dict[str, Tensor]:
    """Features of some towers, computed as training computes them.

    Args:
        frozen: names of the features.
        pixels: U pictures, as the processor resized them.
        device: where the towers are.
        autocast: to bfloat16, as the trainer does without DeepSpeed.
    """
    on = {name: value.to(device) for name, value in pixels.items()}
    found = {}
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        if "patches" in frozen:
            found["patches"] = model.look(on["pixel_values"])
        if "semantic" in frozen:
            found["semantic"] = model.look_for_meaning(on.get("semantic_pixels", on["pixel_values"]))
        if "grounding_features" in frozen:
            found["grounding_features"] = model.encode_grounding(on["grounding_pixels"], on[SIZES])
            found[SIZES] = on[SIZES]
    return found
