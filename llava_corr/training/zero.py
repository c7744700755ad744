"""How DeepSpeed divides a training, as its configuration file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import read_json, resource

LIVE, PREFETCH, PERSISTENT, BUCKET = int(1e9), int(5e7), int(1e5), int(5e8)  # DeepSpeed's defaults, in numbers
OLDER = {"offload_optimizer": "cpu_offload", "offload_param": "cpu_offload_param"}  # names that DeepSpeed still takes
AUTO = -1  # left to the trainer, which goes by the model's width


@dataclass(frozen=True)
class Zero:
    """How DeepSpeed divides a training.

    Attributes:
        stage: 1 to 3; 0 is no DeepSpeed at all.
        offload_optimizer, offload_param: to the CPU's memory.
        bucket: numbers in a buffer that gradients are reduced in.
        overlap: gradients are reduced while others are computed; stages 1 and 2 take a second buffer for it.
        live, prefetch: of stage 3, numbers of gathered weights that are kept, and fetched ahead.
        persistent: of stage 3, numbers of a weight that is small enough to stay gathered.
        bf16: what the file insists on; None goes by ``training.bf16``.
    """

    stage: int = 0
    offload_optimizer: bool = False
    offload_param: bool = False
    bucket: int = BUCKET
    overlap: bool = False
    live: int = LIVE
    prefetch: int = PREFETCH
    persistent: int = PERSISTENT
    bf16: bool | None = None

    @classmethod
    def read(cls, file: Path) -> Zero:
        """From a DeepSpeed configuration.

        Raises:
            ConfigError: it is none, or divides nothing.
        """
        found = read_json(file, ConfigError)
        section = found.get("zero_optimization", {}) if isinstance(found, dict) else None
        if not isinstance(section, dict) or section.get("stage", 0) not in (0, 1, 2, 3):
            raise _refused(file, "no DeepSpeed configuration with a zero_optimization section")
        if not (stage := int(section.get("stage", 0))):
            raise _refused(file, "it asks for stage 0, which divides nothing", "set training.deepspeed to null, or ")
        if _section(found, "fp16", file).get("enabled", False) is True:
            raise _refused(file, "fp16 is enabled, which this training has not", "leave it out, or ")

        def number(name: str, default: int, auto: int) -> int:
            value = section.get(name, default)
            if isinstance(value, (int, float)):
                return int(value)
            return auto if value == "auto" else default

        def offloaded(name: str) -> bool:
            return section.get(OLDER[name]) is True or _section(section, name, file).get("device", "none") != "none"

        bf16 = _section(found, "bf16", file).get("enabled")
        return cls(
            stage=stage,
            offload_optimizer=offloaded("offload_optimizer"),
            offload_param=stage == 3 and offloaded("offload_param"),
            bucket=number("reduce_bucket_size", BUCKET, AUTO),
            overlap=section.get("overlap_comm") is True or (stage == 3 and section.get("overlap_comm") is None),
            live=number("stage3_max_live_parameters", LIVE, LIVE),
            prefetch=number("stage3_prefetch_bucket_size", PREFETCH, AUTO),
            persistent=number("stage3_param_persistence_threshold", PERSISTENT, AUTO),
            bf16=bf16 if isinstance(bf16, bool) else None,
        )

    def fits(self, bf16: bool) -> bool:
        """Whether a training of this precision may run under it; the trainer refuses two that differ."""
        return self.bf16 is None or self.bf16 == bf16

    def filled(self, width: int) -> Zero:
        """With the numbers that the trainer fills in for a model of this width."""

        def number(found: int, wanted: float) -> int:
            return int(wanted) if found == AUTO else found

        return replace(
            self,
            bucket=number(self.bucket, width**2),
            prefetch=number(self.prefetch, 0.9 * width**2),
            persistent=number(self.persistent, 10 * width),
        )

    @property
    def label(self) -> str:
        if self.stage == 0:
            return "none"
        away = [name for name, on in (("optimiser", self.offload_optimizer), ("weights", self.offload_param)) if on]
        return f"{self.stage}" + (f", {' and '.join(away)} on the CPU" if away else "")


def _section(within: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    value = within.get(name)
    if value is not None and not isinstance(value, dict):
        raise _refused(file, f"{name} is {value!r}, not a section of its own", f'write {{"{name}": {{...}}}}, or ')
    return value or {}


def _refused(file: Path, reason: str, first: str = "") -> ConfigError:
    return ConfigError(reason, where=str(file), mend=f"{first}take one of zero_configs/ as a pattern")


def stages() -> Mapping[str, Zero]:
    """Name of a file in ``zero_configs/`` -> what it says; none first."""
    folder = resource("zero_configs")
    return {"": Zero()} | {file.name: Zero.read(file) for file in sorted(folder.glob("*.json"))}
