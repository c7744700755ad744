"""The words of the alignment tasks: questions (three held out for the test split), answers, shares.

All sentences and shares are ours. Held out are sentences, not words, as in MixedParts. Only questions that want masks
speak of masks, segments or places; ``{phrase}`` is what a referring question asks for, ``{item}`` its grounded form.
"""

from __future__ import annotations

from ...records import AlignmentTask

TASK_SHARES: dict[AlignmentTask, float] = {"grounded_caption": 0.5, "referring": 0.4, "caption": 0.1}

QUESTIONS: dict[AlignmentTask, tuple[str, ...]] = {
    "grounded_caption": (
        "Describe the image and segment everything that you mention.",
        "What does the image show? Give a mask for each thing that you name.",
        "Please write a caption of the image with segmentation masks.",
        "Tell me about the picture and mark the things in it with masks.",
        "Give a description of the picture. Segment each thing that you name.",
        "Caption this image and show where everything is.",
        "What can be seen in the picture? Answer with segmentation masks.",
        "Look at the image and describe it, together with a mask of each thing.",
        "Please describe the picture, with masks of what it shows.",
        "Say what is in the image and segment it.",
    ),
    "referring": (
        "Please segment {phrase}.",
        "Can you segment {phrase} in this image?",
        "Where is {phrase}? Answer with a segmentation mask.",
        "Give the mask of {phrase}.",
        "Find {phrase} in the picture and segment it.",
        "Show where {phrase} is.",
        "Mark {phrase} with a mask.",
        "Segment {phrase} in the image.",
        "Look for {phrase} and give its mask.",
        "Which pixels of the picture show {phrase}? Segment them.",
    ),
    "caption": (
        "Describe the image.",
        "What does the image show?",
        "Please write a caption of the picture.",
        "Tell me about the picture in a sentence or two.",
        "Give a description of the image.",
        "Caption this image.",
        "What can be seen in the picture?",
        "Look at the image and describe it in words.",
        "Please describe what the picture shows.",
        "Say what is in the image.",
    ),
}

HELD_OUT_QUESTIONS: dict[AlignmentTask, tuple[str, ...]] = {
    "grounded_caption": (
        "Describe the picture and give a mask for everything that you name.",
        "What does the picture show? Please answer with a caption and masks.",
        "Look at the image and tell me what is in it, with a segmentation mask of each thing.",
    ),
    "referring": (
        "Can you find {phrase} in the image? Give its mask.",
        "Where in the picture is {phrase}? Please segment it.",
        "Look for {phrase} and mark it with a segmentation mask.",
    ),
    "caption": (
        "Please caption the picture.",
        "What is in the image? Describe it.",
        "Tell me in words what the picture shows.",
    ),
}

REFERRING_ANSWERS = (
    "It is {item}.",
    "Here is {item}.",
    "This is the mask of {item}.",
    "The image shows {item}.",
)


def questions(task: AlignmentTask, split: str) -> tuple[str, ...]:
    """Questions that may be asked in ``split``: the test split has three of its own, which no other split sees."""
    return HELD_OUT_QUESTIONS[task] if split == "test" else QUESTIONS[task]
