"""One model out of several releases: built without memory, then filled tensor by tensor.

At no time is there more than the model and the tensor that is being copied: sources are views of their files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from accelerate.utils import set_module_tensor_to_device
from torch import Tensor, nn

from ...errors import CheckpointError
from ..configuration import LlavaCorrConfig
from ..modeling import LlavaCorrForConditionalGeneration
from ..recompose import FROM_ZERO
from .layouts import Layout, Plan, Source, map_names
from .tensor_files import TensorFiles

WAY_OUT = "; --rules FILE or --allow-unread for names that the model does not need"
LAST_WAY_OUT = "; --rules FILE for names that the model surely does not need"  # where others go unread already
MEND = "name one release for every part of the model, and no part twice"


@dataclass(frozen=True)
class Release:
    """Files and how they are laid out."""

    layout: Layout
    files: TensorFiles


def compose(
    config: LlavaCorrConfig,
    releases: Sequence[Release],
    towers: Mapping[str, nn.Module] = MappingProxyType({}),
    *,
    fresh: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> tuple[LlavaCorrForConditionalGeneration, list[Plan]]:
    """A model whose every weight comes from a release; CEM and CAMs, which no release has, start at zero.

    Args:
        config: the composition.
        releases: one for every part that is no tower.
        towers: our name of a part -> the part, loaded by transformers (``towers.py``).
        fresh: parts by name that no release fills, which start at random: whoever trains must train them.
        dtype: of all weights, whatever the files hold.
        device: where they are put, one by one.

    Returns:
        The model in eval mode, and what became of the names of each release.

    Raises:
        CheckpointError: names or shapes that do not fit, a part that no release fills or two do, a damaged file, or
            values that are not finite; nothing has been read into the model where names do not fit.
    """
    with torch.device("meta"):
        model = LlavaCorrForConditionalGeneration(config)
    for name, tower in towers.items():
        for own, parameter in tower.named_parameters():
            check_finite(parameter, f"{name}.{own}", where=str(getattr(tower, "name_or_path", "") or name))
        model.set_submodule(name, tower)
    wanted = {name: value.shape for name, value in model.state_dict().items() if value.is_meta}
    plans = [
        map_names(release.layout, release.files, wanted, LAST_WAY_OUT if release.layout.reports else WAY_OUT)
        for release in releases
    ]
    new = (*FROM_ZERO, *fresh)
    _refuse_unknown(fresh, wanted)
    _check_whole(plans, wanted, new, fresh)
    for release, plan in zip(releases, plans, strict=True):
        release.files.verify()
        for name, sources in plan.sources.items():
            value = gathered(name, sources, release.files, wanted[name], dtype)
            set_module_tensor_to_device(model, name, device, value=value, dtype=dtype, clear_cache=False)
    model.tie_weights()
    _start_rest(model, dtype, device)
    return model.eval(), plans


def check_fresh(config: LlavaCorrConfig, fresh: Sequence[str]) -> None:
    """Sees that parts are of the model, before anything is read.

    Raises:
        CheckpointError: it has no part of that name.
    """
    with torch.device("meta"):
        _refuse_unknown(fresh, LlavaCorrForConditionalGeneration(config).state_dict())


def _refuse_unknown(fresh: Sequence[str], names: Iterable[str]) -> None:
    known = list(names)
    if unknown := [part for part in fresh if not any(_within(name, [part]) for name in known)]:
        raise CheckpointError(
            f"the model has no part {', '.join(unknown)}", mend="name parts of the model, such as seg_projection"
        )


def _check_whole(
    plans: Sequence[Plan], wanted: Mapping[str, torch.Size], new: Sequence[str], fresh: Sequence[str]
) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for plan in plans:
        for name in plan.sources:
            owners[name].append(plan.title)
    faults = defaultdict(list)
    for name in wanted:
        part = ".".join(name.split(".")[:2])
        if len(owners[name]) > 1:
            faults[f"{part} comes from {' and '.join(owners[name])}"].append(name)
        elif owners[name] and _within(name, fresh):
            faults[f"{part} is to be new, and comes from {owners[name][0]}"].append(name)
        elif not owners[name] and not _within(name, new):
            faults[f"{part} comes from nowhere"].append(name)
    if faults:
        listing = "\n".join(f"    {fault} ({len(names)} weights)" for fault, names in faults.items())
        raise CheckpointError(f"the releases do not make one model:\n{listing}", mend=MEND)


def _within(name: str, parts: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{part}.") for part in parts)


def gathered(name: str, sources: Sequence[Source], files: TensorFiles, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """A tensor of ours with contiguous memory of its own, however the file holds it.

    Raises:
        CheckpointError: it cannot be read, or holds numbers that are not finite.
    """
    first = sources[0]
    if first.rule.split:
        value = torch.empty(shape, dtype=dtype).copy_(
            files.tensor(first.name).chunk(len(first.rule.names))[first.index]
        )
    elif first.rule.rows is not None:
        value = torch.zeros(shape, dtype=dtype)
        for source in sources:
            assert source.rule.rows is not None
            value.chunk(source.rule.rows[1])[source.rule.rows[0]].copy_(files.tensor(source.name))
    elif (given := files.tensor(first.name)).shape == shape:
        value = torch.empty(shape, dtype=dtype).copy_(given)
    else:  # it grows
        value = torch.empty(shape, dtype=dtype)
        value[: len(given)] = given
        value[len(given) :] = given.mean(0, dtype=torch.float32)
    check_finite(value, f"{', '.join(source.name for source in sources)} (our {name})", where=str(files.where))
    return value


def check_finite(value: Tensor, name: str, where: str) -> None:
    """By the least and the greatest, which pass a NaN on and take no memory.

    Raises:
        CheckpointError: a number is not finite.
    """
    if value.numel() and not torch.stack(torch.aminmax(value.detach())).isfinite().all():
        raise CheckpointError(
            f"{name} holds numbers that are not finite",
            where=where,
            mend="the file is damaged, or its numbers are too large for the number format asked for",
        )


@torch.no_grad()
def _start_rest(model: LlavaCorrForConditionalGeneration, dtype: torch.dtype, device: str | torch.device) -> None:
    """What no release has: new parts, the same every time as far as they are random (the CEM's way to its zero), and
    what is computed from the configuration, such as the trunk's rotary frequencies."""
    computed = {name for name, _ in model.named_non_persistent_buffers()}
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_meta:
            held = value.dtype if name in computed else dtype
            empty = torch.empty(value.shape, dtype=held)
            set_module_tensor_to_device(model, name, "cpu", value=empty, dtype=held, clear_cache=False)
        else:
            value._is_hf_initialized = True  # type: ignore[attr-defined]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.initialize_weights()
    model.to(device)  # type: ignore[arg-type]
