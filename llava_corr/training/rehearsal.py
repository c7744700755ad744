"""A training step without memory: the model's own forward and backward over shapes, with its tensors' bytes counted.

Weights, pictures and states are fake tensors, which have a shape and a number format but no values; ids, labels and
places are real, since the code asks for their values. What is counted is what operations allocate and autograd keeps,
not the scratch memory inside a kernel, the CUDA context, or what an allocator loses between blocks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..experiment import ExperimentConfig
from ..losses.language import IGNORE_INDEX
from ..models.adapters import choose_trained
from ..models.attention import FALLBACK, FLASH
from ..models.build import halve_frozen
from ..models.configuration import LlavaCorrConfig
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.passes import in_passes
from .live_bytes import LiveBytes
from .model import loss_weights

FEATURES = ("patches", "semantic", "grounding_features")


@dataclass(frozen=True)
class BatchShape:
    """What the memory of a micro-batch depends on.

    Attributes:
        dialogues, length: of ``input_ids``.
        slots: image places of all dialogues together.
        pictures: distinct ones among them.
        masks: [SEG]s that are trained; None where no masks are drawn.
        trained: positions whose next token is trained.
        padded: not all dialogues are of one length, so that attention has a mask.
        given: features that come with the batch, from a cache.
    """

    dialogues: int
    length: int
    slots: int
    pictures: int
    masks: int | None
    trained: int
    padded: bool
    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> BatchShape:
        """Of a batch that the processor made."""
        first = next(batch[name] for name in ("pixel_values", *FEATURES, "grounding_pixels") if name in batch)
        dialogues, length = batch["input_ids"].shape
        return cls(
            dialogues,
            length,
            slots=len(batch["image_index"]),
            pictures=len(first),
            masks=len(batch["seg_image"]) if "seg_image" in batch else None,
            trained=int((batch["labels"][:, 1:] != IGNORE_INDEX).sum()),
            padded=not bool(batch["attention_mask"].all()),
            given=frozenset(name for name in FEATURES if name in batch),
        )

    @classmethod
    def assumed(cls, config: LlavaCorrConfig, dialogues: int, images: int, text: int, masks: int | None) -> BatchShape:
        """Of dialogues with so many pictures, text tokens (half of them answer) and masks each; padded where there are
        several, as nearly every batch is."""
        slots = dialogues * images
        length = text + images * config.tokens_per_image
        drawn = None if masks is None else dialogues * masks
        return cls(dialogues, length, slots, slots, drawn, dialogues * (text // 2), padded=dialogues > 1)

    def cached(self, names: Sequence[str]) -> BatchShape:
        """The same with features from a cache."""
        return replace(self, given=frozenset(names))


@dataclass(frozen=True)
class Rehearsal:
    """Bytes of one micro-step.

    Attributes:
        weights: parameters and buffers.
        every: numbers of every parameter, in order.
        sizes: of those that are trained.
        gradients: of them.
        batch: what the processor made, on the device.
        towers: most at a time while pictures are looked at.
        saved: alive between forward and backward: what autograd keeps, features it needs, the output.
        step: most at a time from the language model's forward to the end of the backward, features and gradients
            included.
    """

    weights: int
    every: tuple[int, ...]
    sizes: tuple[int, ...]
    gradients: int
    batch: int
    towers: int
    saved: int
    step: int

    @property
    def trained(self) -> int:
        """Parameters that are trained, counted in numbers."""
        return sum(self.sizes)

    @property
    def peak(self) -> int:
        """Most at a time beside weights, batch and what stays between micro-steps."""
        return max(self.towers, self.step)


class Rehearser:
    """A model of shapes, for one micro-step after the other.

    Args:
        experiment: its model section, losses, LoRA, precision and checkpointing.
        config: the composition.
        half: all weights in bfloat16 and no autocast, as under DeepSpeed.
        gpu: with the attention kernels of GPUs, which keep no matrix of scores, and their autocast.
    """

    def __init__(self, experiment: ExperimentConfig, config: LlavaCorrConfig, *, half: bool, gpu: bool) -> None:
        self.experiment, self.config, self.gpu = experiment, without_flash(config), gpu
        self.autocast = experiment.training.bf16 and not half
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self.model = self._build(half)

    def _build(self, half: bool) -> LlavaCorrForConditionalGeneration:
        training = self.experiment.training
        with torch.device("meta"):
            model = LlavaCorrForConditionalGeneration(self.config)
            choose_trained(model, training.trainable, training.lora, _AnyRows(), masks=training.losses.draw)  # type: ignore[arg-type]
        if half:
            model.to(dtype=torch.bfloat16)  # type: ignore[call-arg]
        elif self.experiment.model.frozen_dtype == "bfloat16":
            halve_frozen(model)
        self._fake(model)
        model.loss_weights = loss_weights(training.losses)
        model.max_images_per_tower_pass = self.experiment.model.max_images_per_tower_pass
        model._in_passes = self._in_few_passes  # type: ignore[method-assign]
        if training.gradient_checkpointing:
            again = {"context_fn": lambda: (nullcontext(), self._kernels())}
            checkpoint_activations(model, {"use_reentrant": False} | again)
        return model.train()

    def _in_few_passes(self, tower: nn.Module, encode: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """As the model's own, but of many passes through a frozen tower those in the middle only leave their result:
        each takes as much as the first, beside fewer results than the last whole one has beside it."""
        longest = self.model.max_images_per_tower_pass
        passes = -(-len(inputs[0]) // (longest or len(inputs[0])))
        if passes <= 3 or any(p.requires_grad for p in tower.parameters()):
            return in_passes(tower, encode, inputs, longest)
        made: list[Tensor] = []

        def one(*pictures: Tensor) -> Tensor:
            middle = 0 < len(made) < passes - 2
            made.append(torch.empty_like(made[0]) if middle else encode(*pictures))
            return made[-1]

        return in_passes(tower, one, inputs, longest)

    def _fake(self, model: nn.Module) -> None:
        """Turns meta tensors into fake ones, which know the device they stand for; what is shared stays shared."""
        made: dict[int, Any] = {}
        meta = [*model.parameters(), *model.buffers()]  # kept until the end: ids of dead objects come again
        for module in model.modules():
            for held in (module._parameters, module._buffers):
                for name, value in held.items():
                    if value is None or not value.is_meta:
                        continue
                    if id(value) not in made:
                        made[id(value)] = self._of(value)
                    held[name] = made[id(value)]
        del meta

    def _of(self, value: Tensor) -> Tensor:
        fake = FakeTensor(self._fakes, value.detach(), torch.device("cpu"))
        return nn.Parameter(fake, value.requires_grad) if isinstance(value, nn.Parameter) else fake

    def step(self, shape: BatchShape, *, gradients: bool = False) -> Rehearsal:
        """One micro-step.

        Args:
            gradients: some are there already, of a micro-step before; then they count for nothing.
        """
        batch = self._batch(shape)
        weights = [*self.model.parameters(), *self.model.buffers()]
        trained = [p for p in weights if p.requires_grad]
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter) if gradients else None
        held = [*weights, *batch.values(), *(p.grad for p in trained if p.grad is not None)]
        live = LiveBytes(held)
        with live, _Places(), self._watched_towers(live) as towers:
            with self._kernels(), torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                output = self.model(**batch)
                saved = live.now
            loss = output.loss
            del output  # as the trainer does: the loss alone goes on
            loss.backward()
            step = live.peak
        found = sum(p.grad.nbytes for p in trained if p.grad is not None)
        self.model.zero_grad()
        whole = {id(value): value for value in weights}.values()
        return Rehearsal(
            weights=_bytes(whole),
            every=tuple(p.numel() for p in self.model.parameters()),
            sizes=tuple(p.numel() for p in trained),
            gradients=found,
            batch=_bytes(batch.values()),
            towers=towers[0],
            saved=saved,
            step=step,
        )

    @contextmanager
    def _watched_towers(self, live: LiveBytes) -> Iterator[list[int]]:
        """Notes the most that was alive while the towers looked, and forgets it for the rest of the step.

        In the midst of one forward: features that went in by a second one would be cast to the model's format.
        """
        look, peaks = self.model.features, list[int]()

        def features(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
            seen = look(*args, **kwargs)
            peaks.append(live.peak)
            live.mark()
            return seen

        self.model.features = features  # type: ignore[method-assign]
        try:
            yield peaks
        finally:
            del self.model.features

    def _kernels(self) -> Any:
        return _GpuKernels(self.autocast) if self.gpu else nullcontext()

    def _batch(self, shape: BatchShape) -> dict[str, Tensor]:
        c, n, s = self.config, shape.dialogues, shape.length
        image = c.tokens_per_image
        ids = torch.full((n, s), c.seg_token_id)
        places = [range(k * shape.slots // n, (k + 1) * shape.slots // n) for k in range(n)]  # slots of each dialogue
        for row, own in zip(ids, places, strict=True):
            row[1 : 1 + len(own) * image] = c.image_token_id
        labels = torch.full((n, s), IGNORE_INDEX)
        flat = torch.full((n * (s - 1),), IGNORE_INDEX)
        flat[len(flat) - shape.trained :] = 1
        labels[:, 1:] = flat.view(n, s - 1)
        mask = torch.ones_like(ids)
        mask[0, -1] = int(not shape.padded)
        owners = torch.tensor([k for k, own in enumerate(places) for _ in own], dtype=torch.long)
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "guide_positions": torch.full((n,), s - 2),
            "image_index": torch.arange(shape.slots) % max(1, shape.pictures),
            "image_owner": owners,
            "labels": labels,
        }
        batch |= self._pictures(shape)
        if shape.masks is not None:
            side = self.experiment.training.losses.mask_size
            which = torch.arange(shape.masks)
            batch["seg_positions"] = torch.stack([which % n, s - 1 - which % max(1, s // 2)], 1)
            batch["seg_image"] = which % shape.pictures
            batch["mask_targets"] = self._empty(shape.masks, side, side, dtype=torch.uint8)
            batch["grounding_sizes"] = self._empty(shape.pictures, 2, dtype=torch.long)
        return batch

    def _pictures(self, shape: BatchShape) -> dict[str, Tensor]:
        """Pixels for the towers that are run, features in the place of the others."""
        c, sam = self.config, self.config.grounding_config.vision_config
        number = torch.bfloat16 if self.experiment.training.bf16 else torch.float32
        cells = sam.image_size // sam.patch_size
        patches = (c.vision_config.image_size // c.vision_config.patch_size) ** 2 + 1
        pixels: dict[str, tuple[int, ...]] = {"pixel_values": (3, *2 * (c.vision_config.image_size,))}
        features: dict[str, tuple[int, ...]] = {"patches": (patches, c.vision_config.hidden_size)}
        of = {"pixel_values": "patches", "semantic_pixels": "semantic", "grounding_pixels": "grounding_features"}
        if c.semantic_config is not None:
            tokens = (c.semantic_size // c.semantic_config.patch_size) ** 2
            pixels["semantic_pixels"] = (3, c.semantic_size, c.semantic_size)
            features["semantic"] = (tokens, c.semantic_config.hidden_size)
        if shape.masks is not None:
            pixels["grounding_pixels"] = (3, sam.image_size, sam.image_size)
            features["grounding_features"] = (sam.output_channels, cells, cells)
        out = {}
        for name, size in pixels.items():
            if of[name] in shape.given:
                out[of[name]] = self._empty(shape.pictures, *features[of[name]], dtype=number)
            else:
                out[name] = self._empty(shape.pictures, *size, dtype=torch.uint8)
        return out

    def _empty(self, *shape: int, dtype: torch.dtype) -> Tensor:
        with self._fakes:
            return torch.empty(*shape, dtype=dtype)


def without_flash(config: LlavaCorrConfig) -> LlavaCorrConfig:
    """With SDPA in the place of flash attention, which has no kernel for shapes and keeps as much."""
    parts = [getattr(config, name, None) for name in config.sub_configs]
    if not any(getattr(part, "_attn_implementation", None) == FLASH for part in (config, *parts)):
        return config
    changed = copy.deepcopy(config)
    changed._attn_implementation = FALLBACK
    return changed


class _AnyRows:
    """Stands for the tokenizer: which rows are trained makes no difference to memory, only how many."""

    unk_token_id = None

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def convert_tokens_to_ids(self, token: str) -> int:
        return self._known.setdefault(token, len(self._known))


class _Places(TorchDispatchMode):
    """Turns choices by truth values, which are real, into choices by place: their number is known only here."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.index.Tensor:
            chosen: list[Tensor | None] = []
            for index in args[1]:
                real = index is not None and index.dtype == torch.bool and not isinstance(index, FakeTensor)
                chosen += list(index.nonzero().unbind(1)) if real else [index]
            args = (args[0], chosen)
        return func(*args, **(kwargs or {}))


# What CUDA's autocast computes in float32 and a CPU's does not; the losses and the trunk's norms do so by themselves.
IN_FLOAT32 = (F.layer_norm, F.group_norm, F.softmax, F.log_softmax)


class _GpuKernels(TorchFunctionMode):
    """What GPUs do otherwise: memory-efficient attention, and autocast that keeps norms and softmax in float32."""

    def __init__(self, autocast: bool) -> None:
        super().__init__()
        self.autocast = autocast

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _efficient_attention(*args, **kwargs)
        if self.autocast and func in IN_FLOAT32:
            args = [a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args]
        return func(*args, **kwargs)


def _efficient_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Keeps the result and a number for every row of scores; heads and axes as in torch's attention."""
    del enable_gqa  # Llama of these sizes has a key for every head
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (t.to(torch.get_autocast_dtype("cpu")) for t in (query, key, value))
    bias = None
    if attn_mask is not None:
        bias = attn_mask if attn_mask.is_floating_point() else query.new_zeros(attn_mask.shape)
        bias = bias.to(query.dtype).expand(*query.shape[:3], key.shape[2])
    keep = torch.is_grad_enabled()
    attend = torch.ops.aten._scaled_dot_product_efficient_attention
    return attend(query, key, value, bias, keep, dropout_p, is_causal, scale=scale)[0]


def checkpoint_activations(model: Any, options: dict[str, Any]) -> None:
    """By the name that transformers has for it; the older one warns of its end."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable(options)


def _bytes(tensors: Any) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
