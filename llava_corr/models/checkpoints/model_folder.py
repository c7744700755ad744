"""Model folders: loaded only when every key fits, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import BitsAndBytesConfig
from transformers.utils import CONFIG_NAME, cached_file
from transformers.utils.hub import extract_commit_hash

from ...errors import CheckpointError, ConfigError, StorageError
from ...files import find_shipped, sync_to_disk, usual_mode
from ...registry import closest
from ..adapters import ALL, MANIFEST, is_adapter, merge_release, read_trained, touched
from ..attention import attention_of_parts
from ..build import Vocabulary
from ..configuration import LlavaCorrConfig
from ..modeling import LlavaCorrForConditionalGeneration
from ..processing import LlavaCorrProcessor
from ..recompose import recompose

COMMIT = re.compile("[0-9a-f]{40}")
MEND = "name a folder that training wrote whole (its model/), or a hub id"


def load_config(path: str | Path) -> LlavaCorrConfig:
    """Configuration of a model folder or hub id.

    Raises:
        CheckpointError: there is none, it is broken, or of another kind of model.
    """
    refuse_absent(path)
    path = _here(path)
    with named(path, *NO_SENSE):
        kind = LlavaCorrConfig.get_config_dict(path)[0].get("model_type")
        if kind == LlavaCorrConfig.model_type:
            return LlavaCorrConfig.from_pretrained(path)
    raise CheckpointError(  # transformers would fill in whatever is missing with the sizes of the full model
        f"a model of type {kind!r}, not {LlavaCorrConfig.model_type!r}", where=f"{path}, {CONFIG_NAME}", mend=MEND
    )


def refuse_absent(path: str | Path) -> None:
    """Refuses what can be neither a folder nor a hub id ("name" or "owner/name"), and what is nearly a folder:
    "data/zooo" beside data/zoo is asked for from no hub.

    Raises:
        CheckpointError: there is no such folder.
    """
    text = str(path)
    if text and Path(_here(path)).is_dir():
        return
    above = Path(path).parent
    near = closest(text, [str(p) for p in above.iterdir() if p.is_dir()] if "/" in text and above.is_dir() else [])
    if near or not text or text.count("/") > 1 or text.startswith((".", "/", "~")):
        mend = f"did you mean {near!r}? Otherwise {MEND}" if near else MEND
        raise CheckpointError("there is no such folder", where=text or "an empty path", mend=mend)


def _here(path: str | Path) -> str | Path:
    """The project's own zoo may be named from any folder."""
    return path if not str(path) or Path(path).exists() else find_shipped(str(path))


def load_model(
    path: str | Path,
    *,
    base: str | Path | None = None,
    quantise_trunk: bool = False,
    dtype: torch.dtype = torch.float32,
    whole: Sequence[str] = (),
    **options: Any,
) -> LlavaCorrForConditionalGeneration:
    """Model of a folder or hub id, in eval mode; trained parts are merged into the base they name.

    Args:
        base: where the base of a folder of trained parts lies now, if not where its manifest says.
        quantise_trunk: hold the trunk's linears in 4 bits (NF4, bitsandbytes), on this rank's GPU if there is one.
        dtype: of the weights, as they are read: no more memory than that is taken.
        whole: parts by name that are held in float32 all the same, "all" among them for every one.
        options: for ``from_pretrained``.

    Raises:
        CheckpointError: a file is missing or broken, weights are missing, left over or of another shape, or the base
            is missing or another one.
        ConfigError: 4 bits without bitsandbytes, or a base for a model that is whole.
    """
    path = _here(path)
    folder = Path(path)
    if ALL in whole:
        dtype = torch.float32
    if (folder / MANIFEST).is_file():
        held: dict[str, Any] = {"quantise_trunk": quantise_trunk, "dtype": dtype}
        model = _load_base(folder, base, whole=[*whole, *touched(folder)], **held, **options)
        with named(folder):
            recompose(model, load_config(folder))  # parts that were added to the base, or left out of it
            model = merge_release(model, folder).eval()
        return model if dtype == torch.float32 else _narrow(model, dtype, whole)
    if base is not None:
        raise ConfigError("a base is named, but this model is whole already", where=str(path), mend="leave it out")
    if quantise_trunk:
        options["quantization_config"] = _four_bits()
        if torch.cuda.is_available():  # else every rank would load onto the first GPU
            options.setdefault("device_map", {"": int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()})
        whole = [name for name in whole if not _overlap(name, "trunk.model.layers")]
    if dtype != torch.float32:
        options["whole"] = list(whole)
    config = load_config(path)  # its faults have their own words
    if isinstance(attention := options.get("attn_implementation"), str):
        options["attn_implementation"] = attention_of_parts(attention, config)
    with named(path):  # sizes that do not match are listed below, with the other faults
        if not folder.is_dir():
            options.setdefault("revision", _commit(str(path)))  # the one that identify() names
        loaded: Any = LlavaCorrForConditionalGeneration.from_pretrained(
            path, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    model, found = loaded
    check_fit(found, path)
    if quantise_trunk:
        _settle(model)
    return model


def check_fit(found: Mapping[str, Any], path: str | Path) -> None:
    """Refuses what transformers' loading report lists: a missing weight would be a random one."""
    faults = [
        f"    {kind.replace('_keys', '')}: {', '.join(sorted(map(str, found[kind])))}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found.get(kind)
    ]
    if faults:
        raise CheckpointError("weights and configuration do not fit:\n" + "\n".join(faults), where=str(path), mend=MEND)


def _load_base(folder: Path, base: str | Path | None, **options: Any) -> LlavaCorrForConditionalGeneration:
    """The base of a folder of trained parts, checked to be the one they were trained on.

    A base on the hub is loaded at the commit they were trained on, whatever has been uploaded since.
    """
    described = read_trained(folder)[0].get("base") or {}
    place = base or described.get("path")
    if place is None:
        raise CheckpointError("trained parts that name no base", where=str(folder), mend="name it: base=...")
    recorded = str(described.get("fingerprint"))
    try:
        if not Path(place).is_dir() and COMMIT.fullmatch(recorded):
            return load_model(place, revision=recorded, **options)
        found = identify(place)
        if found["fingerprint"] == recorded:
            return load_model(place, **options)
    except CheckpointError as cause:
        raise CheckpointError(
            f"the base of these trained parts is missing or broken: {cause.what}",
            where=f"{folder}, base {place}",
            mend="put it back there, or say where it lies now: --base FOLDER (base=... in Python)",
        ) from cause
    raise CheckpointError(
        "the base of these trained parts has other weights now",
        where=f"{folder}, base {place}",
        mend="point to the base they were trained on: --base FOLDER (base=... in Python)",
    )


@torch.no_grad()
def _narrow(model: Any, dtype: torch.dtype, whole: Sequence[str]) -> LlavaCorrForConditionalGeneration:
    """Gives weights that were held in float32 for a merge the ``dtype`` of the others."""
    for name, parameter in model.named_parameters():
        kept = is_adapter(name) or any(_overlap(part, name) for part in whole)
        if parameter.dtype == torch.float32 and not kept:
            parameter.data = parameter.data.to(dtype)
    return model


def _overlap(one: str, other: str) -> bool:
    """Whether two names are of the same part, or one is of a part of the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _four_bits() -> BitsAndBytesConfig:
    """The trunk's linears in NF4; towers, CEM, CAMs, decoder and the output layer stay as they are."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as cause:
        raise ConfigError(
            "a trunk in 4 bits needs bitsandbytes", where="model.quantise_trunk", mend="pip install llava-corr[quant]"
        ) from cause
    whole = ["visual_tokens", "correspondence", "adaptation", "seg_projection", "grounding", "lm_head"]
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=whole,
    )


def _settle(model: Any) -> None:
    """Takes back two things that transformers and bitsandbytes assume of a model in 4 bits."""
    # The trainer refuses a model that is quantised and carries no adapter it knows of. This one is not quantised as a
    # whole: choose_trained leaves every 4-bit weight frozen and trains others.
    model.is_quantized = False
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # Where a CPU has AVX512-BF16, bitsandbytes repacks a layer at its first pass without gradient, after which
            # none flows through it any more, silently: a validation would end the training of all layers below.
            module.support_avx512bf16_for_cpu = False


SAMPLED = 1 << 16  # bytes read of each tensor at its beginning, in its middle and at its end
SETTINGS = ("config.json", "adapter_config.json")  # an adapter's scale is part of what it does


def identify(path: str | Path) -> dict[str, str]:
    """Where a model lies and a fingerprint of it: the hub's commit, or a hash over its configuration and, of every
    tensor, name, type, shape, place and samples (64 KB at its beginning, in its middle and at its end).

    Only seeks in the files: a change of weights that leaves all samples of all tensors as they were goes unseen.

    Raises:
        CheckpointError: there is no such model.
    """
    path = _here(path)
    folder = Path(path)
    if not folder.is_dir():
        refuse_absent(path)
        with named(path):
            return {"path": str(path), "fingerprint": _commit(str(path))}
    digest = hashlib.sha256()
    try:
        for name in SETTINGS:
            if name == CONFIG_NAME or (folder / name).is_file():
                content = (folder / name).read_bytes()
                digest.update(f"{name} {len(content)}\n".encode() + content)
        for file in sorted(folder.glob("*.safetensors")):
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
            for piece in _samples_of(file):
                digest.update(piece)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:  # the last four: a header of no sense
        raise CheckpointError(f"no model can be read: {cause}", where=str(path), mend=MEND) from cause
    if (folder / MANIFEST).is_file():  # parts on top of a base are not the same on another base
        below = read_trained(folder)[0].get("base") or {}
        digest.update(f"base {below.get('fingerprint')}\n".encode())
    return {"path": str(folder.resolve()), "fingerprint": digest.hexdigest()}


@cache
def _commit(hub_id: str) -> str:
    """The commit of a hub id, asked for once: a process that loads a model also names the commit it loaded."""
    commit = extract_commit_hash(cached_file(hub_id, CONFIG_NAME), None)
    if commit is None:
        raise CheckpointError("the hub names no commit of this model", where=hub_id, mend=MEND)
    return commit


def _samples_of(file: Path) -> Iterator[bytes]:
    """The header of a safetensors file, then samples of every tensor in the order of the file.

    A file begins with the length of its header (8 bytes, little-endian), then the header: JSON, by tensor name, with
    ``data_offsets`` counted from the header's end.
    """
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file.name} is no safetensors file")
        header = handle.read(length)
        yield header
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        for first, last in sorted(tuple(entry["data_offsets"]) for entry in tensors.values()):
            size = last - first
            middle = max(0, (size - SAMPLED) // 2)
            starts = (0,) if size <= SAMPLED else (0, middle, size - SAMPLED)
            for start in starts:
                handle.seek(8 + length + first + start)
                yield handle.read(min(SAMPLED, size))


def load_processor(path: str | Path) -> LlavaCorrProcessor:
    """Processor of a model folder or hub id.

    Raises:
        CheckpointError: a file of it is missing or broken.
    """
    path = _here(path)
    with named(path, *NO_SENSE), _without_warning("requires torchvision"):
        processor: LlavaCorrProcessor = LlavaCorrProcessor.from_pretrained(path)
    try:
        Vocabulary.of(processor.tokenizer)
    except ConfigError as cause:  # transformers loads a tokenizer without tokenizer_config.json, and knows less of it
        raise CheckpointError(cause.what, where=f"{path}, tokenizer files", mend=MEND) from cause
    return processor


# What transformers also raises for a JSON file with a list where it looks for a mapping, and the like. Where weights
# are loaded, these would hide faults of another kind.
NO_SENSE = (TypeError, KeyError, AttributeError)


@contextmanager
def _without_warning(phrase: str) -> Iterator[None]:
    """Drops transformers' warning of what is chosen here on purpose: pictures are resized by PIL, with torchvision or
    without."""

    def kept(record: logging.LogRecord) -> bool:
        return phrase not in record.getMessage()

    handlers = list(logging.getLogger("transformers").handlers)
    for handler in handlers:
        handler.addFilter(kept)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(kept)


@contextmanager
def named(path: str | Path, *more: type[Exception]) -> Iterator[None]:
    """Names the model where reading its files fails; what else goes wrong, a full GPU say, is not the files' fault."""
    faults: tuple[type[Exception], ...] = (OSError, ValueError, SafetensorError, StrictDataclassError, *more)
    try:
        yield
    except faults as cause:
        raise CheckpointError(
            f"no model can be loaded: {type(cause).__name__}: {cause}", where=str(path), mend=MEND
        ) from cause


@contextmanager
def written_whole(folder: Path, *, here: bool = True) -> Iterator[Path]:
    """A folder to write into that takes the place of ``folder`` only when the block ends without an error.

    What is written is on the disk before it is moved. The old folder steps aside for the moment of the move; where a
    crash fell into that moment, the next call puts it back before it begins. A link stays one: what it leads to is
    replaced.

    Args:
        here: False on the ranks that only take part in gathering the weights.

    Raises:
        StorageError: disk full, no permission; ``folder`` is as it was, and nothing is left beside it.
    """
    folder = folder.resolve()
    part, aside = (folder.with_name(f"{folder.name}.llava-corr-{end}") for end in ("part", "old"))
    try:
        if here:
            _tidy(folder, part, aside)
        try:
            yield part
        except BaseException:
            if here:
                shutil.rmtree(part, ignore_errors=True)
            raise
        if here:
            for file in part.rglob("*.safetensors"):
                usual_mode(file)
            for path in (*part.rglob("*"), part):
                sync_to_disk(path)
            if folder.exists():
                os.replace(folder, aside)
            try:
                os.replace(part, folder)
            except OSError:
                if aside.exists():
                    os.replace(aside, folder)
                raise
            sync_to_disk(folder.parent)
            if aside.exists():
                shutil.rmtree(aside)
    except (OSError, SafetensorError) as cause:
        raise StorageError(
            f"could not write the model: {cause}",
            where=str(folder),
            mend="see that there is space and permission to write, then run the same command again",
        ) from cause


def _tidy(folder: Path, part: Path, aside: Path) -> None:
    """What a call that was cut off has left: half a folder, or the old one aside."""
    if part.exists():
        shutil.rmtree(part)
    if aside.exists() and folder.exists():
        shutil.rmtree(aside)
    elif aside.exists():
        os.replace(aside, folder)
