"""Reads the names that a language model lists per picture in step 2 of the Cascade.

The format: one JSON object, ``{"IMAGE1": [{"object": "chair", "parts": ["leg"]}], "IMAGE2": []}``. Reading never fails:
what is repaired or dropped follows :data:`RULES`, and each application leaves a line in the trail. A reply in which no
rule finds a list is unreadable; that is counted, and the answer is empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..grammar import ground, normalise_label, parse_answer, spoken_name, with_determiner
from .cascade_json import loose_json

MAX_NAMES = 40  # objects and parts of one picture; a model that repeats itself would keep the segmenter busy for ever
MAX_WORDS = 6

RULES = {
    "names_unreadable": "no list of names could be found in the reply: the answer is empty",
    "names_surrounded": "words or a code fence around the JSON: left out",
    "names_loose_json": "single quotes, trailing commas, comments: read as JSON all the same",
    "names_unclosed": "the JSON was cut off: what is whole of it is read",
    "names_repeated_key": "a key occurs twice: the lists are joined",
    "names_wrapped": "the pictures' lists stand inside another object: taken out of it",
    "names_in_lines": "lines in place of JSON",
    "names_image_key": "a picture named otherwise than IMAGE1: read as that",
    "names_by_position": "a list of lists without the pictures' names: read in the order of the pictures",
    "names_unknown_image": "a picture that the question does not have, or a key that names none: dropped",
    "names_missing_image": "nothing is said of a picture: its list is empty",
    "names_other_form": "an entry of another form (a word, a mapping, a text of commas): read by its evident meaning",
    "names_not_a_name": "a number, an object or nothing in the place of a name: dropped",
    "names_too_long": f"a name of more than {MAX_WORDS} words: dropped",
    "names_unsayable": "a name that the dialogue grammar would not read back: dropped",
    "names_repeated": "a name that stands there already: dropped",
    "names_object_in_part": "a part named with its object, as chair leg: the object is taken off",
    "names_parts_left_out": "parts in an answer about objects: left out",
    "names_too_many": f"more than {MAX_NAMES} names for a picture: the rest is dropped",
}
_NOTHING = {"", "none", "nothing", "no", "n/a", "na", "null", "empty"}
_IMAGE_KEY = re.compile(r"\W*(?:image|picture|photo|img)?[\s_#]*(\d{1,3})\W*", re.I)
_LINE = re.compile(r"\W*(?:image|picture|photo)[\s_#]*\d{1,3}\W{0,3}?\s*[:=-]\s*", re.I)


@dataclass
class NamedObject:
    """An object of a picture and its parts; ``name`` is "" where parts are listed without an object."""

    name: str
    parts: list[str] = field(default_factory=list)


@dataclass
class Names:
    """What is to be segmented, per picture; ``readable`` is False where the reply could not be read at all."""

    images: list[list[NamedObject]]
    readable: bool = True
    trail: list[str] = field(default_factory=list)


def read_names(text: str, image_count: int, *, about_parts: bool) -> Names:
    """Reads a reply of step 2.

    Args:
        text: the reply, whatever it is.
        image_count: number of pictures of the question.
        about_parts: False in an answer about objects, which has no parts.
    """
    return _Reader(image_count, about_parts).read(text)


class _Reader:
    def __init__(self, image_count: int, about_parts: bool) -> None:
        self.count, self.about_parts = image_count, about_parts
        self.names = Names([[] for _ in range(image_count)])

    def note(self, rule: str, detail: object = "") -> None:
        shown = f" ({str(detail)[:60]!r})" if detail != "" else ""
        self.names.trail.append(f"{rule} in step 2{shown}: {RULES[rule]}")

    def read(self, text: str) -> Names:
        body = text.rsplit("</think>", 1)[-1].split("<think>", 1)[0]  # thoughts that were cut off lead to no answer
        found, repairs = loose_json(body)
        for rule in repairs:
            self.note(rule)
        lists = None if found is None else self._lists(found)
        if lists is None:
            lists = self._lines(body)
        if lists is None:
            self.names.trail.clear()  # of attempts that led nowhere
            self.names.readable = False
            self.note("names_unreadable", " ".join(text.split()))
            return self.names
        said = set()
        for key, value in lists:
            index = self._image(key)
            if index is not None:
                said.add(index)
                self._entries(index, value)
        for index in range(self.count):
            if index not in said:
                self.note("names_missing_image", f"IMAGE{index + 1}")
        self.names.images = [[o for o in here if o.name or o.parts] for here in self.names.images]
        return self.names

    def _lists(self, found: Any) -> list[tuple[str, Any]] | None:
        """(picture's name, its list) of a value of JSON; None where it holds none."""
        if isinstance(found, list) and len(found) == self.count and all(isinstance(v, list) for v in found):
            self.note("names_by_position")
            return [(f"IMAGE{k + 1}", v) for k, v in enumerate(found)]
        if not isinstance(found, dict):
            return None
        if any(_IMAGE_KEY.fullmatch(key) for key in found):
            return list(found.items())
        for value in found.values():
            if isinstance(value, (dict, list)) and (inner := self._lists(value)) is not None:
                self.note("names_wrapped")
                return inner
        return None

    def _lines(self, text: str) -> list[tuple[str, Any]] | None:
        """Lines such as ``IMAGE1: chair - leg, seat; table``."""
        found: list[tuple[str, Any]] = []
        for line in text.splitlines():
            if head := _LINE.match(line):
                found.append((head.group().rstrip(" :=-"), line[head.end() :]))
        if not found:
            return None
        self.note("names_in_lines")
        return [(key, _line_entries(value)) for key, value in found]

    def _image(self, key: str) -> int | None:
        match = _IMAGE_KEY.fullmatch(key)
        number = int(match.group(1)) if match else 0
        if not 1 <= number <= self.count:
            self.note("names_unknown_image", key)
            return None
        if key not in (f"IMAGE{number}", f"**IMAGE{number}**"):
            self.note("names_image_key", key)
        return number - 1

    def _entries(self, index: int, value: Any) -> None:
        """Takes up the list of one picture."""
        if value is None or (isinstance(value, str) and _is_nothing(value)):
            return
        if isinstance(value, str):
            self.note("names_other_form", value)
            value = _line_entries(value)
        elif isinstance(value, dict):
            self.note("names_other_form", value)
            value = [value]
        elif not isinstance(value, list):
            self.note("names_not_a_name", value)
            return
        for entry in value:
            self._entry(index, entry)

    def _entry(self, index: int, entry: Any) -> None:
        if isinstance(entry, str):
            if _is_nothing(entry):
                return
            self.note("names_other_form", entry)  # a word alone is what the task asks for
            entry = {"object": "", "parts": [entry]} if self.about_parts else {"object": entry}
        elif not isinstance(entry, dict):
            self.note("names_not_a_name", entry)
            return
        elif "object" not in entry and "parts" not in entry:
            self.note("names_other_form", entry)
            for name, parts in entry.items():
                self._object(index, name, parts)
            return
        self._object(index, entry.get("object") or "", entry.get("parts"))

    def _object(self, index: int, written: Any, parts: Any) -> None:
        name = self._name(written) if written != "" else ""
        listed = self._part_list(parts)
        if name is None or (not name and not listed):
            if name is not None:
                self.note("names_not_a_name", "an entry without names")
            return
        here = self.names.images[index]
        known = next((o for o in here if o.name == name), None)
        if known is None:
            if self._is_full(index):
                return
            known = NamedObject(name)
            here.append(known)
        elif name:
            self.note("names_repeated", name)
        if listed and not self.about_parts:
            self.note("names_parts_left_out", ", ".join(map(str, listed)))
            return
        for part in listed:
            said = self._name(part)
            if said is not None:
                self._part(index, known, said)

    def _part(self, index: int, owner: NamedObject, name: str) -> None:
        bare = _without_object(name, owner.name)
        if bare != name:
            self.note("names_object_in_part", name)
        if bare in owner.parts:
            self.note("names_repeated", bare)
        elif not self._is_full(index):
            owner.parts.append(bare)

    def _part_list(self, parts: Any) -> list[Any]:
        if parts is None or (isinstance(parts, str) and _is_nothing(parts)):
            return []
        if isinstance(parts, str):
            self.note("names_other_form", parts)
            return [piece for piece in re.split(r"[,;]", parts) if piece.strip()]
        if isinstance(parts, list):
            return parts
        self.note("names_not_a_name", parts)
        return []

    def _is_full(self, index: int) -> bool:
        full = sum(bool(o.name) + len(o.parts) for o in self.names.images[index]) >= MAX_NAMES
        if full and not any(line.startswith("names_too_many") for line in self.names.trail):
            self.note("names_too_many", f"IMAGE{index + 1}")
        return full

    def _name(self, written: Any) -> str | None:
        """The name as answers say it, or None, with a note, where it is none."""
        if not isinstance(written, str):
            self.note("names_not_a_name", written)
            return None
        name = bare_name(written)
        problem = _problem(name)
        if problem is not None:
            self.note(problem, written)
            return None
        return name


def bare_name(written: str) -> str:
    """A name as answers say it, without its determiner and without punctuation around it; "" where nothing is left."""
    return re.sub(r"^(?:the|an?)\s+", "", spoken_name(written).strip(" .,;:!?\"'`*-"))


def _problem(name: str) -> str | None:
    """The rule by which a name is dropped."""
    if not normalise_label(name) or name in _NOTHING:
        return "names_not_a_name"
    if len(name.split()) > MAX_WORDS:
        return "names_too_long"
    read = parse_answer(f"It is {ground(with_determiner(name), [0])}.", 1)
    said = [segment.phrase for segment in read.segments]
    return None if not read.trail and said == [with_determiner(name)] else "names_unsayable"


def _line_entries(text: str) -> list[dict[str, Any] | str]:
    """Entries of ``chair - leg, seat; table (top)``; a piece without parts is a text of names."""
    entries: list[dict[str, Any] | str] = []
    for piece in text.split(";"):
        name, separator, parts = re.sub(r"\(([^()]*)\)", r" - \1", piece).partition(" - ")
        if separator:
            entries.append({"object": name.strip(), "parts": _listed_words(parts)})
        else:
            entries += _listed_words(piece)
    return entries


def _listed_words(text: str) -> list[str]:
    return [word.strip() for word in re.split(r",|\band\b", text) if not _is_nothing(word)]


def _is_nothing(text: str) -> bool:
    return text.strip(" .-[]{}()\"'*").lower() in _NOTHING


def _without_object(part: str, owner: str) -> str:
    """``leg`` of ``chair leg``, ``chair's leg`` and ``leg of the chair``."""
    if not owner:
        return part
    said = re.escape(owner)
    for pattern in (rf"{said}(?:'s|s')?\s+(?P<part>.+)", rf"(?P<part>.+?)\s+(?:of|on)\s+(?:the\s+|an?\s+)?{said}"):
        if match := re.fullmatch(pattern, part):
            return match.group("part")
    return part
