"""Answers with masks from a trained model: batched over samples, or one question about some pictures.

predictor = Predictor.from_pretrained("runs/tiny-calico/model")
predictor.set_images([chair, bench])
prediction = predictor.ask("Please segment the common parts of the objects.")
chair_parts, bench_parts = predictor.segment("common_parts")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import BatchFeature

from ..datasets.collate import load_pictures, to_dialogue
from ..datasets.mixedparts.phrasings import in_words
from ..errors import CheckpointError, SampleError
from ..files import find_shipped
from ..grammar import IMAGE, SEG, ParsedAnswer, build_question, names_parts, normalise_label, parse_answer, spaced
from ..models.checkpoints.model_folder import load_model, load_processor
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.processing import LlavaCorrProcessor
from ..records import Dialogue, Mask, Prediction, Sample, Segment
from .pictures import Picture, as_picture
from .tower_memo import TowerMemo

PROMPT = ("input_ids", "attention_mask", "guide_positions", "image_index", "image_owner")
Precision = Literal["float32", "bfloat16"]


class Predictor:
    """A model with its processor, ready to answer.

    Args:
        model: in eval mode afterwards.
        processor: the one it was trained with.
        max_new_tokens: an answer that is longer is cut there, and its trail says so.
        max_images_per_tower_pass: pictures that go through a tower at once; SAM's attention takes a gigabyte each at
            full size. None takes all of a batch.
    """

    def __init__(
        self,
        model: LlavaCorrForConditionalGeneration,
        processor: LlavaCorrProcessor,
        *,
        max_new_tokens: int = 512,
        max_images_per_tower_pass: int | None = 4,
    ) -> None:
        self.model, self.processor, self.max_new_tokens = model.eval(), processor, max_new_tokens
        model.max_images_per_tower_pass = max_images_per_tower_pass
        self._pictures: list[Picture] = []
        self._seen: dict[str, Tensor] | None = None  # what the towers make of them, from the first question on

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        base: str | Path | None = None,
        device: str | None = None,
        dtype: Precision = "float32",
        max_new_tokens: int = 512,
        max_images_per_tower_pass: int | None = 4,
    ) -> Predictor:
        """Loads what training saved.

        Args:
            folder: a model folder, as a run's ``model/``, or a hub id.
            base: where the base of trained parts lies now, if not where they say.
            device: torch's name of it; by default the GPU if there is one.
            dtype: of the weights and activations. In float32 answers do not depend on the batch.
            max_new_tokens, max_images_per_tower_pass: see the class.

        Raises:
            CheckpointError: no such folder or id, a file of it is missing or broken, or so is its base, or that is
                another one.
        """
        path = Path(find_shipped(str(folder)))
        elsewhere = isinstance(folder, str) and not path.exists() and folder.count("/") == 1
        if not elsewhere and not (path / "config.json").is_file():
            raise CheckpointError("there is no model", where=str(path), mend="train one, or name its model/ folder")
        held = getattr(torch, dtype)
        model, processor = load_model(folder, base=base, dtype=held), load_processor(folder)
        model.to(device or default_device(), held)  # type: ignore[arg-type]
        return cls(model, processor, max_new_tokens=max_new_tokens, max_images_per_tower_pass=max_images_per_tower_pass)

    def set_images(self, images: Sequence[Picture | Image.Image | str | Path]) -> None:
        """Chooses the pictures that :meth:`ask` and :meth:`segment` are about.

        The image towers run once, with the first question; what they found is kept until other pictures are chosen.

        Args:
            images: arrays (H x W x 3, uint8), PIL images or files, IMAGE1 first. Masks are of the upright pictures, as
                the EXIF orientation of files and PIL images says.

        Raises:
            SampleError: no list of pictures, or something in it that is none; no pictures are chosen then.
            ImageError: a file or PIL image that cannot be read.
        """
        self._pictures, self._seen = [], None
        one = isinstance(images, (str, Path, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim < 4)
        if one or not isinstance(images, Iterable):
            shown = f'"{images}"' if isinstance(images, (str, Path)) else "picture"
            raise SampleError(
                f"set_images takes a list of pictures, not a {type(images).__name__}",
                mend=f"write set_images([{shown}])",
            )
        self._pictures = [as_picture(image) for image in images]

    @torch.no_grad()
    def ask(self, instruction: str) -> Prediction:
        """Answers an instruction about the chosen pictures, with masks at their original sizes.

        Args:
            instruction: in words, or a task ("common_objects", "common_parts", "unique_parts"), which is asked in the
                paper's own words.

        Raises:
            SampleError: no pictures were chosen, or too few for a task; the instruction is empty, holds <image>
                markers, or is a word like a task's that is none.
        """
        if not isinstance(instruction, str) or not instruction.strip() or IMAGE in instruction:
            raise SampleError(
                f"the instruction is {instruction!r}",
                mend=f"ask in words, without {IMAGE}: ask adds the markers itself",
            )
        if not self._pictures:
            raise SampleError("no pictures were chosen", mend="call set_images first")
        keys = [str(k) for k in range(len(self._pictures))]
        question = build_question(len(keys), in_words(instruction, len(keys))[0])
        dialogue = Dialogue("question", keys, [(question, None)])
        pictures = dict(zip(keys, self._pictures, strict=True))
        batch = self._batch([dialogue], pictures)
        if self._seen is None:
            self._seen = self.model.features(**batch)
        return self._answer(batch, [dialogue], pictures, [""], seen=self._seen)[0]

    def segment(self, what: str) -> list[list[Segment]]:
        """The masks of an answer about the chosen pictures: one list per picture, in the order of the answer.

        Args:
            what: a task or an instruction, as for :meth:`ask`. For a part task the whole objects that the answer names
                first are left out.

        Raises:
            SampleError: what :meth:`ask` refuses.
        """
        answer = self.ask(what)
        shown = answer.segments
        if in_words(what, len(self._pictures))[1] in ("common_parts", "unique_parts"):
            shown = tuple(s for s in shown if names_parts(s.sentence))
        return [[s for s in shown if s.image_index == index] for index in range(len(self._pictures))]

    def predict(
        self,
        samples: Sequence[Sample],
        *,
        batch_size: int = 8,
        blind: bool = False,
        true_answers: bool = False,
        progress: bool = True,
    ) -> Iterator[Prediction]:
        """Answers the last question of every sample, in order. Pictures that samples share are looked at once, as long
        as there is room for what was seen (a gigabyte of the machine's memory).

        Args:
            samples: what is asked.
            batch_size: answered together.
            blind: the pictures are grey.
            true_answers: nothing is generated; the masks of the true answers are drawn. What the masks alone are worth.
            progress: shows a line.
        """
        bar = tqdm(total=len(samples), desc="predict", disable=not progress, dynamic_ncols=True)
        memo = TowerMemo(self.model, self.processor)
        for start in range(0, len(samples), batch_size):
            chunk = samples[start : start + batch_size]
            dialogues = [to_dialogue(sample, with_answers=False, blind=blind) for sample in chunk]
            pictures = load_pictures(chunk, blind=blind)
            truths = [sample.truth_hash() for sample in chunk]
            told = [self._true_answer(sample) for sample in chunk] if true_answers else None
            batch = self._batch(dialogues, pictures, memo)
            yield from self._answer(batch, dialogues, pictures, truths, told=told)
            bar.update(len(chunk))
        bar.close()

    def answer_dialogues(
        self, dialogues: Sequence[Dialogue], pictures: Mapping[str, Picture], truths: Sequence[str]
    ) -> list[Prediction]:
        """Answers to dialogues whose last answer is open."""
        return self._answer(self._batch(dialogues, pictures), dialogues, pictures, truths)

    def _true_answer(self, sample: Sample) -> list[int]:
        """Tokens of the last answer, with the end token.

        Raises:
            SampleError: question and answer are longer than the context.
        """
        asked, whole = (self.processor.encode(to_dialogue(sample, with_answers=with_it)) for with_it in (False, True))
        if len(whole.ids) > (context := self.model.config.text_config.max_position_embeddings):
            raise SampleError(
                f"question and true answer have {len(whole.ids)} tokens, the context {context}",
                where=sample.id,
                mend="leave the sample out",
            )
        return whole.ids[len(asked.ids) :]

    def _batch(
        self, dialogues: Sequence[Dialogue], pictures: Mapping[str, Picture], memo: TowerMemo | None = None
    ) -> BatchFeature:
        """With the pictures, or with what a memo's towers made of them."""
        if memo is not None and pictures:
            features = memo.of(dialogues, pictures)
            batch = self.processor(dialogues, None, features=features, padding_side="left")
        else:
            batch = self.processor(dialogues, pictures, padding_side="left")
        return batch.to(self.model.device)

    @torch.no_grad()
    def _answer(
        self,
        batch: BatchFeature,
        dialogues: Sequence[Dialogue],
        pictures: Mapping[str, Picture],
        truths: Sequence[str],
        *,
        seen: Mapping[str, Tensor] | None = None,
        told: Sequence[Sequence[int]] | None = None,
    ) -> list[Prediction]:
        """Generates greedily, or takes the tokens that are ``told``, then runs once over question and answer to read
        the [SEG] states (right for any way of generating, and for a [SEG] that comes first or last). What the towers
        have ``seen`` serves both passes."""
        seen = self.model.features(**batch) if seen is None else seen
        room = self._room(batch, dialogues) if told is None else [len(answer) for answer in told]
        tokens = self._generate(batch, seen, room) if told is None else self._padded(told)
        alive = self._alive(tokens, room)
        answers = [self._finish(row[:longest]) for row, longest in zip(tokens, room, strict=True)]
        sizes = [[pictures[key].shape[:2] for key in dialogue.image_keys] for dialogue in dialogues]
        parsed = [
            self._placed(parse_answer(text, len(size)), row[:longest])
            for (text, _), size, row, longest in zip(answers, sizes, tokens.tolist(), room, strict=True)
        ]
        segments = self._draw(batch, seen, tokens, alive, parsed, sizes)
        marks = () if told is None else ("true_answer: the text is the truth's, only masks are the model's",)
        return [
            Prediction(
                sample_id=dialogue.id,
                truth=truth,
                text=text,
                image_sizes=tuple(size),
                segments=tuple(drawn),
                trail=(*marks, *found.trail, *([] if ended else [self._cut(longest)])),
            )
            for dialogue, truth, (text, ended), found, size, drawn, longest in zip(
                dialogues, truths, answers, parsed, sizes, segments, room, strict=True
            )
        ]

    def _generate(self, batch: BatchFeature, seen: Mapping[str, Tensor], room: Sequence[int]) -> Tensor:
        """B x T token ids."""
        tokenizer = self.processor.tokenizer
        return self.model.answer(
            **{name: batch[name] for name in PROMPT},
            patches=seen["patches"],
            semantic=seen.get("semantic"),
            max_new_tokens=max(room),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=[self.processor.image_token_id],  # its place is in questions
        )

    def _padded(self, answers: Sequence[Sequence[int]]) -> Tensor:
        rows = [torch.tensor(answer, device=self.model.device) for answer in answers]
        return pad_sequence(rows, batch_first=True, padding_value=self.processor.tokenizer.pad_token_id)

    def _room(self, batch: Mapping[str, Tensor], dialogues: Sequence[Dialogue]) -> list[int]:
        """Most new tokens of each answer: no further than its own question leaves room in the context, whatever the
        others of the batch are.

        Raises:
            SampleError: a question that leaves none.
        """
        context = self.model.config.text_config.max_position_embeddings
        lengths = batch["attention_mask"].sum(1).tolist()
        for dialogue, length in zip(dialogues, lengths, strict=True):
            if length >= context:
                raise SampleError(
                    f"the question has {length} tokens, the context {context}: no room for an answer",
                    where=dialogue.id,
                    mend="ask about fewer pictures, or in fewer words",
                )
        return [min(self.max_new_tokens, context - length) for length in lengths]

    def _cut(self, longest: int) -> str:
        if longest == self.max_new_tokens:
            return f"cut at {longest} new tokens"
        return f"cut at {longest} new tokens, where the context ends"

    def _alive(self, tokens: Tensor, room: Sequence[int]) -> Tensor:
        """B x T: which tokens are part of an answer: up to and with its end token, and within its room."""
        ends = tokens == self.processor.tokenizer.eos_token_id
        places = torch.arange(tokens.shape[1], device=tokens.device)
        within = places < torch.tensor(room, device=tokens.device)[:, None]
        return (ends.cumsum(1) - ends.long() == 0) & within

    def _finish(self, tokens: Tensor) -> tuple[str, bool]:
        """Text up to the end token, and whether there was one."""
        ids = tokens.tolist()
        eos = self.processor.tokenizer.eos_token_id
        ended = eos in ids
        text = self.processor.tokenizer.decode(ids[: ids.index(eos)] if ended else ids, skip_special_tokens=False)
        return spaced(text.replace(self.processor.tokenizer.pad_token, "").strip()), ended

    def _placed(self, answer: ParsedAnswer, tokens: Sequence[int]) -> ParsedAnswer:
        """The answer with [SEG]s counted by their tokens; those that are spelled out of letters have no state to draw
        from: they are left out, and the trail says so."""
        seg = self.processor.seg_token_id
        numbers: list[int | None] = []  # of every [SEG] in the text: which [SEG] token it is
        run: list[int] = []
        found = 0
        for token in [*tokens, seg]:
            if token != seg:
                run.append(token)
                continue
            spelled = self.processor.tokenizer.decode(run, skip_special_tokens=False).upper().count(SEG)
            numbers += [*([None] * spelled), found]
            found, run = found + 1, []
        kept = []
        for span in answer.segments:
            number = numbers[span.occurrence] if span.occurrence < len(numbers) else None
            if number is None:
                answer.trail.append(f"spelled_seg: [SEG] number {span.occurrence + 1} is not the token, left out")
            else:
                kept.append(span._replace(occurrence=number))
        answer.segments = kept
        return answer

    def _draw(
        self,
        batch: Mapping[str, Tensor],
        seen: Mapping[str, Tensor],
        tokens: Tensor,
        alive: Tensor,
        parsed: Sequence[ParsedAnswer],
        sizes: Sequence[Sequence[tuple[int, int]]],
    ) -> list[list[Segment]]:
        """Masks of all placed [SEG]s of the batch: one teacher-forced pass, one decoder call."""
        ids = torch.cat([batch["input_ids"], tokens], 1)
        attention = torch.cat([batch["attention_mask"], alive.long()], 1)
        positions, images, plan = [], [], []
        first_slot = np.cumsum([0, *(len(s) for s in sizes)])
        for row, answer in enumerate(parsed):
            where = ((tokens[row] == self.processor.seg_token_id) & alive[row]).nonzero()[:, 0]
            for span in answer.segments:
                positions.append([row, int(where[span.occurrence]) + batch["input_ids"].shape[1]])
                images.append(int(batch["image_index"][first_slot[row] + span.image_index]))
                plan.append((row, span))
        if not plan:
            return [[] for _ in parsed]
        device = ids.device
        output = self.model(
            **{name: batch[name] for name in PROMPT} | {"input_ids": ids, "attention_mask": attention},
            **seen,
            grounding_sizes=batch["grounding_sizes"],
            seg_positions=torch.tensor(positions, device=device),
            seg_image=torch.tensor(images, device=device),
        )
        shapes = [sizes[row][span.image_index] for row, span in plan]
        probabilities = self.processor.mask_probabilities(output.mask_logits, shapes)
        drawn: list[list[Segment]] = [[] for _ in parsed]
        for (row, span), probability in zip(plan, probabilities, strict=True):
            drawn[row].append(_segment(span.phrase, span.image_index, span.sentence, probability))
        return drawn


def default_device() -> str:
    """``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _segment(phrase: str, image_index: int, sentence: str, probability: NDArray[np.float32]) -> Segment:
    foreground = probability > 0.5
    score = float(probability[foreground].mean()) if foreground.any() else 0.0
    mask = Mask.from_array(foreground)
    return Segment(
        phrase=normalise_label(phrase), image_index=image_index, mask=mask, score=round(score, 6), sentence=sentence
    )
