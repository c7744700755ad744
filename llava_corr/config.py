"""Reading an experiment: one YAML file is one experiment.

``load_config("tiny/calico.yaml", ["training.max_steps=10"])`` reads YAML and dotted overrides with OmegaConf, checks
everything at once with pydantic (``experiment.py``), and names every unknown key with a "did you mean". A bare name
resolves in the project's ``configs/``; a file may build on another with ``base: other.yaml``, and several files are
laid over one another left to right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from .errors import ConfigError
from .experiment import ExperimentConfig, Section
from .files import resource
from .registry import did_you_mean

S = TypeVar("S", bound=Section)


def resolve_config_path(name: str | Path) -> Path:
    """The file ``name`` if it exists, else the file of that name in the project's ``configs/``."""
    path = Path(name)
    if path.is_file():
        return path
    root = resource("configs")
    if not path.is_absolute() and (root / path).is_file():
        return root / path
    known = [str(p.relative_to(root)) for p in root.rglob("*.yaml")]
    raise ConfigError(f"there is no configuration {str(name)!r}", mend=did_you_mean(str(name), known))


def load_config(name: str | Path | Sequence[str | Path], overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Reads an experiment.

    Args:
        name: path, or bare name in ``configs/``; of several, each is laid over those before it. Only together they
            must be a whole experiment. An overlay that sets no ``name`` adds its file's to the run's: ``tiny-calico``
            and ``ablations/no_cam.yaml`` give ``tiny-calico-no_cam``.
        overrides: dotted ``key=value`` pairs, laid over the files; values are YAML.

    Raises:
        ConfigError: no such file, broken YAML, or any faulty keys or values, all listed together.
    """
    paths = [resolve_config_path(n) for n in ([name] if isinstance(name, (str, Path)) else name)]
    layers = [(str(path), read_yaml(path, seen=())) for path in paths]
    plain = merge(layers, overrides)
    where = " + ".join(path for path, _ in layers)
    given = [("--set", OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides))))] if overrides else []
    layers += given  # type: ignore[arg-type]
    return validate(ExperimentConfig, plain, where=where, layers=layers if len(layers) > 1 else ())


def merge(layers: Sequence[tuple[str, dict[str, Any]]], overrides: Sequence[str]) -> Any:
    """Values of files, each laid over those before it, with overrides over all.

    Args:
        layers: (path, values).
        overrides: dotted ``key=value`` pairs; values are YAML.

    Raises:
        ConfigError: an override is not key=value, or does not fit.
    """
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"override {override!r} is not key=value", mend="write --set training.max_steps=100")
    where = " + ".join(path for path, _ in layers)
    try:
        merged: Any = OmegaConf.create({})
        for path, values in layers:
            if "name" not in values and "name" in merged:
                values["name"] = f"{merged['name']}-{Path(path).stem}"
            where = path
            merged = OmegaConf.merge(merged, values)
        where = " + ".join(path for path, _ in layers)
        return OmegaConf.to_container(OmegaConf.merge(merged, OmegaConf.from_dotlist(list(overrides))), resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError, TypeError) as cause:  # the last: a list where a mapping is
        raise ConfigError(f"cannot merge the overrides: {cause}", where=where, mend="check keys and values") from cause


def overfitted(config: ExperimentConfig, count: int) -> ExperimentConfig:
    """The experiment on its first ``count`` training samples only, which are also those it is validated on."""
    data = config.data.model_copy(update={"limit": count, "validation": config.data.train})
    return config.model_copy(update={"name": f"{config.name}-overfit{count}", "data": data})


def read_yaml(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """YAML of ``path`` laid over that of its ``base``."""
    if path in seen:
        raise ConfigError(f"{path.name} builds on itself", where=str(path), mend="remove the circular base")
    try:
        values: Any = OmegaConf.to_container(OmegaConf.load(path))
    except OSError as cause:  # OmegaConf's word for a file that holds a bare number or word
        raise ConfigError(f"cannot be used: {cause}", where=str(path), mend="start from a file in configs/") from cause
    except yaml.YAMLError as cause:
        raise ConfigError(f"broken YAML: {cause}", where=str(path), mend="repair that place") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError("not UTF-8 text", where=str(path), mend="save the file as UTF-8") from cause
    if not isinstance(values, dict):
        raise ConfigError("the file holds no mapping of keys", where=str(path), mend="start from a file in configs/")
    base = values.pop("base", None)
    if base is None:
        return values
    beside = path.parent / str(base)
    below = read_yaml(beside if beside.is_file() else resolve_config_path(str(base)), (*seen, path))
    merged: Any = OmegaConf.to_container(OmegaConf.merge(OmegaConf.create(below), OmegaConf.create(values)))
    return merged


def validate(schema: type[S], values: Any, where: str, layers: Sequence[tuple[str, dict[str, Any]]] = ()) -> S:
    """Checks plain values against a schema; all faults in one error, each unknown key with a suggestion.

    Args:
        layers: files with their values, the topmost last; a fault then names the last file that holds its key.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as cause:
        faults = [
            _fault(schema, error["loc"], error["type"], error["msg"]) + _origin(error["loc"], layers)
            for error in cause.errors()
        ]
        listing = "\n".join(f"    {fault}" for fault in faults)
        mend = "correct all of them, in the file or with --set"
        if any(error["loc"] == ("name",) and error["type"] == "missing" for error in cause.errors()):
            mend += "; an overlay goes after a whole configuration: --config tiny/calico.yaml ablations/no_cem.yaml"
        raise ConfigError(
            f"{len(faults)} fault{'s' if len(faults) != 1 else ''} in the configuration:\n{listing}",
            where=where,
            mend=mend,
        ) from cause


def _origin(location: Iterable[Any], layers: Sequence[tuple[str, dict[str, Any]]]) -> str:
    steps = list(location)
    for path, values in reversed(layers):
        found: Any = values
        for step in steps:
            if not isinstance(found, dict) or step not in found:
                break
            found = found[step]
        else:
            return f" (in {path})"
    return ""


def _fault(schema: type[Section], location: Iterable[Any], kind: str, message: str) -> str:
    steps = [str(step) for step in location]
    name = ".".join(steps)
    if kind != "extra_forbidden":
        return f"{name}: {message}" if name else message.removeprefix("Value error, ")
    owner: Any = schema
    for step in steps[:-1]:
        fields = getattr(owner, "model_fields", {})
        owner = _section(fields[step].annotation) if step in fields else None
    known = getattr(owner, "model_fields", {})
    return f"{name}: unknown key, {did_you_mean(steps[-1], known)}"


def _section(annotation: Any) -> Any:
    """The section in ``Section`` or ``Section | None``."""
    return next((kind for kind in get_args(annotation) if hasattr(kind, "model_fields")), annotation)
