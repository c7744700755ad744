"""A SIMULATED chat model and segmenter, for rehearsing the Cascade without any model. They know the answers.

:class:`SimulatedChat` answers step 1 from the truth of the samples, with omissions and wrong names of a stated rate,
and step 2 by set logic on what step 1 said. :class:`TruthMasks` draws the true masks. What they score is a property of
these rates, never of a model: use them for plumbing, and to see what errors of naming alone cost.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence

import numpy as np

from ..clients.requests import Reply, Request
from ..datasets.mixedparts.truth import unique_parts
from ..errors import ClientError, ConfigError
from ..grammar import with_determiner
from ..records import Mask, Sample, Target
from .cascade_names import bare_name
from .cascade_prompts import CLOSED, LOOK_FOR_OBJECTS, OPENED, QUESTIONS
from .segmenters import Found, Wanted

Contents = dict[str, list[str]]  # object -> its parts


class SimulatedChat:
    """Answers the Cascade's two prompts.

    Args:
        samples: whose pictures it may be shown. Samples about the same pictures are taken together; their tasks about
            parts should compare the same objects.
        omit: share of names that it does not mention, in [0, 1].
        misname: share of the others that it calls by another sample's name.

    Raises:
        ConfigError: a share outside 0 to 1.
    """

    def __init__(self, samples: Iterable[Sample], *, omit: float = 0.0, misname: float = 0.0) -> None:
        if not (0 <= omit <= 1 and 0 <= misname <= 1):
            raise ConfigError(f"omit {omit}, misname {misname}", mend="both are shares from 0 to 1")
        self.omit, self.misname = omit, misname
        self._shown: dict[tuple[bool, tuple[str, ...]], list[Contents]] = {}
        for sample in samples:
            about_parts = sample.task != "common_objects"
            key = (about_parts, tuple(os.path.realpath(image.path) for image in sample.images))
            contents = self._shown.setdefault(key, [{} for _ in sample.images])
            for index, here in enumerate(contents):
                _add(here, [t for t in sample.targets if t.image_index == index])
        everything = [here for contents in self._shown.values() for here in contents]
        self._objects = sorted({name for here in everything for name in here if name})
        self._parts = sorted({part for here in everything for parts in here.values() for part in parts})

    def complete(self, request: Request) -> Reply:
        """Answers one of the Cascade's prompts; errors depend on the request (its seed and pictures) only.

        Raises:
            ClientError: pictures that no sample has, or another prompt.
        """
        text = self._look(request) if request.images() else _compare(request.words())
        return Reply(text=text, finish="stop", model="simulated")

    def _look(self, request: Request) -> str:
        about_parts = LOOK_FOR_OBJECTS not in request.words()
        contents = self._shown.get((about_parts, tuple(os.path.realpath(path) for path in request.images())))
        if contents is None:
            raise ClientError(
                "the simulated chat model knows only the pictures of its samples",
                where=", ".join(request.images()),
                mend="pass the samples that are asked about, or name a real model",
            )
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(request.key().encode()).digest()[:8], "big"))
        lines = [self._line(here, rng) for here in contents]
        return "\n".join(f"IMAGE{k + 1}: {line or 'nothing'}" for k, line in enumerate(lines))

    def _line(self, here: Contents, rng: np.random.Generator) -> str:
        pieces = []
        for name, parts in here.items():
            said = self._said(name, self._objects, rng) if name else None
            named = [part for part in (self._said(p, self._parts, rng) for p in parts) if part]
            if said or named:
                pieces.append(f"{said or 'thing'}{' - ' if named else ''}{', '.join(named)}")
        return "; ".join(pieces)

    def _said(self, name: str, others: Sequence[str], rng: np.random.Generator) -> str | None:
        omitted, misnamed, which = rng.random(3)
        if omitted < self.omit:
            return None
        wrong = [other for other in others if other != name]
        return wrong[int(which * len(wrong))] if misnamed < self.misname and wrong else name


class TruthMasks:
    """Draws the true mask of every phrase that is a truth, and finds nothing of any other."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._masks: dict[tuple[str, str], Mask] = {}
        for sample in samples:
            for index, image in enumerate(sample.images):
                here = [t for t in sample.targets if t.image_index == index]
                owner = next((with_determiner(bare_name(t.phrase)) for t in here if t.role == "object"), None)
                for target in here:
                    whole = f" of {owner}" if owner and target.role != "object" else ""
                    phrase = with_determiner(bare_name(target.phrase)) + whole
                    self._masks[os.path.realpath(image.path), phrase] = target.mask

    def segment(self, wanted: Sequence[Wanted]) -> list[Found]:
        masks = [self._masks.get((os.path.realpath(w.image.path), w.phrase)) for w in wanted]
        return [Found(mask=mask, score=0.0 if mask is None else 1.0) for mask in masks]


def _add(here: Contents, targets: Sequence[Target]) -> None:
    """The objects of a picture, and the parts of the compared one."""
    owner = ""
    for target in targets:
        name = bare_name(target.phrase)
        if target.role == "object":
            here.setdefault(name, [])
            owner = owner or name
        elif name not in here.setdefault(owner, []):
            here[owner].append(name)


def _compare(prompt: str) -> str:
    """Step 2 by set logic on the lines that :class:`SimulatedChat` writes in step 1."""
    task = next((task for task, question in QUESTIONS.items() if question in prompt), None)
    if task is None or OPENED not in prompt or CLOSED not in prompt:
        raise ClientError("the simulated chat model answers the Cascade's own prompts only", mend="name a real model")
    body = prompt.split(OPENED, 1)[1].split(CLOSED, 1)[0]
    contents = [_read(line.partition(": ")[2]) for line in body.strip().splitlines()]
    if task == "common_objects":
        shared = [name for name in contents[0] if all(name in here for here in contents)]
        chosen: list[Contents] = [{name: [] for name in shared} for _ in contents]
    else:
        sets = [frozenset(part for parts in here.values() for part in parts) for here in contents]
        common = frozenset.intersection(*sets)
        kept = [common] * len(sets) if task == "common_parts" else [frozenset(names) for names in unique_parts(sets)]
        chosen = [
            {name: [part for part in parts if part in keep] for name, parts in here.items()}
            for here, keep in zip(contents, kept, strict=True)
        ]
    named = [[{"object": name, "parts": parts} for name, parts in here.items()] for here in chosen]
    return json.dumps({f"IMAGE{k + 1}": here for k, here in enumerate(named)})


def _read(line: str) -> Contents:
    here: Contents = {}
    for piece in line.split("; ") if line != "nothing" else []:
        name, _, parts = piece.partition(" - ")
        here.setdefault(name, []).extend(parts.split(", ") if parts else [])
    return here
