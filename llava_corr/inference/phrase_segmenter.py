"""The Cascade's third step by a model of ours: it is asked for one phrase in one picture, as in the alignment stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..benchmarks.segmenters import Found, Wanted
from ..datasets.alignment.phrasings import QUESTIONS
from ..datasets.images import load_picture
from ..grammar import build_question
from ..records import Dialogue, Mask, Prediction
from .predictor import Predictor

QUESTION = QUESTIONS["referring"][0]  # Please segment {phrase}.


class PhraseSegmenter:
    """Draws phrases with a :class:`Predictor`; every mask of an answer counts, whatever the answer calls it.

    Args:
        predictor: of a model that has learned to segment what it is asked for.
        batch_size: phrases that are asked at once.
    """

    def __init__(self, predictor: Predictor, *, batch_size: int = 8) -> None:
        self.predictor, self.batch_size = predictor, batch_size

    def segment(self, wanted: Sequence[Wanted]) -> list[Found]:
        """One result per phrase, in order; nothing found where the answer draws nothing.

        Raises:
            ImageError: a picture that cannot be read, or is of another size than its record says.
        """
        return [_found(answer) for answer in self._answers(wanted)]

    def _answers(self, wanted: Sequence[Wanted]) -> Iterator[Prediction]:
        pictures = {image.path: load_picture(image) for image in {w.image.path: w.image for w in wanted}.values()}
        for start in range(0, len(wanted), self.batch_size):
            chunk = wanted[start : start + self.batch_size]
            dialogues = [
                Dialogue(f"{w.phrase} in {w.image.path}", [w.image.path], [(_question(w.phrase), None)]) for w in chunk
            ]
            shown = {w.image.path: pictures[w.image.path] for w in chunk}
            yield from self.predictor.answer_dialogues(dialogues, shown, [""] * len(chunk))


def _question(phrase: str) -> str:
    return build_question(1, QUESTION.format(phrase=phrase))


def _found(answer: Prediction) -> Found:
    """The union of the answer's masks; its score is their mean, weighted by area."""
    drawn = [segment for segment in answer.segments if segment.mask.area]
    if not drawn:
        return Found(mask=None, score=0.0)
    area = sum(segment.mask.area for segment in drawn)
    score = sum(segment.score * segment.mask.area for segment in drawn) / area
    return Found(mask=Mask.union([segment.mask for segment in drawn]), score=round(min(score, 1.0), 6))
