"""Cached features of frozen image towers: what they depend on, and whether a cache fits an experiment.

A tower is known by the name of its features in ``forward``. The cache itself (``datasets/feature_cache.py``) holds
named tensors and knows no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ..datasets.collate import PictureFeatures
from ..datasets.feature_cache import AGAIN, FeatureCache, check_made, picture_keys
from ..datasets.images import dialogue_key
from ..errors import FeatureCacheError
from ..experiment import ExperimentConfig
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.processing import LlavaCorrProcessor
from ..models.recompose import NO_PART_OF_A_MODEL
from ..records import ImageRef, Sample
from . import ranks

TOWERS = {"patches": "vision tower", "semantic": "DINOv2", "grounding_features": "grounding tower"}
SIZES = "grounding_sizes"  # goes with the grounding features
SHOWN = 10
OF_A_PREPROCESSING = ("size", "crop_size", "do_center_crop", "pad_size", "resample")


def towers(model: LlavaCorrForConditionalGeneration, *, masks: bool) -> dict[str, nn.Module]:
    """The towers that a model runs, by their features.

    Args:
        masks: whether masks are drawn.
    """
    found: dict[str, nn.Module] = {"patches": model.visual_tokens.vision_model}
    if hasattr(model, "correspondence"):
        found["semantic"] = model.correspondence.semantic_model
    return found | ({"grounding_features": model.grounding.sam.vision_encoder} if masks else {})


def is_trained(tower: nn.Module) -> bool:
    return any(p.requires_grad for p in tower.parameters())


def frozen_towers(model: LlavaCorrForConditionalGeneration, *, masks: bool) -> dict[str, nn.Module]:
    """Those whose features do not change while the model is trained."""
    return {name: tower for name, tower in towers(model, masks=masks).items() if not is_trained(tower)}


def tensor_names(frozen: Sequence[str]) -> list[str]:
    """Names under which a cache holds the features of these towers."""
    return [*frozen, *([SIZES] if "grounding_features" in frozen else [])]


def in_pure_bfloat16(config: ExperimentConfig) -> bool:
    """Whether towers compute on weights in bfloat16, as under DeepSpeed; else autocast chooses for each operation."""
    return config.training.bf16 and config.training.deepspeed is not None


def made_with(
    config: ExperimentConfig,
    model: LlavaCorrForConditionalGeneration,
    processor: LlavaCorrProcessor,
    *,
    launched: bool = True,
) -> dict[str, dict[str, str]]:
    """What the features of the frozen towers depend on, for a cache to keep and to compare.

    Args:
        launched: whether training is started by a launcher, without which DeepSpeed does not run.

    Takes as long as hashing the towers' weights, about a second a gigabyte.
    """
    arithmetic = "bfloat16" if config.training.bf16 else "float32"
    if launched and in_pure_bfloat16(config):
        arithmetic += ", weights too (training.deepspeed)"
    made = {}
    for name, tower in frozen_towers(model, masks=config.training.losses.draw).items():
        word = TOWERS[name]
        made[name] = {
            f"configuration of the {word}": _digest(_configuration(name, model)),
            f"weights of the {word}": _hash_of_weights(tower),
            f"number format of the {word}'s weights": str(next(tower.parameters()).dtype),
            f"pictures for the {word}": _preprocessing(name, processor),
            f"arithmetic of the {word} (training.bf16)": arithmetic,
        }
    if "grounding_features" in made:
        made[SIZES] = {f"pictures for the {TOWERS['grounding_features']}": _preprocessing(SIZES, processor)}
    return made


def _configuration(name: str, model: LlavaCorrForConditionalGeneration) -> dict[str, Any]:
    config = model.config
    tower: Any = {
        "patches": config.vision_config,
        "semantic": config.semantic_config,
        "grounding_features": config.grounding_config.vision_config,
    }[name]
    sizes = {k: v for k, v in tower.to_dict().items() if k not in NO_PART_OF_A_MODEL and not k.startswith("_")}
    return sizes | ({"feature_layer": config.vision_feature_layer} if name == "patches" else {})


def _preprocessing(name: str, processor: LlavaCorrProcessor) -> str:
    if name == "semantic" and processor.semantic_size is not None:
        return f"bicubic, {processor.semantic_size} x {processor.semantic_size}"
    seen_by: Any = processor.image_processor if name in ("patches", "semantic") else processor.grounding_image_processor
    values = seen_by.to_dict()
    return json.dumps({k: values[k] for k in OF_A_PREPROCESSING if values.get(k) is not None}, default=dict)


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _hash_of_weights(tower: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def all_images(samples: Iterable[Sample]) -> list[ImageRef]:
    """Every picture of the samples, each path once."""
    return list({image.path: image for sample in samples for image in sample.images}.values())


def open_features(
    config: ExperimentConfig,
    model: LlavaCorrForConditionalGeneration,
    processor: LlavaCorrProcessor,
    samples: Iterable[Sample],
) -> PictureFeatures | None:
    """The features an experiment names, checked to the last picture; None where it names none.

    Raises:
        FeatureCacheError: the cache is damaged or of another model, holds features of a tower that is trained, or lacks
            pictures of the samples.
    """
    if config.data.features is None:
        return None
    cache = FeatureCache(config.data.features)
    used = towers(model, masks=config.training.losses.draw)
    if trained := [TOWERS[name] for name, tower in used.items() if is_trained(tower) and name in cache.made]:
        raise FeatureCacheError(
            f"this experiment trains the {' and the '.join(trained)}: features made before would be out of date after "
            "the first step",
            where=str(cache.folder),
            mend="leave it out of training.trainable, or build a cache for this experiment in another folder",
        )
    made = made_with(config, model, processor, launched=ranks.launched())
    if not made:
        raise FeatureCacheError(
            "every image tower is trained: there is nothing to cache",
            where="data.features",
            mend="set data.features to null, or name less in training.trainable",
        )
    check_made(cache.made, made, cache.folder)
    images = all_images(samples)
    keys = picture_keys(images, blind=config.data.blind)
    _check_pictures(cache, images, keys, blind=config.data.blind)
    return PictureFeatures(cache, keys, list(made), pixels=used.keys() != made.keys() - {SIZES})


def _check_pictures(cache: FeatureCache, images: Sequence[ImageRef], keys: dict[str, str], *, blind: bool) -> None:
    if not len(cache):
        raise FeatureCacheError("the feature cache is empty", where=str(cache.folder), mend=AGAIN)
    faults = {}
    for image in images:
        name = dialogue_key(image, blind=blind)
        size = cache.sizes.get(keys[name])
        if size is None:
            faults[name] = name
        elif size != (image.height, image.width):
            stated = f"{image.height} x {image.width}"
            faults[name] = f"{name}: {size[0]} x {size[1]} pixels (height x width), its sample says {stated}"
    if faults:
        listing = "\n".join(f"    {fault}" for fault in list(faults.values())[:SHOWN])
        more = f"\n    and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise FeatureCacheError(
            f"{len(faults)} of {len(keys)} pictures are not in the feature cache:\n{listing}{more}",
            where=str(cache.folder),
            mend="run llava-corr cache with this experiment's configuration: it adds what is missing; a picture file "
            "that was changed is another picture",
        )
