"""Answers as one picture: each image with its masks and name tags, the question above, the answer's words below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from ..drawing.colours import Colour, ink_on, label_colours
from ..drawing.images import RGBArray
from ..drawing.overlays import Region, draw_overlay
from ..drawing.sheets import contact_sheet
from ..drawing.tags import tag_font
from ..files import atomic_write
from ..grammar import SEG, image_identifier, names_parts, normalise_label
from ..records import Prediction

CELL, COLUMNS, GAP = 448, 3, 8
LETTERS = 18
_WHITE, _BLACK, _SOFT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_PHRASE = re.compile(r"<p>(.*?)</p>", re.I | re.S)

Word: TypeAlias = tuple[str, Colour | None]
"""A word and, inside a phrase that has masks, their colour."""


def draw_answers(
    pictures: Sequence[RGBArray], answers: Sequence[tuple[str, Prediction]], names: Sequence[str]
) -> RGBArray:
    """Draws questions and answers about the same pictures, below one another.

    Args:
        pictures: uint8 H x W x 3, in the order of their identifiers.
        answers: (question, answer) pairs.
        names: of the pictures, for the captions.
    """
    blocks = [_draw_answer(pictures, question, answer, names) for question, answer in answers]
    return np.concatenate(blocks)  # all as wide as the row of pictures


def _draw_answer(pictures: Sequence[RGBArray], question: str, answer: Prediction, names: Sequence[str]) -> RGBArray:
    colours = label_colours(s.phrase for s in answer.segments)
    shown = [
        draw_overlay(picture, _regions(answer, index), colours, long_side=CELL)
        for index, picture in enumerate(pictures)
    ]
    captions = [f"{image_identifier(k)} {name}" for k, name in enumerate(names)]
    sheet = contact_sheet(shown, captions, columns=COLUMNS, cell=CELL, gap=GAP, font_size=15)
    width = sheet.shape[1]
    asked = _paragraph([(word, None) for word in question.split()], width, _SOFT)
    said = _paragraph(_words(answer.text, colours) or [("(no words)", None)], width, _BLACK)
    notes = [_paragraph([(word, None) for word in line.split()], width, _SOFT) for line in answer.trail]
    return np.concatenate([asked, sheet, said, *notes])


def _regions(answer: Prediction, index: int) -> list[Region]:
    """Masks of one picture; whole objects that stand behind their parts are outlines."""
    part = [names_parts(s.sentence) for s in answer.segments]
    return [
        Region(s.phrase, s.mask.to_array(), outline=any(part) and not is_part)
        for s, is_part in zip(answer.segments, part, strict=True)
        if s.image_index == index
    ]


def _words(text: str, colours: dict[str, Colour]) -> list[Word]:
    """The answer as it is read: tags become colours, [SEG]s are left out."""
    words: list[Word] = []
    end = 0
    for phrase in _PHRASE.finditer(text):
        words += [(word, None) for word in _plain(text[end : phrase.start()])]
        colour = colours.get(normalise_label(phrase.group(1)))  # none where no mask could be placed
        words += [(word, colour) for word in _plain(phrase.group(1))]
        end = phrase.end()
    return words + [(word, None) for word in _plain(text[end:])]


def _plain(text: str) -> list[str]:
    return re.sub(re.escape(SEG), " ", text, flags=re.I).split()


def _paragraph(words: Sequence[Word], width: int, ink: Colour) -> RGBArray:
    """Words in lines of ``width`` pixels, as high as they need; words of one phrase stand on one ribbon."""
    font, space, line = tag_font(LETTERS), tag_font(LETTERS).getlength(" "), round(LETTERS * 1.5)
    placed: list[tuple[int, float, str, Colour | None]] = []
    row, x = 0, float(GAP)
    for word, colour in words:
        for piece in _pieces(word, width - 2 * GAP):
            length = font.getlength(piece)
            if x > GAP and x + length > width - GAP:
                row, x = row + 1, float(GAP)
            placed.append((row, x, piece, colour))
            x += length + space
    canvas = Image.new("RGB", (width, (row + 1) * line + GAP), _WHITE)
    draw = ImageDraw.Draw(canvas)
    for index, (row, x, piece, colour) in enumerate(placed):
        if colour is not None:
            following = placed[index + 1] if index + 1 < len(placed) else None
            joined = following is not None and (following[0], following[3]) == (row, colour)
            right = x + font.getlength(piece) + (space if joined else 2)
            draw.rectangle((x - 2, row * line + 1, right, (row + 1) * line - 2), fill=colour)
        draw.text(
            (x, row * line + line / 2), piece, fill=ink if colour is None else ink_on(colour), font=font, anchor="lm"
        )
    return np.asarray(canvas)


def _pieces(word: str, width: int) -> list[str]:
    """The word, cut where it is wider than a line."""
    font = tag_font(LETTERS)
    pieces = [""]
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def write_png(path: str | Path, picture: RGBArray) -> None:
    """Writes uint8 H x W x 3, whole or not at all."""
    with atomic_write(path, "wb") as handle:
        Image.fromarray(picture).save(handle, "PNG")
