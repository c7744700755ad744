"""What can be said about one image: grounded captions, referrals and plain captions that the grammar reads back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import Findings
from ...grammar import ground, normalise_label, parse_answer, with_determiner
from ...records import AlignmentTask, CaptionedImage, GroundedCaption, ImageRef, Mask, Referral, Target

_SIGNS = re.compile(r"[<>\[\]]|IMAGE\s*_?\d", re.I)  # the grammar's own: an answer must not say them of itself
_DETERMINED = re.compile(r"(?:the|an?|one|this|that|these|those|some|more|two|three|four|several|many|all)\b", re.I)


class Mention(NamedTuple):
    """A phrase as the answer says it, and the instances behind its one [SEG]."""

    phrase: str
    instance_ids: tuple[str, ...]


class Answer(NamedTuple):
    """An answer's text and its mentions, one per [SEG], in order."""

    text: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True)
class Subject:
    """One image and what can be said about it.

    Attributes:
        source: where the image comes from, for the samples' records.
        masks: instance id -> mask.
        grounded: captions with at least one phrase grounded.
        mentions: phrases to ask for, with a determiner.
        captions: all captions, as plain text.
    """

    source: str
    image_id: str
    ref: ImageRef
    masks: dict[str, Mask]
    grounded: tuple[Answer, ...]
    mentions: tuple[Mention, ...]
    captions: tuple[str, ...]

    def offers(self, task: AlignmentTask) -> Sequence[object]:
        """What a sample of ``task`` can be made from."""
        choices: dict[AlignmentTask, Sequence[object]] = {
            "grounded_caption": self.grounded,
            "referring": self.mentions,
            "caption": self.captions,
        }
        return choices[task]

    def target(self, mention: Mention) -> Target:
        """The truth behind the mention's [SEG]: the union of its instances."""
        mask = Mask.union([self.masks[instance] for instance in mention.instance_ids])
        return Target(phrase=mention.phrase, image_index=0, mask=mask, turn=0, role="object")


def ground_caption(caption: GroundedCaption) -> Answer:
    """The caption with ``<p> ... </p> [SEG] (IMAGE1)`` in the place of every phrase."""
    text, end, mentions = "", 0, []
    for phrase in caption.phrases:
        words = caption.text[phrase.start : phrase.end]
        text += caption.text[end : phrase.start] + ground(words, [0])
        end = phrase.end
        mentions.append(Mention(words, phrase.instance_ids))
    return Answer(text + caption.text[end:], tuple(mentions))


def ground_mention(mention: Mention, template: str) -> Answer:
    """A sentence of :data:`.phrasings.REFERRING_ANSWERS` about one mention."""
    return Answer(template.format(item=ground(mention.phrase, [0])), (mention,))


def reads_back(answer: Answer) -> bool:
    """Whether the parser finds exactly the answer's mentions, without repairing anything."""
    parsed = parse_answer(answer.text, 1)
    found = [normalise_label(segment.phrase) for segment in parsed.segments]
    return not parsed.trail and found == [normalise_label(mention.phrase) for mention in answer.mentions]


def subject(image: CaptionedImage, source: str, findings: Findings) -> Subject | None:
    """What can be said about ``image``; None, with a finding ``image_without_words``, if that is nothing.

    Left out with a finding: captions and referrals that hold signs of the grammar (``unsayable_caption``,
    ``unsayable_referral``) or phrases that would not be read back as written, such as "and". A caption whose phrases
    are at fault stays a plain one.
    """
    where = f"{source}/{image.split} image {image.image_id}"
    grounded, plain = [], []
    for caption in image.captions:
        if _SIGNS.search(caption.text):
            findings.add("unsayable_caption", where, repr(caption.text))
            continue
        plain.append(caption.text)
        answer = ground_caption(caption)
        if not reads_back(answer):
            findings.add("unsayable_caption", where, f"{answer.text!r}; kept without masks")
        elif answer.mentions:
            grounded.append(answer)
    mentions = _mentions(image.referrals, where, findings)
    if not (plain or mentions):
        findings.add("image_without_words", where)
        return None
    masks = {thing.instance_id: thing.mask for thing in image.objects}
    ref = ImageRef(path=image.path, height=image.height, width=image.width)
    return Subject(source, image.image_id, ref, masks, tuple(grounded), mentions, tuple(plain))


def _mentions(referrals: Iterable[Referral], where: str, findings: Findings) -> tuple[Mention, ...]:
    found = []
    for referral in referrals:
        words = referral.phrase
        mention = Mention(words if _DETERMINED.match(words) else with_determiner(words), referral.instance_ids)
        if _SIGNS.search(words) or not reads_back(ground_mention(mention, "{item}")):
            findings.add("unsayable_referral", where, repr(words))
        else:
            found.append(mention)
    return tuple(found)
