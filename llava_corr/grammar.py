"""The dialogue grammar: building and parsing answers, object blocks and lettered options.

User:      ``The <image> (IMAGE1) and <image> (IMAGE2) provide an overview of the pictures.`` + instruction
Assistant: ``... <p> the seat cushion </p> [SEG] (IMAGE1) and <p> the back pillow </p> [SEG] (IMAGE2).``

Parsing never fails: a model may write anything. What it repairs or drops follows the rules of :data:`RULES`, and each
application leaves a line in the trail. Source: Calico section 3.2; CoLVA's object block; rules 4 to 7 are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import CountMismatchError

IMAGE, SEG, PHRASE_OPEN, PHRASE_CLOSE = "<image>", "[SEG]", "<p>", "</p>"
OBJECT_TOKEN = "<VPT_CONTEXT>"
SPECIAL_TOKENS = (SEG, PHRASE_OPEN, PHRASE_CLOSE)

RULES = {
    "unclosed_phrase": "<p> without </p> before [SEG]: the phrase is the text from <p> to [SEG]",
    "unopened_phrase": "</p> without <p>: the phrase is the text since the last marker or sentence end",
    "untagged_phrase": "[SEG] with no tagged phrase: the phrase is the text since the last marker or sentence end",
    "empty_phrase": "no words where the phrase should be: the mask is kept, its name is empty",
    "phrase_without_seg": "a tagged phrase that no [SEG] follows is dropped",
    "missing_image": "[SEG] with no readable (IMAGEk): the image of the previous [SEG] of this answer",
    "dropped_no_image": "no readable (IMAGEk) and no previous [SEG]: dropped (kept as image 1 if there is only one)",
    "malformed_image": "an identifier such as (IMAGE 2), IMAGE2 or (image2): read as (IMAGE2)",
    "dropped_unknown_image": "(IMAGEk) of an image that the question does not have: dropped",
}


def image_identifier(index: int) -> str:
    """``(IMAGE1)`` for index 0."""
    return f"(IMAGE{index + 1})"


def join_words(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def image_preamble(count: int) -> str:
    """The sentence that shows ``count`` images with their identifiers."""
    if count < 1:
        raise CountMismatchError("a dialogue needs at least one image", mend="pass the images of the question")
    slots = join_words([f"{IMAGE} {image_identifier(k)}" for k in range(count)])
    return f"The {slots} provide{'s' if count == 1 else ''} an overview of the picture{'' if count == 1 else 's'}."


def build_question(count: int, instruction: str) -> str:
    """Preamble for ``count`` images, then the instruction."""
    return f"{image_preamble(count)} {instruction}"


def with_determiner(name: str) -> str:
    """``the seat cushion``; the form in which phrases stand in answers."""
    return f"the {name}"


def ground(phrase: str, image_indexes: Sequence[int]) -> str:
    """``<p> the dog </p> [SEG] (IMAGE1) [SEG] (IMAGE2)``."""
    segs = " ".join(f"{SEG} {image_identifier(k)}" for k in image_indexes)
    return f"{PHRASE_OPEN} {phrase} {PHRASE_CLOSE} {segs}"


def spaced(text: str) -> str:
    """An answer with the spaces that the grammar writes: tokenizers of released weights drop those beside their special
    tokens when they decode (``<p>the leg</p>[SEG](IMAGE1)``)."""
    before = re.sub(r"(?<=\S)(?=<p>|</p>|\[SEG\])", " ", text)
    return re.sub(r"(<p>|</p>|\[SEG\])(?=[\w(])", r"\1 ", before)


class SegmentSpan(NamedTuple):
    """One [SEG] of an answer that could be placed.

    ``occurrence`` counts all [SEG]s of the text from 0, dropped ones too: it says which [SEG] state belongs here.
    """

    phrase: str
    image_index: int
    occurrence: int
    sentence: str


@dataclass
class ParsedAnswer:
    """What :func:`parse_answer` found: placed segments, number of [SEG]s in the text, trail of rules applied."""

    segments: list[SegmentSpan] = field(default_factory=list)
    seg_count: int = 0
    trail: list[str] = field(default_factory=list)


# Bounded repeats: whatever a model writes is read in linear time.
_MARKER = re.compile(
    r"<p>|</p>|\[SEG\]|(?P<image>(?:\(\s{0,9})?IMAGE\s{0,9}_?(?P<number>\d{1,9})(?:\s{0,9}\))?)|(?P<end>[.!?](?=\s|$))",
    re.I,
)
_SEPARATORS = " \t\r\n,;:-()"
_JOINERS = re.compile(r"^(?:and|or|&)\b\s*", re.I)


def parse_answer(text: str, image_count: int) -> ParsedAnswer:
    """Reads phrases, [SEG]s and image identifiers out of an answer.

    Args:
        text: the assistant's words, special tokens kept.
        image_count: number of images in the question.
    """
    answer = ParsedAnswer()
    opened: int | None = None  # where the open <p> ends
    phrase: str | None = None  # the last tagged phrase; it may ground several [SEG]s
    unused = False  # ... and whether any [SEG] has used it
    plain_start = 0  # where untagged text began
    previous_image: int | None = None
    markers = _markers(text)
    sentences = _sentence_spans(text, markers)

    def note(rule: str, position: int) -> None:
        answer.trail.append(f"{rule} at character {position}: {RULES[rule]}")

    def abandon(position: int) -> None:
        nonlocal unused
        if unused:
            note("phrase_without_seg", position)
        unused = False

    for index, marker in enumerate(markers):
        token = marker.group().lower()
        if token == PHRASE_OPEN:
            abandon(marker.start())
            opened, phrase = marker.end(), None
        elif token == PHRASE_CLOSE:
            if opened is None:
                abandon(marker.start())
                note("unopened_phrase", marker.start())
            phrase = _clean(text[opened if opened is not None else plain_start : marker.start()])
            opened, unused = None, True
        elif token == SEG.lower():
            if opened is not None:
                note("unclosed_phrase", marker.start())
                phrase, opened = _clean(text[opened : marker.start()]), None
            elif phrase is None or (not unused and _clean(text[plain_start : marker.start()])):
                note("untagged_phrase", marker.start())
                phrase = _clean(text[plain_start : marker.start()])
            unused = False
            if not phrase:
                note("empty_phrase", marker.start())
            occurrence, answer.seg_count = answer.seg_count, answer.seg_count + 1
            image = _image_after(text, markers, index, image_count, previous_image, note)
            if image is not None:
                previous_image = image
                sentence = next((text[a:b] for a, b in sentences if a <= marker.start() < b), text).strip()
                answer.segments.append(SegmentSpan(phrase, image, occurrence, sentence))
        elif marker.group("end"):
            abandon(marker.start())
            phrase = None
        if not marker.group("image") or opened is None:
            plain_start = marker.end()
    abandon(len(text))
    return answer


def _markers(text: str) -> list[re.Match[str]]:
    """All markers but the full stops inside closed phrases ("st. bernard"), which end no sentence."""
    kept: list[re.Match[str]] = []
    opened: int | None = None  # number of markers kept when the open phrase began
    for marker in _MARKER.finditer(text):
        token = marker.group().lower()
        if token == PHRASE_CLOSE and opened is not None:
            kept[opened:] = [m for m in kept[opened:] if not m.group("end")]
        if token in (PHRASE_OPEN, PHRASE_CLOSE, SEG.lower()):
            opened = len(kept) if token == PHRASE_OPEN else None
        kept.append(marker)
    return kept


def _clean(text: str) -> str:
    return _JOINERS.sub("", " ".join(text.split()).strip(_SEPARATORS)).strip(_SEPARATORS)


def _image_after(
    text: str,
    markers: Sequence[re.Match[str]],
    index: int,
    image_count: int,
    previous_image: int | None,
    note: Callable[[str, int], None],
) -> int | None:
    """Image index of the [SEG] at ``markers[index]``, or None when it has to be dropped."""
    seg = markers[index]
    following = markers[index + 1] if index + 1 < len(markers) else None
    if following is None or not following.group("image") or text[seg.end() : following.start()].strip(_SEPARATORS):
        if previous_image is not None:
            note("missing_image", seg.start())
            return previous_image
        note("dropped_no_image", seg.start())
        return 0 if image_count == 1 else None
    number = int(following.group("number"))
    if following.group("image").strip() != image_identifier(number - 1):
        note("malformed_image", following.start())
    if not 1 <= number <= image_count:
        note("dropped_unknown_image", following.start())
        return None
    return number - 1


def _sentence_spans(text: str, markers: Sequence[re.Match[str]]) -> list[tuple[int, int]]:
    ends = [m.end() for m in markers if m.group("end")]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return list(zip([0, *ends[:-1]], ends, strict=True))


_GROUNDED = re.compile(r"<p>.*?(?:</p>|\[SEG\]|\Z)", re.I | re.S)
_PART_WORD = re.compile(r"\b(?:part|component|piece)s?\b", re.I)


def names_parts(sentence: str) -> bool:
    """Whether a sentence introduces parts rather than whole objects, judged by its words outside the phrases.

    In part tasks the answer names the objects first; those masks do not count as parts (facts, 5.3 row 18).
    """
    return bool(_PART_WORD.search(_GROUNDED.sub(" ", sentence)))


def counts_as_part(sentence: str) -> bool:
    """Whether a predicted segment of a part task counts: its sentence introduces parts, or it has none to say
    otherwise."""
    return not sentence or names_parts(sentence)


_DETERMINER = re.compile(r"^(?:the|a|an)\s+")


def normalise_label(label: str) -> str:
    """Lower case, no determiner, underscores to spaces, PACO's ``_(...)`` cut, punctuation dropped."""
    text = label.lower().split("_(")[0].replace("_", " ")
    text = re.sub(r"\([^()]*\)", " ", text)
    text = " ".join(re.sub(r"[^\w\s]", " ", text).split())
    return _DETERMINER.sub("", text)


def spoken_name(name: str) -> str:
    """A class or part name as answers say it: lower case, words apart, free of the grammar's own signs.

    "" where nothing is left that scores could compare, as of "+".
    """
    spoken = " ".join(re.sub(r"[_<>()\[\]{}|]", " ", name.lower()).split())
    return spoken if normalise_label(spoken) else ""


# ---- matching dialogues: object blocks and options -------------------------------------------------------------------


def object_block(candidate_ids: Sequence[int]) -> str:
    """CoLVA's block: one query object in image 1, candidates by their displayed ids in image 2."""
    candidates = ", ".join(f"<object-{k}>{OBJECT_TOKEN}" for k in sorted(candidate_ids))
    return f"Objects in Image-1: <query object>{OBJECT_TOKEN}.\nObjects in Image-2: {candidates}.\n"


NO_OPTION = "None of the above choices are correct"


def option_letters(count: int) -> list[str]:
    """``A``, ``B``, ...; at most 26."""
    if not 1 <= count <= 26:
        raise CountMismatchError(f"{count} options; letters allow 1 to 26", mend="offer fewer candidates")
    return [chr(ord("A") + k) for k in range(count)]


def options_block(options: Sequence[str]) -> str:
    """``A. first`` on a line each."""
    return "".join(f"{letter}. {text}\n" for letter, text in zip(option_letters(len(options)), options, strict=True))


class ParsedOption(NamedTuple):
    """Chosen letter, or None when no rule applies (counted as wrong, never guessed), and the rule that decided."""

    letter: str | None
    rule: str


_ARTICLE = r"A\s+(?!or\b|and\b)[a-z]"  # "A dog ..." is no choice of option A


def _without_thoughts(text: str) -> str:
    """Text without its <think> ... </think> passages, in linear time."""
    lower, kept, start = text.lower(), "", 0
    while (opened := lower.find("<think>", start)) >= 0 and (closed := lower.find("</think>", opened)) >= 0:
        kept += text[start:opened] + " "
        start = closed + len("</think>")
    return kept + text[start:]


def parse_option(text: str, options: Sequence[str]) -> ParsedOption:
    """Reads the chosen letter; in order: bare letter, (X), "answer is X", the one stand-alone letter, option text."""
    letters = "".join(option_letters(len(options)))
    body = _without_thoughts(text).strip()
    bare = re.fullmatch(rf"\(?([{letters}])\)?[.:]?", body, re.I)
    if bare:
        return ParsedOption(bare.group(1).upper(), "bare_letter")
    for rule, pattern, flags in (
        ("bracketed_letter", rf"\(([{letters}])\)", 0),
        ("answer_is", rf"answer(?:\s+is)?\s*:?\s*\(?([{letters}])\b", re.I),
        ("single_letter", rf"(?<![\w'])(?!{_ARTICLE})([{letters}])(?![\w'])", 0),
    ):
        found = {m.upper() for m in re.findall(pattern, body, flags)}
        if len(found) == 1:
            return ParsedOption(found.pop(), rule)
    named = [k for k, option in enumerate(options) if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", body, re.I)]
    if len(named) == 1:
        return ParsedOption(letters[named[0]], "option_text")
    return ParsedOption(None, "unparsed")
