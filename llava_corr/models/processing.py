"""The processor: dialogues and pictures in, one batch with checked index maps out.

Every ``<image>`` is expanded to its Q image tokens, so labels, padding and all positions follow from the ids alone.
A count that does not agree is an error with the sample's id and both numbers; nothing is cut to fit.
Axis letters as in ``modeling.py``; M is the side of the canvas on which masks are compared.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import BatchFeature, ProcessorMixin

from ..errors import CountMismatchError, SampleError
from ..grammar import IMAGE, OBJECT_TOKEN, SEG
from ..losses.language import IGNORE_INDEX
from ..records import Dialogue

Picture = NDArray[np.uint8]
# The processors would take a picture that is one, three or four pixels high for one of so many channels.
RESIZE_ONLY = {
    "do_rescale": False,
    "do_normalize": False,
    "input_data_format": "channels_last",
    "return_tensors": "np",
}


class Encoded(NamedTuple):
    """One dialogue as tokens.

    Attributes:
        ids: with every <image> expanded to its Q tokens.
        labels: the ids that are trained, -100 elsewhere.
        guide: place of the last token before the first answer.
    """

    ids: list[int]
    labels: list[int]
    guide: int


class LlavaCorrProcessor(ProcessorMixin):
    """Tokenizer and the image preprocessings (vision tower, DINOv2, grounding).

    Args:
        image_processor: resizes for the vision tower (BLIP: direct bicubic resize, aspect not kept; facts 4.1. CLIP:
            short side, then centre crop; facts 1.4).
        grounding_image_processor: longest side to the canvas, padded right and bottom (SAM; facts 1.4).
        tokenizer: a fast tokenizer that knows the grammar's special tokens.
        tokens_per_image: Q, positions that every <image> takes.
        semantic_size: side of the square that DINOv2 sees, resized like the tower's so that both grids cover the same
            picture (facts 5.3 row 7); None where there is no DINOv2 or it sees the tower's own square.
        system: sentence in front of every dialogue; may be empty.
        mask_size: M.
    """

    def __init__(
        self,
        image_processor: Any = None,
        grounding_image_processor: Any = None,
        tokenizer: Any = None,
        tokens_per_image: int = 32,
        semantic_size: int | None = None,
        system: str = "",
        mask_size: int = 256,
        **kwargs: Any,
    ) -> None:
        self.tokens_per_image = tokens_per_image
        self.semantic_size = semantic_size
        self.system = system
        self.mask_size = mask_size
        super().__init__(image_processor, grounding_image_processor, tokenizer, **kwargs)
        self.grounding_image_processor: Any
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE)
        self.seg_token_id = tokenizer.convert_tokens_to_ids(SEG)

    @property
    def canvas(self) -> int:
        """Side of the grounding square, pixels."""
        return self.grounding_image_processor.pad_size["height"]

    def __call__(
        self,
        dialogues: Sequence[Dialogue],
        pictures: Mapping[str, Picture] | None,
        *,
        features: Mapping[str, Mapping[str, Tensor]] | None = None,
        padding_side: str = "right",
        grounding: bool = True,
    ) -> BatchFeature:
        """Builds a batch for ``forward`` (answers given) or ``answer`` (last answer None, pad left).

        Args:
            dialogues: B conversations.
            pictures: key -> H x W x 3 uint8; every key that a dialogue names. Where no dialogue has an image, a grey
                picture stands in for the towers: every rank runs every module. None where features are given for every
                tower.
            features: key -> what ``forward`` takes in place of that picture's pixels, by name, with its
                ``grounding_sizes``: of every picture the same. Where no dialogue has an image, one must stand in.
            grounding: with the pictures and masks of the grounding tower; without them ``forward`` trains words only.

        Raises:
            CountMismatchError: markers and pictures, or [SEG]s and targets, differ in number.
            SampleError: a dialogue is longer than the trunk's context, or a target mask has another size than its
                picture.
        """
        keys = list(dict.fromkeys(key for dialogue in dialogues for key in dialogue.image_keys))
        unique = {key: u for u, key in enumerate(keys)}
        encoded = [self.encode(dialogue) for dialogue in dialogues]
        batch = self._pad(encoded, padding_side)
        batch["image_index"] = torch.tensor([unique[k] for d in dialogues for k in d.image_keys], dtype=torch.long)
        batch["image_owner"] = torch.tensor(
            [row for row, d in enumerate(dialogues) for _ in d.image_keys], dtype=torch.long
        )
        batch |= _stacked(keys, features)
        if pictures is not None:
            shown = [pictures[key] for key in keys] or [np.full((self.canvas, self.canvas, 3), 128, np.uint8)]
            if grounding:
                _check_sizes(dialogues, pictures)
            batch |= self.pixels(shown, grounding=grounding, known=batch.keys())
        if not grounding:
            return BatchFeature(batch)
        trained = (batch["labels"] == self.seg_token_id).nonzero()
        batch["seg_positions"] = trained
        batch["seg_image"] = torch.tensor(
            [unique[d.image_keys[index]] for d in dialogues for index, _ in d.targets], dtype=torch.long
        )
        batch["mask_targets"] = self.mask_targets([mask for d in dialogues for _, mask in d.targets])
        return BatchFeature(batch)

    def encode(self, dialogue: Dialogue) -> Encoded:
        """Token ids, labels and guide position of one dialogue; only the assistant's words and their end are trained.

        Raises:
            CountMismatchError: markers and pictures, or [SEG]s and targets, differ in number.
            SampleError: it is longer than the trunk's context.
        """
        self._check_counts(dialogue)
        text, spans = self._layout(dialogue)
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, labels = [self.tokenizer.bos_token_id], [IGNORE_INDEX]
        for token, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
            trained = any(a <= start and end <= b for a, b in spans)
            repeat = self.tokens_per_image if token == self.image_token_id else 1
            ids += [token] * repeat
            labels += [token if trained else IGNORE_INDEX] * repeat
        limit = self.tokenizer.model_max_length
        if len(ids) > limit:
            raise SampleError(
                f"{len(ids)} tokens, the context holds {limit}",
                where=f"sample {dialogue.id}",
                mend="leave the sample out, use fewer images, or a trunk with a longer context; nothing is cut",
            )
        first_answer = next((k for k, label in enumerate(labels) if label != IGNORE_INDEX), len(ids))
        return Encoded(ids, labels, first_answer - 1)

    def _check_counts(self, dialogue: Dialogue) -> None:
        users = "".join(user for user, _ in dialogue.turns)
        answers = "".join(assistant or "" for _, assistant in dialogue.turns)
        for name, found, wanted in (
            ("<image> markers and pictures", users.count(IMAGE), len(dialogue.image_keys)),
            ("[SEG] tokens and masks", answers.count(SEG), len(dialogue.targets)),
            ("object tokens and objects", (users + answers).count(OBJECT_TOKEN), dialogue.objects),
        ):
            if found != wanted:
                raise CountMismatchError(
                    f"{name} differ: {found} and {wanted}", where=f"sample {dialogue.id}", mend="run llava-corr doctor"
                )
        if dialogue.objects:
            raise SampleError(
                f"{dialogue.objects} objects to match, and no expert that could read them",
                where=f"sample {dialogue.id}",
                mend="leave matching dialogues out: this composition has no RADIO expert",
            )
        if SEG in users or IMAGE in answers:
            raise CountMismatchError(
                f"{SEG} in a question or {IMAGE} in an answer", where=f"sample {dialogue.id}", mend="remove it"
            )

    def _layout(self, dialogue: Dialogue) -> tuple[str, list[tuple[int, int]]]:
        """The whole text (Vicuna v1 template) and the character spans that are trained."""
        text, spans = self.system, []
        for user, assistant in dialogue.turns:
            text += f"{' ' if text and not text.endswith(self.tokenizer.eos_token) else ''}USER: {user} ASSISTANT:"
            if assistant is not None:
                start = len(text)
                text += f" {assistant}{self.tokenizer.eos_token}"
                spans.append((start, len(text)))
        return text, spans

    def _pad(self, encoded: Sequence[Encoded], side: str) -> dict[str, Tensor]:
        longest = max(len(ids) for ids, _, _ in encoded)
        shape = (len(encoded), longest)
        input_ids = torch.full(shape, self.tokenizer.pad_token_id)
        labels = torch.full(shape, IGNORE_INDEX)
        attention_mask = torch.zeros(shape, dtype=torch.long)
        guides = torch.zeros(len(encoded), dtype=torch.long)
        for row, (ids, targets, guide) in enumerate(encoded):
            shift = longest - len(ids) if side == "left" else 0
            place = slice(shift, shift + len(ids))
            guides[row] = shift + guide
            input_ids[row, place] = torch.tensor(ids)
            labels[row, place] = torch.tensor(targets)
            attention_mask[row, place] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels, "guide_positions": guides}

    def pixels(
        self, pictures: Sequence[Picture], *, grounding: bool = True, known: Container[str] = ()
    ) -> dict[str, Tensor]:
        """Pictures as the towers see them, uint8; normalisation happens on the device.

        Args:
            grounding: with those for the grounding tower.
            known: features that are there already, so that their tower needs no picture.
        """
        # without a view of its own, DINOv2 may look at the vision tower's
        seen = {} if "patches" in known and "semantic" in known else self._vision(pictures)
        if grounding and "grounding_features" not in known:
            seen |= self._grounding(pictures)
        return seen

    def _vision(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Pictures for the vision tower and DINOv2."""
        processor: Any = self.image_processor
        out = {"pixel_values": _as_uint8(processor(list(pictures), **RESIZE_ONLY)["pixel_values"])}
        if self.semantic_size is not None:
            square = (self.semantic_size, self.semantic_size)
            resized = [np.asarray(Image.fromarray(p).resize(square, Image.Resampling.BICUBIC)) for p in pictures]
            out["semantic_pixels"] = torch.from_numpy(np.stack(resized).transpose(0, 3, 1, 2).copy())
        return out

    def _grounding(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Pictures for the grounding tower, likewise, with their sizes on the canvas."""
        grounding = self.grounding_image_processor([self._not_too_slim(p) for p in pictures], **RESIZE_ONLY)
        return {
            "grounding_pixels": _as_uint8(grounding["pixel_values"]),
            "grounding_sizes": torch.as_tensor(np.asarray(grounding["reshaped_input_sizes"]), dtype=torch.long),
        }

    def _not_too_slim(self, picture: Picture) -> Picture:
        """At its size on the canvas where its processor could shrink it to nothing; other pictures as they are."""
        height, width = self.grounding_size(*picture.shape[:2])
        if min(height, width) > 1:
            return picture
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))

    def mask_targets(self, masks: Sequence[NDArray[np.bool_]]) -> Tensor:
        """K x M x M uint8: foreground share of each canvas cell, times 255, exact by area."""
        side, block = self.mask_size, self.canvas // self.mask_size
        out = np.zeros((len(masks), side, side), np.uint8)
        for k, mask in enumerate(masks):
            shares: NDArray[Any] = mask
            for length in self.grounding_size(*mask.shape):  # rows first, then columns
                scale = len(shares) / length
                edges = np.minimum(np.arange(side + 1) * block, length) * scale
                shares = (_sums_between(shares, edges) / (scale * block)).T
            out[k] = np.rint(255 * shares)
        return torch.from_numpy(out)

    def grounding_size(self, height: int, width: int) -> tuple[int, int]:
        """Size of a picture on the grounding square, before padding: longest side to the canvas, half up, from 1."""
        scale = self.canvas / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def mask_probabilities(self, logits_Khw: Tensor, sizes: Sequence[tuple[int, int]]) -> list[NDArray[np.float32]]:
        """Foreground probabilities at original sizes: logits to the canvas, crop, original size (facts 1.5, 4)."""
        if len(logits_Khw) == 0:
            return []
        canvas = F.interpolate(
            logits_Khw[:, None].float(), (self.canvas, self.canvas), mode="bilinear", align_corners=False
        )
        out = []
        for logits, size in zip(canvas, sizes, strict=True):
            height, width = self.grounding_size(*size)
            picture = logits[None, :, :height, :width]
            if (height, width) != tuple(size):
                picture = F.interpolate(picture, size, mode="bilinear", align_corners=False)
            out.append(picture[0, 0].sigmoid().cpu().numpy())
        return out


def _check_sizes(dialogues: Sequence[Dialogue], pictures: Mapping[str, Picture]) -> None:
    for dialogue in dialogues:
        for number, (index, mask) in enumerate(dialogue.targets):
            size = pictures[dialogue.image_keys[index]].shape[:2]
            if mask.shape != size:
                raise SampleError(
                    f"target mask {number} (from 0) is {mask.shape}, its picture {index} {size} (height, width)",
                    where=f"sample {dialogue.id}",
                    mend="make the mask at the size of the picture that is passed",
                )


def _sums_between(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums along axis 0 from each edge to the next; a row that an edge cuts counts by its share."""
    total = np.zeros((len(values) + 1, values.shape[1]), np.int32 if values.dtype == bool else np.float64)
    np.cumsum(values, axis=0, out=total[1:])
    whole = np.minimum(edges.astype(int), len(values) - 1)
    return np.diff(total[whole] + (edges - whole)[:, None] * values[whole], axis=0)


def _stacked(keys: Sequence[str], features: Mapping[str, Mapping[str, Tensor]] | None) -> dict[str, Tensor]:
    """One tensor a name, pictures in the order of the keys; the stand-in alone where there are none."""
    if not features:
        return {}
    known = [features[key] for key in keys] or list(features.values())[:1]
    return {name: torch.stack([one[name] for one in known]) for name in known[0]}


def _as_uint8(values: Any) -> Tensor:
    """The PIL processors resize uint8 pictures to uint8 values, whatever the type they hand back."""
    return torch.from_numpy(np.asarray(values).astype(np.uint8, copy=False))
