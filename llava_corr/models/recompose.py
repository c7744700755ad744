"""Weights of one composition for another: what a configuration adds starts fresh, what it leaves out is dropped.

So the ablations, and a base that never had a CEM or CAM, start from one folder. Everything else must be the same model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..errors import ConfigError
from .configuration import LlavaCorrConfig
from .correspondence import CorrespondenceAdaptation, CorrespondenceExtraction
from .modeling import LlavaCorrForConditionalGeneration
from .visual_tokens import QFormerTokens, VisualTokens, make_projection

# What a configuration also holds: where it comes from, how it is run, how fresh weights would be drawn.
NO_PART_OF_A_MODEL = frozenset({
    "_name_or_path", "architectures", "dtype", "initializer_range", "transformers_version", "_attn_implementation",
})  # fmt: skip
ADAPTATION = ("adaptation_layers", "adaptation_guidance", "adaptation_requery")
# part that may be absent -> the settings that come and go with it
WITH_PART = {
    "semantic_config": ("correspondence_heads", "correspondence_residual", "semantic_size"),
    "qformer_config": ("num_query_tokens",),
}
FROM_ZERO = ("correspondence.attention", "adaptation")  # fresh, they change nothing


def check_same_model(wanted: LlavaCorrConfig, found: LlavaCorrConfig, where: str) -> None:
    """Compares two configurations; where a model was saved, how it runs, which optional parts it has, and the kind of
    its projection do not count.

    Raises:
        ConfigError: they describe different models; every difference is listed.
    """
    ours, theirs = wanted.to_dict(), found.to_dict()
    optional = {"projection", *ADAPTATION}
    for part, settings in WITH_PART.items():
        if (getattr(wanted, part) is None) != (getattr(found, part) is None):
            optional |= {part, *settings}
    flat = [_flat({k: v for k, v in side.items() if k not in optional}) for side in (ours, theirs)]
    faults = [
        f"    {name}: the experiment has {flat[0].get(name)!r}, the weights {flat[1].get(name)!r}"
        for name in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(name) != flat[1].get(name) and name.rpartition(".")[2] not in NO_PART_OF_A_MODEL
    ]
    if faults:
        listing = "\n".join(faults)
        raise ConfigError(
            f"model.weights are of another model:\n{listing}", where=where, mend="take the model section of their run"
        )


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; tuples as lists and keys as strings, as JSON gives them back."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return out


def recompose(model: LlavaCorrForConditionalGeneration, wanted: LlavaCorrConfig) -> tuple[list[str], list[str]]:
    """Gives a loaded model the parts of another configuration, in place.

    Args:
        wanted: the same model but for optional parts (:func:`check_same_model`).

    Returns:
        Parts that are new, with fresh weights, and parts that were dropped.
    """
    device = model.device
    fresh: dict[str, nn.Module] = {}
    dropped: list[str] = []
    if wanted.semantic_config is None and hasattr(model, "correspondence"):
        del model.correspondence
        dropped.append("correspondence")
    elif wanted.semantic_config is not None and not hasattr(model, "correspondence"):
        model.correspondence = CorrespondenceExtraction(wanted)
        fresh["correspondence"] = model.correspondence
    if (wanted.qformer_config is None) != (model.config.qformer_config is None):
        dropped += [
            f"visual_tokens.{name}" for name, _ in model.visual_tokens.named_children() if name != "vision_model"
        ]
        tower = model.visual_tokens.vision_model
        model.visual_tokens = VisualTokens(wanted) if wanted.qformer_config is None else QFormerTokens(wanted)
        model.visual_tokens.vision_model = nn.Identity()  # the new one's own tower is not needed
        fresh["visual_tokens"] = model.visual_tokens
        model.visual_tokens.apply(model._init_weights)
        model.visual_tokens.vision_model = tower
    elif wanted.projection != model.config.projection:
        dropped.append("visual_tokens.projection")
        width = (wanted.qformer_config or wanted.vision_config).hidden_size
        model.visual_tokens.projection = make_projection(wanted.projection, width, wanted.hidden_size)
        fresh["visual_tokens.projection"] = model.visual_tokens.projection
    _recompose_adaptation(model, wanted, fresh, dropped)
    for name, part in fresh.items():
        if name != "visual_tokens":
            part.apply(model._init_weights)
        part.to(device)  # where the others were loaded to
    model.config = wanted
    names = [n for n, _ in model.named_parameters() if _within_any(n, fresh) and ".vision_model." not in n]
    return names, dropped


def _recompose_adaptation(
    model: LlavaCorrForConditionalGeneration, wanted: LlavaCorrConfig, fresh: dict[str, nn.Module], dropped: list[str]
) -> None:
    had = dict(model.adaptation.items()) if hasattr(model, "adaptation") else {}
    alike = all(getattr(model.config, name) == getattr(wanted, name) for name in ADAPTATION[1:])
    kept = had if alike else {}
    layers = nn.ModuleDict()
    for layer in map(str, wanted.adaptation_layers):
        layers[layer] = kept[layer] if layer in kept else CorrespondenceAdaptation(wanted)
        if layer not in kept:
            fresh[f"adaptation.{layer}"] = layers[layer]
    dropped += [f"adaptation.{layer}" for layer in had if layer not in layers or layer not in kept]
    if had:
        del model.adaptation
    if layers:
        model.adaptation = layers


def _within_any(name: str, parts: Iterable[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def check_fresh_is_trained(model: LlavaCorrForConditionalGeneration, fresh: Iterable[str], where: str) -> None:
    """Refuses a part that comes from no weights and is not trained: it would stay random.

    Args:
        fresh: names of parameters with fresh weights.
        where: what was said about weights.

    Raises:
        ConfigError: such parameters; CEM and CAMs are no such parts, since they start at zero.
    """
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    idle = tuple(model.parameters_without_gradient())  # nothing depends on them
    random = [n for n in fresh if n not in trained and not _within_any(n, FROM_ZERO) and not n.startswith(idle)]
    if random:
        tops = sorted({".".join(name.split(".")[:2]) for name in random})
        raise ConfigError(
            f"no weights for {', '.join(tops)}, and the experiment does not train it: it would stay random",
            where=where,
            mend="use weights that have it (model.weights), name it in training.trainable, or leave it out of the "
            "model; model.random_frozen=true allows it for a rehearsal",
        )
