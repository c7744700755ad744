"""A CoLVA as a folder of parts that transformers, PEFT and safetensors load by themselves.

    trunk/                InternVL or Qwen2-VL, with its tokenizer
    lora/                 PEFT's adapter for it, where it was not merged
    expert/               RadioModel
    adapter.safetensors   ExpertAdapter
    import.json           where every name came from, and under "colva" what a loader must know

Weights are read, merged and written shard by shard: no more than one is in memory, twice while it is written.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping, Sequence
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

from ...errors import CheckpointError
from ...files import read_json, write_json
from ..expert import Expert, ExpertAdapter
from . import colva, radio, xtuner_lora
from .colva_tokenizers import VPT, id_of
from .model_folder import check_fit, named, written_whole
from .target import TABLE

ADAPTER_FILE = "adapter.safetensors"
SHARD = 1_000_000_000  # bytes; writing one takes twice as much
# Of a Qwen2-VL: how pictures and conversations are prepared, and answers drawn.
COPIED = ("preprocessor_config.json", "chat_template.json", "chat_template.jinja", "generation_config.json")
MEND = "import it again"
FAULTS = (TypeError, KeyError, AttributeError, ImportError)  # of settings without sense
LORA_CONFIG = "adapter_config.json"
KINDS = {"internvl2": InternVLForConditionalGeneration, "qwen2-vl": Qwen2VLForConditionalGeneration}
# What a loader finds in the table, and of which kind it is; all numbers are above zero.
NOTES: dict[str, Any] = {
    "template": str, "stop_token": str, "positions": str, "vpt_token": str, "vpt_id": int, "image_token_id": int,
    "align_corners": bool, "mask_threshold": float, "pool_epsilon": float, "radio_version": str,
}  # fmt: skip
LORA_NOTES: dict[str, Any] = {"rank": int, "alpha": (int, float), "scale": float, "merged": bool}
REQUEST = re.compile("auto_map|custom_.*|quantization_config|_?(attn|experts)_implementation.*|.*kernel.*")


def write_colva(
    found: colva.Colva, out: Path, releases: Mapping[str, str], dtype: torch.dtype, shard: int = SHARD
) -> None:
    """Writes the folder whole or not at all; ``out`` is as it was where something is wrong with the weights.

    Args:
        releases: kind -> place, for the table.
        dtype: of trunk and expert; adapter and RADIO's constants are in float32, a LoRA is as its file has it.
        shard: greatest size of a file in bytes, but for single weights that are larger.

    Raises:
        CheckpointError: a file is damaged, or holds numbers that are not finite.
        StorageError: it cannot be written.
    """
    found.weights.verify()
    with written_whole(out) as part:
        _write_trunk(found, part / "trunk", dtype, shard)
        if found.lora is not None:
            found.lora.config().save_pretrained(str(part / "lora"))
            values = _Values(found, colva.LORA, None, "base_model.model.")
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
                "made": {
                    f"expert, {absent} layer scales": "1, and in no file: CoLVA's RADIO has none",
                    **dict.fromkeys(found.weights.made, "from config.json"),
                },
            },
        )


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
    """Weights of a part by name, read when they are asked for; in the number format of the file if dtype is None."""

    def __init__(self, found: colva.Colva, part: str, dtype: torch.dtype | None, above: str = "") -> None:
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

    The folder may be another's: nothing of it is run, and no file of it makes a library fetch or import anything.

    Args:
        dtype: of trunk and expert; that of the files if None. RADIO's constants are in float32 all the same.

    Raises:
        CheckpointError: a file is missing or broken, weights are missing, left over or of another shape, or the parts
            do not agree with import.json.
    """
    folder = Path(folder)
    notes = _read_notes(folder / TABLE)
    trunk = _load(KINDS[notes["kind"]], folder / "trunk", dtype, device)
    with named(folder / "trunk", *FAULTS):
        tokenizer = AutoTokenizer.from_pretrained(folder / "trunk", trust_remote_code=False, local_files_only=True)
    _agree(folder / "trunk", "vpt_id", id_of(tokenizer, VPT, folder / "trunk"), notes)
    _agree(folder / "trunk", "image_token_id", trunk.config.image_token_id, notes)
    if notes["lora"] and not notes["lora"]["merged"]:
        with named(folder / "lora", *FAULTS, RuntimeError):
            trunk = _with_lora(trunk, folder / "lora", notes)
    expert = _load(Expert, folder / "expert", dtype, device)
    _agree(folder / "expert" / "config.json", "align_corners", getattr(expert.config, "align_corners", None), notes)
    return LoadedColva(trunk, tokenizer, expert, _load_adapter(folder / ADAPTER_FILE, trunk, expert, device), notes)


def _read_notes(file: Path) -> dict[str, Any]:
    content = read_json(file, CheckpointError)
    notes = content.get("colva") if isinstance(content, dict) else None
    if not isinstance(notes, dict) or notes.get("kind") not in list(KINDS):
        raise CheckpointError("no imported CoLVA", where=str(file), mend="name a folder that import wrote")
    lora = notes.get("lora", "absent")
    sections = [("colva", notes, NOTES), *([] if lora is None else [("colva, lora", lora, LORA_NOTES)])]
    for name, section, kinds in sections:
        for key, kind in kinds.items():
            value = section.get(key) if isinstance(section, dict) else None
            right = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
            if not right or (isinstance(value, (int, float)) and kind is not bool and not 0 < value < math.inf):
                raise CheckpointError(f"{key} is missing or of no sense", where=f"{file}, {name}", mend=MEND)
    return notes


def _agree(where: Path, key: str, found: object, notes: Mapping[str, Any]) -> None:
    if found != notes[key]:
        raise CheckpointError(f"{key} is {found}, and {notes[key]} in {TABLE}", where=str(where), mend=MEND)


def _load(kind: Any, folder: Path, dtype: torch.dtype | None, device: str | torch.device) -> Any:
    _refuse_requests(folder / "config.json", read_json(folder / "config.json", CheckpointError))
    with named(folder, *FAULTS):
        config = kind.config_class.from_pretrained(folder, local_files_only=True)
    with named(folder):
        model, info = kind.from_pretrained(
            folder,
            config=config,
            dtype=dtype or "auto",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    check_fit(info, folder)
    return model.to(device).eval()


def _refuse_requests(file: Path, values: object) -> None:
    """Settings that an import never writes, and by which transformers would import or fetch something."""
    if not isinstance(values, dict):
        return
    if asked := [name for name in values if REQUEST.fullmatch(name) and values[name]]:
        raise CheckpointError(f"{asked[0]} is set, which import does not write", where=str(file), mend=MEND)
    for value in values.values():
        _refuse_requests(file, value)


def _with_lora(trunk: Any, folder: Path, notes: Mapping[str, Any]) -> PeftModel:
    """PEFT takes a file with missing weights, and leaves their product at zero; by its settings it can be told to
    import a module. So they are made anew, and those of the file are compared."""
    lora = xtuner_lora.Lora(xtuner_lora.FAMILIES[notes["kind"]], notes["lora"]["rank"], notes["lora"]["alpha"])
    ours, theirs = lora.config(), read_json(folder / LORA_CONFIG, CheckpointError)
    for key in ("r", "lora_alpha", "target_modules"):
        if theirs.get(key) != getattr(ours, key):
            where = str(folder / LORA_CONFIG)
            raise CheckpointError(f"{key} is {theirs.get(key)}, and not as {TABLE} says", where=where, mend=MEND)
    names = set(load_file(folder / "adapter_model.safetensors"))
    model = PeftModel.from_pretrained(trunk, str(folder), config=ours)
    there = {name.replace(".default.", ".") for name, _ in model.named_parameters() if ".lora_" in name}
    if lacking := there ^ names:
        raise CheckpointError(f"{len(lacking)} weights do not fit: {min(lacking)}", where=str(folder), mend=MEND)
    return model.eval()


def _load_adapter(file: Path, trunk: Any, expert: Expert, device: str | torch.device) -> ExpertAdapter:
    adapter = ExpertAdapter(expert.config.hidden_size, trunk.config.text_config.hidden_size)
    with named(file, RuntimeError):
        adapter.load_state_dict(load_file(file))
    return adapter.to(device).eval()
