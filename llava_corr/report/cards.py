"""One card per shown sample: pictures with true and predicted masks, the dialogue, and what became of every mask."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..drawing.colours import Colour, colour_of, ink_on, label_colours, to_hex
from ..drawing.images import RGBArray, display_size, load_rgb, resize_rgb
from ..drawing.overlays import Region, draw_overlay
from ..grammar import counts_as_part, normalise_label
from ..records import Mask, Prediction, Sample, Segment, Target
from .selection import Choice

PICTURE_SIDE = 384  # pixels of the longer side of a stored picture; shown smaller, so that letters stay sharp

_TOKENS = re.compile(r"<p>(.*?)</p>|(\[SEG\]|\(IMAGE\d+\)|<image>)", re.S | re.I)


class Fragment(NamedTuple):
    """A piece of a dialogue: ``plain``, ``phrase`` (with its colours as ``#rrggbb``) or ``token`` (grammar marks)."""

    kind: str
    text: str
    colour: str = ""
    ink: str = ""


class Picture(NamedTuple):
    """A picture with its caption; ``alt`` describes it to readers who do not see it."""

    caption: str
    alt: str
    pixels: RGBArray


class Fate(NamedTuple):
    """A true mask and the predicted mask of its image that overlaps it most (IoU in percent, phrase or nothing)."""

    name: str
    colour: str
    ink: str
    iou: str
    phrase: str


class Answer(NamedTuple):
    """What one model said: the text (None: it gave no answer), the fates of the true masks (one row per image), and
    (name, value) of its scores in this sample."""

    model: str
    text: list[Fragment] | None
    fates: list[list[Fate]]
    spurious: str
    trail: tuple[str, ...]
    scores: tuple[tuple[str, str], ...] = ()


class Card(NamedTuple):
    """All that the page says about one sample; ``pictures`` holds one row per image: plain, truth, every model."""

    sample: Sample
    band: str
    scores: Sequence[tuple[str, str]]
    pictures: list[list[Picture]]
    turns: list[tuple[list[Fragment], list[Fragment]]]
    answers: list[Answer]


Answers = Sequence[tuple[str, Prediction | None]]
"""(model, its answer or None), in the order they are shown in."""


def build_card(choice: Choice, answers: Answers, scores: Sequence[tuple[str, str]]) -> Card:
    """Draws and describes one sample.

    Args:
        choice: the sample and the band it was drawn from.
        answers: to draw beside the truth. A single model without an answer is left out; of several all are shown.
        scores: (model, value as text) for the card's head.

    Raises:
        ImageError: an image is missing, broken, or of another size than the sample says.
    """
    sample = choice.sample
    if len(answers) == 1 and answers[0][1] is None:
        answers = ()
    said = [p for _, p in answers if p]
    written = [m.group(1) for p in said for m in _TOKENS.finditer(p.text) if m.group(1)]
    drawn = [segment.phrase for p in said for segment in p.segments]
    colours = label_colours([*(t.phrase for t in sample.targets), *drawn, *written])
    return Card(
        sample,
        choice.band,
        scores,
        [_picture_row(sample, index, answers, colours) for index in range(len(sample.images))],
        [(fragments(t.user, colours), fragments(t.assistant, colours)) for t in sample.turns],
        [_answer(sample, model, prediction, colours) for model, prediction in answers],
    )


def _picture_row(sample: Sample, index: int, answers: Answers, colours: dict[str, Colour]) -> list[Picture]:
    """One image: plain, with the truth, with every answer."""
    image = sample.images[index]
    pixels = load_rgb(image.path, (image.height, image.width))
    views = [("truth", [_true_region(t, sample) for t in sample.targets if t.image_index == index])]
    for model, prediction in answers:
        segments = prediction.segments if prediction else ()
        views.append((model, [_predicted_region(s, sample) for s in segments if s.image_index == index]))
    return [_plain_picture(index, pixels), *(_masked(index, pixels, view, colours) for view in views)]


def _answer(sample: Sample, model: str, prediction: Prediction | None, colours: dict[str, Colour]) -> Answer:
    if prediction is None:
        return Answer(model, None, [], "", ())
    truths = [t for t in sample.targets if counts(t, sample)]
    segments = [s for s in prediction.segments if counts(s, sample)]
    fates = [
        [_fate(target, segments, colours) for target in truths if target.image_index == index]
        for index in range(len(sample.images))
    ]
    text = fragments(prediction.text, colours)
    return Answer(model, text, fates if truths else [], _spurious(truths, segments), prediction.trail)


def fragments(text: str, colours: Mapping[str, Colour]) -> list[Fragment]:
    """Cuts a dialogue text into plain words, phrases in their colours, and grammar marks; nothing is lost but tags."""
    pieces: list[Fragment] = []
    end = 0
    for match in _TOKENS.finditer(text):
        if match.start() > end:
            pieces.append(Fragment("plain", text[end : match.start()]))
        if match.group(2):
            pieces.append(Fragment("token", match.group(2)))
        else:
            colour = colour_of(match.group(1), dict(colours))
            pieces.append(Fragment("phrase", match.group(1).strip(), to_hex(colour), to_hex(ink_on(colour))))
        end = match.end()
    if end < len(text):
        pieces.append(Fragment("plain", text[end:]))
    return pieces


def _name(phrase: str) -> str:
    return normalise_label(phrase) or "(no name)"


def _true_region(target: Target, sample: Sample) -> Region:
    return Region(_name(target.phrase), target.mask.to_array(), not counts(target, sample))


def _predicted_region(segment: Segment, sample: Sample) -> Region:
    return Region(_name(segment.phrase), segment.mask.to_array(), not counts(segment, sample))


def counts(mask: Target | Segment, sample: Sample) -> bool:
    """Whether the scores look at a mask: in part tasks they pass over whole objects.

    A predicted mask is taken for a whole object when its sentence introduces no parts.
    """
    if not _about_parts(sample):
        return True
    return mask.role != "object" if isinstance(mask, Target) else counts_as_part(mask.sentence)


def _about_parts(sample: Sample) -> bool:
    return sample.task != "common_objects"


def _plain_picture(index: int, pixels: RGBArray) -> Picture:
    shown = resize_rgb(pixels, display_size(pixels.shape[:2], min(max(pixels.shape[:2]), PICTURE_SIDE)))
    return Picture(f"image {index + 1}", f"image {index + 1} as the model sees it", shown)


def _masked(index: int, pixels: RGBArray, view: tuple[str, Sequence[Region]], colours: dict[str, Colour]) -> Picture:
    name, regions = view
    listed = ", ".join(region.label for region in regions) or "no masks"
    shown = draw_overlay(pixels, regions, colours, long_side=PICTURE_SIDE)
    caption = name if regions else f"{name}: no masks"
    return Picture(caption, f"image {index + 1}, {name}: {listed}", shown)


def _fate(target: Target, segments: Sequence[Segment], colours: dict[str, Colour]) -> Fate:
    rivals = [s for s in segments if s.image_index == target.image_index]
    overlaps = Mask.iou([target.mask], [s.mask for s in rivals])[0] if rivals else []
    best = max(range(len(rivals)), key=lambda k: overlaps[k]) if rivals else None
    colour = colour_of(target.phrase, colours)
    hit = best is not None and overlaps[best] > 0
    return Fate(
        _name(target.phrase),
        to_hex(colour),
        to_hex(ink_on(colour)),
        f"{100 * overlaps[best]:.0f}" if hit and best is not None else "0",
        _name(rivals[best].phrase) if hit and best is not None else "",
    )


def _spurious(targets: Sequence[Target], segments: Sequence[Segment]) -> str:
    """The predicted masks that overlap no true mask of their image by half, listed."""
    names = []
    for segment in segments:
        truths = [t.mask for t in targets if t.image_index == segment.image_index]
        if not truths or Mask.iou([segment.mask], truths).max() < 0.5:
            names.append(f"{_name(segment.phrase)} (image {segment.image_index + 1})")
    return ", ".join(names)
