"""CoLVA out of what was released: the export of its 4B, or a base, RADIO, and two files of training (facts 1.5 and 8).

    trunk     InternVL2 or Qwen2-VL in transformers' present names, the SFT's LoRA merged or beside it
    expert    RADIO
    adapter   from RADIO's width to the trunk's

Every part's names are known before any weight is read; values come one by one from the mapped files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import InternVLForConditionalGeneration, Qwen2VLForConditionalGeneration
from transformers.utils import logging as transformers_logging

from ...errors import CheckpointError
from ..expert import Expert, ExpertAdapter
from . import internvl, qwen2_vl, radio, xtuner_lora
from .colva_tokenizers import VPT, add_object_token, id_of, load_phi3_tokenizer, load_qwen_tokenizer
from .composing import Release, check_finite, gathered
from .layouts import Layout, Plan, Rename, Source, map_names
from .tensor_files import TensorFiles, open_tensors

TRUNK, EXPERT, ADAPTER, LORA = "trunk.", "expert.", "adapter.", "lora."
ALIGN_CORNERS = True  # of CoLVA's copy of RADIO (facts 9)
MASK_THRESHOLD, POOL_EPSILON = 0.55, 1e-4  # of object masks at inference (facts 8 row 4)
ADAPTER_RULES = [
    Rename(rf"ot_mlp1\.{index}\.(weight|bias)", (rf"{ADAPTER}{name}.\1",))
    for index, name in ((0, "norm"), (1, "inner"), (3, "outer"))
]
# Beside the weights in mmengine's files: histories of losses, with their methods, which are pickled as an attribute of
# their class; settings; numpy's numbers; and what DeepSpeed adds. Of all these, getattr too, only the names are known:
# an empty stand-in is put in their place.
INERT = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    "mmengine.config.config.ConfigDict",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.ndarray",
    "numpy.dtype",
    "_codecs.encode",
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
)


@dataclass
class Weights:
    """Where every weight of every part comes from.

    Attributes:
        wanted: our names, each with its part in front, and empty tensors of their shapes.
        plans: what became of the names of every release.
        sources: our name -> files and names in them.
        scale: of the LoRA, if there is one and it is merged.
        made: values that come from no file.
    """

    wanted: dict[str, Tensor]
    plans: list[Plan] = field(default_factory=list)
    sources: dict[str, tuple[TensorFiles, list[Source]]] = field(default_factory=dict)
    scale: float | None = None
    made: dict[str, Tensor] = field(default_factory=dict)

    def match(self, releases: list[Release]) -> None:
        """Names and shapes of all releases.

        Raises:
            CheckpointError: some do not fit (``layouts.py``).
        """
        shapes = {name: value.shape for name, value in self.wanted.items() if name not in self.made}
        for release in releases:
            plan = map_names(release.layout, release.files, shapes)
            self.plans.append(plan)
            self.sources |= {name: (release.files, sources) for name, sources in plan.sources.items()}

    def verify(self) -> None:
        """Checksums of all files (``TensorFiles.verify``)."""
        for files in {id(files): files for files, _ in self.sources.values()}.values():
            files.verify()

    def names(self, part: str) -> list[str]:
        """Names of a part, as its own model has them."""
        return [name.removeprefix(part) for name in self.wanted if name.startswith(part)]

    def value(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """One weight with memory of its own, the LoRA merged into it.

        Args:
            dtype: that of the file if None.

        Raises:
            CheckpointError: it cannot be read, or holds numbers that are not finite.
        """
        if name in self.made:
            return self.made[name]
        module = name.removeprefix(TRUNK).removesuffix(".weight")
        first = f"{LORA}{module}.lora_A.weight"
        if self.scale is None or not name.startswith(TRUNK) or first not in self.sources:
            return self._read(name, dtype)
        second = first.replace(".lora_A.", ".lora_B.")
        whole = self._read(name, torch.float32)
        value = xtuner_lora.merged(
            whole, self._read(first, torch.float32), self._read(second, torch.float32), self.scale
        ).to(dtype or torch.float32)
        check_finite(value, f"{name} with its LoRA", where=str(self.sources[first][0].where))
        return value

    def _read(self, name: str, dtype: torch.dtype | None) -> Tensor:
        files, sources = self.sources[name]
        dtype = files.tensor(sources[0].name).dtype if dtype is None else dtype
        return gathered(name, sources, files, self.wanted[name].shape, dtype)


@dataclass
class Colva:
    """A CoLVA that is known to be whole, to be written (``colva_folder.py``).

    Attributes:
        kind: one of ``xtuner_lora.FAMILIES``.
        trunk, expert: without memory.
        adapter: without memory.
        lora: what was trained of the trunk, unless it comes merged.
        tokenizer: with :data:`VPT`.
        stop: id of the token that ends an answer.
        folder: of the base.
        notes: for whoever loads it.
    """

    kind: str
    trunk: Any
    expert: Expert
    adapter: ExpertAdapter
    weights: Weights
    lora: xtuner_lora.Lora | None
    tokenizer: Any
    stop: int
    folder: Path
    notes: dict[str, Any]


def plan_export(folder: Path, tokenizer: Path | None) -> Colva:
    """CoLVA as its authors exported it, all in one folder.

    Raises:
        CheckpointError: something does not fit.
    """
    found = internvl.read_internvl(folder)
    if found.radio is None:
        raise CheckpointError(
            "there is no radio_config: this is an InternVL2 without CoLVA's expert",
            where=str(folder),
            mend="name it as internvl2=, with radio=, colva-sft= and colva-adapter=",
        )
    trunk = _Trunk.internvl2(found, tokenizer or folder)
    expert, version = radio.radio_config(found.radio, align_corners=ALIGN_CORNERS)
    rules = [*internvl.internvl_rules(), *radio.radio_rules(r"object_tokenizer\."), *ADAPTER_RULES]
    layout = Layout("CoLVA's export", rules, [TRUNK, EXPERT, ADAPTER])
    return _put_together(trunk, expert, [Release(layout, open_tensors(folder))], None, folder, version, keep=False)


def plan_training_files(
    places: Mapping[str, Path],
    tokenizer: Path | None,
    *,
    alpha: float | None = None,
    keep_lora: bool = False,
    sft_adapter: bool = False,
) -> Colva:
    """CoLVA from a base, RADIO, and the files of its two trainings.

    Args:
        places: by kind: a base, radio, colva-sft and, unless ``sft_adapter``, colva-adapter.
        tokenizer: folder, if not that of the base.
        alpha: of the LoRA, if it is no release's.
        keep_lora: the LoRA stays beside the trunk.
        sft_adapter: the adapter comes from the SFT's file.

    Raises:
        CheckpointError: something does not fit.
    """
    kind = next(base for base in xtuner_lora.FAMILIES if base in places)
    folder = places[kind]
    sft = open_tensors(places["colva-sft"], INERT)
    lora = xtuner_lora.read_lora(sft, kind, alpha)
    layout = lora.layout(ADAPTER_RULES, [ADAPTER]) if sft_adapter else lora.layout([xtuner_lora.LEFT], [])
    releases = [Release(layout, sft)]
    if not sft_adapter:
        releases.append(_pretraining(places["colva-adapter"]))
    trunk = _Trunk.of(kind, folder, tokenizer or folder)
    releases.append(Release(Layout(f"the base {kind}", trunk.rules, [TRUNK]), open_tensors(folder)))
    expert, version = radio.radio_config(radio.read_radio(places["radio"]), align_corners=ALIGN_CORNERS)
    radio.refuse_other_version(version, str(places["radio"]))
    releases.append(Release(Layout("RADIO", radio.radio_rules(), [EXPERT]), open_tensors(places["radio"])))
    return _put_together(trunk, expert, releases, lora, folder, version, keep=keep_lora)


def _pretraining(place: Path) -> Release:
    """The adapter's file.

    Raises:
        CheckpointError: it is one of the SFT, or holds no adapter.
    """
    files = open_tensors(place, INERT)
    if xtuner_lora.has_lora(files):
        raise CheckpointError(
            "it holds a LoRA: this is a file of the SFT, and the adapter is the pretraining's",
            where=str(place),
            mend="name it as colva-sft=, and the pretraining's file as colva-adapter=",
        )
    if not xtuner_lora.has_adapter(files):
        raise CheckpointError(
            "it holds no adapter (ot_mlp1)", where=str(place), mend="name the file of the pretraining"
        )
    return Release(Layout("CoLVA's pretraining", ADAPTER_RULES, [ADAPTER]), files)


@dataclass
class _Trunk:
    """A base without memory, with its tokenizer and the rules for its names."""

    kind: str
    model: Any
    rules: list[Any]
    tokenizer: Any
    stop: int
    notes: dict[str, Any]

    @classmethod
    def of(cls, kind: str, folder: Path, tokens: Path) -> _Trunk:
        if kind == "qwen2-vl":
            return cls.qwen2_vl(folder, tokens)
        found = internvl.read_internvl(folder)
        if found.radio is not None:
            raise CheckpointError(
                "there is a radio_config: this is CoLVA's export, not its base", where=str(folder), mend="colva=FOLDER"
            )
        return cls.internvl2(found, tokens)

    @classmethod
    def internvl2(cls, found: internvl.InternVL, tokens: Path) -> _Trunk:
        tokenizer = load_phi3_tokenizer(tokens)
        config: Any = found.config
        add_object_token(tokenizer, config.text_config.vocab_size, tokens)
        config.image_token_id = id_of(tokenizer, internvl.IMAGE_TOKEN, tokens)
        stop = internvl.STOPS[found.template]
        few, many, thumbnail = found.tiles
        notes = {
            "template": found.template,
            "stop_token": stop,
            "tiles": {"min": few, "max": many, "thumbnail": thumbnail},
            "positions": "as usual",
        }
        with _without_memory():
            model = InternVLForConditionalGeneration(config)
        stop_id = id_of(tokenizer, stop, tokens)
        return cls("internvl2", model, internvl.internvl_rules(), tokenizer, stop_id, notes)

    @classmethod
    def qwen2_vl(cls, folder: Path, tokens: Path) -> _Trunk:
        config = qwen2_vl.read_qwen2_vl(folder)
        tokenizer = load_qwen_tokenizer(tokens)
        numbers = {"<|image_pad|>": config.image_token_id, "<|video_pad|>": config.video_token_id,
                   "<|vision_start|>": config.vision_start_token_id,
                   "<|vision_end|>": config.vision_end_token_id}  # fmt: skip
        for token, number in numbers.items():
            if (found := id_of(tokenizer, token, tokens)) != number:
                raise CheckpointError(
                    f"{token} is {found} for the tokenizer and {number} for the model",
                    where=str(tokens),
                    mend="take tokenizer and weights of one release",
                )
        add_object_token(tokenizer, config.video_token_id + 1, tokens)  # it was the last of Qwen2-VL's
        stop = "<|im_end|>"
        # CoLVA trained and ran Qwen2-VL with plain positions, the same on all three axes (facts 6.1 row B5).
        notes = {"template": "the tokenizer's", "stop_token": stop, "positions": "1-D on all three axes"}
        with _without_memory():
            model = Qwen2VLForConditionalGeneration(config)
        rules = qwen2_vl.qwen2_vl_rules(tied=config.tie_word_embeddings)
        return cls("qwen2-vl", model, rules, tokenizer, id_of(tokenizer, stop, tokens), notes)


@contextmanager
def _without_memory() -> Iterator[None]:
    """On the meta device, and without advice of transformers on settings that are not ours."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with torch.device("meta"):
            yield
    finally:
        transformers_logging.set_verbosity(level)


def _put_together(
    trunk: _Trunk,
    expert_config: Any,
    releases: list[Release],
    lora: xtuner_lora.Lora | None,
    folder: Path,
    version: str,
    *,
    keep: bool,
) -> Colva:
    with _without_memory():
        expert = Expert(expert_config)
        adapter = ExpertAdapter(expert_config.hidden_size, trunk.model.config.text_config.hidden_size)
    own = _own(trunk.model)
    wanted = {f"{TRUNK}{name}": value for name, value in own.items()}
    wanted |= {f"{EXPERT}{name}": v for name, v in expert.state_dict().items() if radio.ABSENT not in name}
    wanted |= {f"{ADAPTER}{name}": value for name, value in adapter.state_dict().items()}
    wanted |= lora.wanted(own) if lora else {}
    summaries = {f"{EXPERT}{radio.SUMMARIES}": torch.tensor(expert_config.summary_idxs)}
    weights = Weights(wanted, scale=lora.scale if lora and not keep else None, made=summaries)
    weights.match(releases)
    for release in releases:
        qwen2_vl.check_tied(trunk.model.config, release.files)
    _check_summaries(weights, releases, expert_config.summary_idxs)
    _check_deviations(weights)
    notes = trunk.notes | {
        "kind": trunk.kind,
        "vpt_token": VPT,
        "vpt_id": trunk.tokenizer.get_vocab()[VPT],
        "image_token_id": trunk.model.config.image_token_id,
        "align_corners": ALIGN_CORNERS,
        "mask_threshold": MASK_THRESHOLD,
        "pool_epsilon": POOL_EPSILON,
        "radio_version": version,
        "lora": lora and {"rank": lora.rank, "alpha": lora.alpha, "scale": lora.scale, "merged": not keep},
    }
    return Colva(
        trunk.kind, trunk.model, expert, adapter, weights, lora if keep else None, trunk.tokenizer, trunk.stop, folder,
        notes,
    )  # fmt: skip


def _own(model: Any) -> dict[str, Tensor]:
    """Weights of a model, a tied output layer left out."""
    tied = set(model.all_tied_weights_keys)
    return {name: value for name, value in model.state_dict().items() if name not in tied}


def _check_summaries(weights: Weights, releases: list[Release], expected: list[int]) -> None:
    """Numbers of summary tokens, which are no weights, in every file that has them."""
    for plan, release in zip(weights.plans, releases, strict=True):
        for name in plan.ignored.get(radio.COUNTED, []):
            given = release.files.tensor(name)
            plain = given.dtype in (torch.int64, torch.int32) and given.layout == torch.strided and not given.is_meta
            if not plain or given.tolist() != expected:
                raise CheckpointError(
                    f"the summary tokens are {given.tolist() if plain else given.dtype} in the weights and {expected} "
                    "by the configuration",
                    where=str(release.files.where),
                    mend="take config.json and weights of one release",
                )


def _check_deviations(weights: Weights) -> None:
    """Pixels are divided by them."""
    name = f"{EXPERT}input_conditioner.norm_std"
    if not (found := weights.value(name, torch.float32)).gt(0).all():
        raise CheckpointError(
            f"the deviations of pixels are {found.flatten().tolist()}, and must be above zero",
            where=str(weights.sources[name][0].where),
            mend="the file is damaged: download it again",
        )
