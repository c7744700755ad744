"""What the Cascade asks its two language models. All words are ours; the paper's prompts are not used.

Step 1 shows the pictures and is the same for every task about parts, so that samples about the same pictures share its
reply. Step 2 sees that reply only, never the pictures, and answers in the format that :mod:`.cascade_names` reads.
"""

from __future__ import annotations

import hashlib
import json

from ..clients.requests import ImageFile, Message
from ..grammar import join_words
from ..records import Sample, Task

OPENED, CLOSED = "<description>", "</description>"

LOOK_FOR_OBJECTS = (
    "List, for each picture by itself, the kinds of things that can be seen in it. Use short everyday nouns in the "
    "singular, and the same noun for the same kind of thing in every picture. One line per picture, like this:\n"
    "IMAGE1: noun, noun, noun"
)
LOOK_FOR_PARTS = (
    "The main objects of these pictures are to be compared part by part. Name, for each picture by itself, the object "
    "that stands out most, and list those of its parts that can be seen in that picture. Use short everyday nouns in "
    "the singular, and the same noun for the same part in every picture. One line per picture, like this:\n"
    "IMAGE1: object - part, part, part"
)
QUESTIONS: dict[Task, str] = {
    "common_objects": (
        "Which kinds of objects are in every one of the pictures? List each of them under all pictures, by the same "
        "name. Leave the lists of parts empty."
    ),
    "common_parts": (
        "Compare the main objects of the pictures. Which parts does the object of every picture have? List these parts "
        "under all pictures, by the same names. Keep the objects even where no part is left."
    ),
    "unique_parts": (
        "Compare the main objects of the pictures. Which parts does the object of one picture have, and no object of "
        "another picture? List each part under its own picture only. Keep the objects even where no part is left."
    ),
}
_ROLE = "You turn descriptions of pictures into lists. You answer with one JSON object and nothing else."
_NAMES = (
    'Use short nouns in the singular. Name a part by itself, without its object: "leg", not "chair leg". If nothing '
    "is to be listed for a picture, give it an empty list."
)


def look_messages(sample: Sample) -> tuple[Message, ...]:
    """Step 1: all pictures, each behind its identifier, then what to list."""
    pictures: list[str | ImageFile] = []
    for name, image in zip(_names(len(sample.images)), sample.images, strict=True):
        pictures += [f"{name}:", ImageFile(path=image.path)]
    wanted = LOOK_FOR_OBJECTS if sample.task == "common_objects" else LOOK_FOR_PARTS
    return (Message(role="user", content=(*pictures, wanted)),)


def compare_messages(task: Task, count: int, description: str) -> tuple[Message, ...]:
    """Step 2: what was said of ``count`` pictures, the question of the task, and the format of the answer."""
    names = _names(count)
    form: dict[str, list[dict[str, object]]] = {
        name: [{"object": "noun", "parts": [] if task == "common_objects" else ["noun", "noun"]}] for name in names
    }
    words = (
        f"Somebody has looked at {count} picture{'' if count == 1 else 's'}, {join_words(names)}, and says:\n"
        f"{OPENED}\n{description.strip()}\n{CLOSED}\n\n"
        f"{QUESTIONS[task]} {_NAMES}\n\nAnswer in this form:\n{json.dumps(form)}"
    )
    return (Message(role="system", content=(_ROLE,)), Message(role="user", content=(words,)))


def prompts_hash() -> str:
    """SHA-256 of all that is said; answers made with other words are other answers."""
    tasks = [compare_messages(task, 2, "description") for task in QUESTIONS]
    words = [LOOK_FOR_OBJECTS, LOOK_FOR_PARTS, [[m.model_dump() for m in messages] for messages in tasks]]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _names(count: int) -> list[str]:
    return [f"IMAGE{k + 1}" for k in range(count)]
