"""A CoLVA as a folder of parts that transformers, PEFT and safetensors load by themselves.

    trunk/                InternVL or Qwen2-VL, with its tokenizer
    lora/                 PEFT's adapter for it, where it was not merged
    expert/               RadioModel
    adapter.safetensors   ExpertAdapter
    import.json           where every name came from, and under "colva" what a loader must know

Weights are read, merged and written shard by shard: no more than one is in memory, twice while it is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    InternVLForConditionalGeneration,
    PreTrainedModel,
    Qwen2VLForConditionalGeneration,
)

from ...errors import CheckpointError, LlavaCorrError
from ...files import read_json, write_json
from ..expert import Expert, ExpertAdapter
from . import colva, radio
from .colva_tokenizers import VPT, id_of
from .model_folder import check_fit, named, written_whole

TABLE, ADAPTER_FILE = "import.json", "adapter.safetensors"
SHARD = 1_000_000_000  # bytes; writing one takes twice as much
# Of a Qwen2-VL: how pictures and conversations are prepared, and answers drawn.
COPIED = ("preprocessor_config.json", "chat_template.json", "chat_template.jinja", "generation_config.json")
MEND = "import it again"


def write_colva(
    found: colva.Colva, out: Path, releases: Mapping[str, str], dtype: torch.dtype, shard: int = SHARD
) -> None:
    """Writes the folder whole or not at all; ``out`` is as it was where something is wrong with the weights.

    Args:
        releases: kind -> place, for the table.
        dtype: of trunk, expert and LoRA; adapter and RADIO's constants stay in float32.
        shard: greatest size of a file in bytes, but for single weights that are larger.

    Raises:
        CheckpointError: a file is damaged, or holds numbers that are not finite.
        StorageError: it cannot be written.
    """
    found.weights.verify()
    with written_whole(out) as part, _removed_on_errors(part):
        _write_trunk(found, part / "trunk", dtype, shard)
        if found.lora is not None:
            found.lora.config().save_pretrained(str(part / "lora"))
            values = _Values(found, colva.LORA, dtype, "base_model.model.")
            _write_tensors(part / "lora", "adapter_model", values, [found.weights.names(colva.LORA)])
        _write_model(found, colva.EXPERT, found.expert, part / "expert", dtype, shard)
        save_file(
            {name: found.weights.value(f"{colva.ADAPTER}{name}", torch.float32) for name in found.adapter.state_dict()},
            part / ADAPTER_FILE,
            {"format": "pt"},
        )
        absent = sum(radio.ABSENT in name for name in found.expert.state_dict())
        write_json(
            part / TABLE,
            {
                "releases": dict(releases),
                "colva": found.notes,
                "tables": [plan.to_json() for plan in found.weights.plans],
                "made": {f"expert, {absent} layer scales": "1, and in no file: CoLVA's RADIO has none"},
            },
        )


@contextmanager
def _removed_on_errors(part: Path) -> Iterator[None]:
    """Gigabytes that are of no use; what breaks off otherwise is cleared away by the next call."""
    try:
        yield
    except LlavaCorrError:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write_trunk(found: colva.Colva, folder: Path, dtype: torch.dtype, shard: int) -> None:
    _write_model(found, colva.TRUNK, found.trunk, folder, dtype, shard)
    found.tokenizer.save_pretrained(folder)
    text = found.trunk.config.text_config
    ends = [found.stop]
    if isinstance(text.eos_token_id, int) and text.eos_token_id != found.stop:
        ends.append(text.eos_token_id)
    pad = text.pad_token_id if text.pad_token_id is not None else found.tokenizer.pad_token_id
    GenerationConfig(bos_token_id=text.bos_token_id, eos_token_id=ends, pad_token_id=pad).save_pretrained(folder)
    if found.kind == "qwen2-vl":
        for name in COPIED:
            if (found.folder / name).is_file():
                shutil.copyfile(found.folder / name, folder / name)


def _write_model(found: colva.Colva, part: str, model: Any, folder: Path, dtype: torch.dtype, shard: int) -> None:
    folder.mkdir(parents=True)
    config = model.config
    config.architectures = [type(model).__name__ if part == colva.TRUNK else "RadioModel"]
    config.dtype = str(dtype).removeprefix("torch.")
    config.save_pretrained(folder)
    weights = found.weights
    shards: list[list[str]] = [[]]
    size = 0
    for name in weights.names(part):
        bytes_ = weights.wanted[part + name].numel() * dtype.itemsize
        if shards[-1] and size + bytes_ > shard:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += bytes_
    _write_tensors(folder, "model", _Values(found, part, dtype), shards)


class _Values:
    """Weights of a part by name, read when they are asked for."""

    def __init__(self, found: colva.Colva, part: str, dtype: torch.dtype, above: str = "") -> None:
        self._weights, self._part, self._dtype, self.above = found.weights, part, dtype, above

    def __getitem__(self, name: str) -> Tensor:
        exact = name.startswith("input_conditioner.")  # rounded, these would shift every pixel
        return self._weights.value(f"{self._part}{name}", torch.float32 if exact else self._dtype)


def _write_tensors(folder: Path, stem: str, values: _Values, shards: Sequence[Sequence[str]]) -> None:
    """Files and, if there are several, the index that transformers reads."""
    home: dict[str, str] = {}
    size = 0
    for number, names in enumerate(shards, 1):
        file = f"{stem}.safetensors" if len(shards) == 1 else f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {values.above + name: values[name] for name in names}
        save_file(tensors, folder / file, {"format": "pt"})
        home |= dict.fromkeys(tensors, file)
        size += sum(value.nbytes for value in tensors.values())
    if len(shards) > 1:
        write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": home})


@dataclass
class LoadedColva:
    """The parts of a CoLVA, in eval mode.

    Attributes:
        trunk: InternVL or Qwen2-VL of transformers; where the LoRA was kept, PEFT's model around it.
        tokenizer: its ``<VPT_CONTEXT>`` has no row of the embedding.
        expert: RADIO, with the rule for positions that CoLVA was trained with.
        adapter: in float32.
        notes: "colva" of import.json.
    """

    trunk: PreTrainedModel | PeftModel
    tokenizer: Any
    expert: Expert
    adapter: ExpertAdapter
    notes: dict[str, Any]


def load_colva(
    folder: str | Path, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> LoadedColva:
    """Loads what :func:`write_colva` wrote.

    Args:
        dtype: of trunk and expert; that of the files if None.

    Raises:
        CheckpointError: a file is missing or broken, weights are missing, left over or of another shape, or the
            tokenizer has other ids.
    """
    folder = Path(folder)
    notes = read_json(folder / TABLE, CheckpointError).get("colva")
    kinds = {"internvl2": InternVLForConditionalGeneration, "qwen2-vl": Qwen2VLForConditionalGeneration}
    if not isinstance(notes, dict) or notes.get("kind") not in kinds:
        raise CheckpointError("no imported CoLVA", where=str(folder / TABLE), mend="name a folder that import wrote")
    trunk = _load(kinds[notes["kind"]], folder / "trunk", dtype, device)
    with named(folder / "trunk", TypeError, KeyError, AttributeError):
        tokenizer = AutoTokenizer.from_pretrained(folder / "trunk")
    if id_of(tokenizer, VPT, folder / "trunk") != notes["vpt_id"]:
        raise CheckpointError(f"the tokenizer has another id for {VPT}", where=str(folder / "trunk"), mend=MEND)
    if (notes["lora"] or {}).get("merged") is False:
        with named(folder / "lora", TypeError, KeyError, AttributeError, RuntimeError):
            trunk = _with_lora(trunk, folder / "lora")
    expert = _load(Expert, folder / "expert", dtype, device)
    if expert.config.align_corners != notes["align_corners"]:
        raise CheckpointError("align_corners is another one than in import.json", where=str(folder), mend=MEND)
    return LoadedColva(trunk, tokenizer, expert, _load_adapter(folder / ADAPTER_FILE, trunk, expert, device), notes)


def _load(kind: Any, folder: Path, dtype: torch.dtype | None, device: str | torch.device) -> Any:
    with named(folder):
        model, info = kind.from_pretrained(
            folder, dtype=dtype or "auto", output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True
        )
    check_fit(info, folder)
    return model.to(device).eval()


def _with_lora(trunk: Any, folder: Path) -> PeftModel:
    """PEFT takes a file with missing weights, and leaves their product at zero."""
    model = PeftModel.from_pretrained(trunk, str(folder))
    with_names = load_file(folder / "adapter_model.safetensors")
    there = {name.replace(".default.", ".") for name, _ in model.named_parameters() if ".lora_" in name}
    if lacking := there ^ set(with_names):
        raise CheckpointError(f"{len(lacking)} weights do not fit: {min(lacking)}", where=str(folder), mend=MEND)
    return model.eval()


def _load_adapter(file: Path, trunk: Any, expert: Expert, device: str | torch.device) -> ExpertAdapter:
    adapter = ExpertAdapter(expert.config.hidden_size, trunk.config.text_config.hidden_size)
    with named(file, RuntimeError):
        adapter.load_state_dict(load_file(file))
    return adapter.to(device).eval()
