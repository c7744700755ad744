"""Alignment samples: every one reads back as what it grounds, masks are exact, seeds decide, phrasings are held out."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from llava_corr import cli
from llava_corr.benchmarks.baselines import prior_only
from llava_corr.benchmarks.mixedparts_units import align
from llava_corr.datasets import command
from llava_corr.datasets.alignment import phrasings
from llava_corr.datasets.alignment.build import Builder
from llava_corr.datasets.alignment.command import load_subjects
from llava_corr.datasets.alignment.subjects import ground_caption, subject
from llava_corr.datasets.checks import check_sample
from llava_corr.errors import ConfigError, Findings, SampleError
from llava_corr.files import read_json
from llava_corr.grammar import names_parts, normalise_label, parse_answer
from llava_corr.record_files import read_samples, write_records
from llava_corr.records import (
    AnnotatedImage,
    CaptionedImage,
    GroundedCaption,
    GroundedPhrase,
    ImageObject,
    Mask,
    Referral,
)
from llava_corr.world.writers import grand as writer

SIZE = (6, 30)
TASKS = ("grounded_caption", "referring", "caption")


def square(k: int) -> np.ndarray:
    pixels = np.zeros(SIZE, bool)
    pixels[1:4, 3 * k : 3 * k + 2] = True
    return pixels


def captioned(*captions: GroundedCaption, referrals: tuple[Referral, ...] = (), name: str = "1") -> CaptionedImage:
    objects = tuple(ImageObject(category="dog", instance_id=str(k), mask=Mask.from_array(square(k))) for k in range(10))
    return CaptionedImage(
        image_id=name, path=f"/data/{name}.jpg", height=SIZE[0], width=SIZE[1], source="grand", split="train",
        objects=objects, captions=captions, referrals=referrals,
    )  # fmt: skip


def caption(text: str, **phrases: tuple[str, ...]) -> GroundedCaption:
    """Phrases by their words, with ``_`` for blanks."""
    found = []
    for words, ids in phrases.items():
        start = text.index(words.replace("_", " "))
        found.append(GroundedPhrase(start=start, end=start + len(words), instance_ids=ids))
    return GroundedCaption(text=text, phrases=tuple(sorted(found, key=lambda p: p.start)))


def builder(*images: CaptionedImage, split: str = "train", seed: int = 0) -> Builder:
    found = [subject(image, "grand", Findings()) for image in images]
    return Builder([one for one in found if one is not None], split, seed)


# --- one image


def test_a_caption_is_grounded_in_place():
    text = "Two dogs play with a ball. One part of it is red."
    answer = ground_caption(caption(text, Two_dogs=("0", "3"), a_ball=("1",)))
    assert answer.text == (
        "<p> Two dogs </p> [SEG] (IMAGE1) play with <p> a ball </p> [SEG] (IMAGE1). One part of it is red."
    )
    made = next(
        s for s in builder(captioned(caption(text, Two_dogs=("0", "3"), a_ball=("1",)))).samples(50) if s.targets
    )
    assert made.task == "grounded_caption"
    assert [t.phrase for t in made.targets] == ["Two dogs", "a ball"]
    for target, truth in zip(made.targets, (square(0) | square(3), square(1)), strict=True):
        assert np.array_equal(coco_mask.decode(target.mask.to_coco()), truth)
    assert made.turns[0].user.startswith("The <image> (IMAGE1) provides an overview of the picture. ")
    assert check_sample(made) == []  # a caption may say "part": its sentences are not told apart as MixedParts' are


def test_referrals_are_asked_for_by_their_phrase():
    referrals = (Referral(phrase="dog", instance_ids=("0", "1")), Referral(phrase="a red one", instance_ids=("2",)))
    made = list(builder(captioned(referrals=referrals)).samples(40))
    assert {s.task for s in made} == {"referring"}
    assert {s.targets[0].phrase for s in made} == {"the dog", "a red one"}
    for sample in made:
        (target,) = sample.targets
        assert target.phrase in sample.turns[0].user
        truth = square(0) | square(1) if target.phrase == "the dog" else square(2)
        assert np.array_equal(coco_mask.decode(target.mask.to_coco()), truth)


@pytest.mark.parametrize("words", ["a [SEG] dog", "the <p> dog", "(IMAGE1) is here", "image 2", "<image>"])
def test_signs_of_the_grammar_are_left_out(words):
    findings = Findings()
    referrals = (Referral(phrase=words, instance_ids=("0",)),)
    assert subject(captioned(caption(words), referrals=referrals), "grand", findings) is None
    assert findings.counts() == {"unsayable_caption": 1, "unsayable_referral": 1, "image_without_words": 1}


def test_a_phrase_that_is_not_read_back_leaves_the_caption_plain():
    findings = Findings()
    text = "cats and dogs"
    start = text.index("and")
    odd = GroundedCaption(text=text, phrases=(GroundedPhrase(start=start, end=start + 3, instance_ids=("0",)),))
    found = subject(captioned(odd), "grand", findings)
    assert (found.captions, found.grounded) == ((text,), ())
    assert findings.counts() == {"unsayable_caption": 1}


def test_nothing_to_say_at_all():
    with pytest.raises(SampleError, match="no image with a caption"):
        builder(captioned())


# --- many images

WORDS = st.sampled_from(
    ["a", "the", "dog", "red", "and", "of", "or", "part", "image", "st.", "piece", "(small)", "ball's", "2,", "x-y"]
)
IDS = st.lists(st.integers(0, 9).map(str), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def random_captions(draw) -> GroundedCaption:
    words = draw(st.lists(WORDS, min_size=1, max_size=14))
    text, phrases, at = " ".join(words), [], 0
    while at < len(words):
        length = draw(st.integers(1, 4))
        if draw(st.booleans()):
            start, end = len(" ".join(words[:at])) + (at > 0), len(" ".join(words[: at + length]))
            phrases.append(GroundedPhrase(start=start, end=end, instance_ids=draw(IDS)))
        at += length
    return GroundedCaption(text=text, phrases=tuple(phrases))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(random_captions(), min_size=1, max_size=3),
    st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), IDS), max_size=3),
    st.sampled_from(["train", "val", "test"]),
    st.integers(0, 3),
)
def test_every_sample_reads_back(captions, referrals, split, seed):
    """[SEG]s equal targets, phrases and images come back from the text, masks are the unions, the doctor agrees."""
    found = tuple(Referral(phrase=p, instance_ids=ids) for p, ids in referrals)
    image = captioned(*captions, referrals=found)
    one = subject(image, "grand", Findings())
    if one is None:
        return
    unions = {np.any([square(int(i)) for i in m.instance_ids], axis=0).tobytes()
              for a in one.grounded for m in a.mentions} | {
              np.any([square(int(i)) for i in m.instance_ids], axis=0).tobytes() for m in one.mentions}  # fmt: skip
    for sample in Builder([one], split, seed).samples(12):
        text = sample.turns[0].assistant
        answer = parse_answer(text, 1)
        assert answer.trail == []
        assert text.count("[SEG]") == answer.seg_count == len(sample.targets)
        assert [normalise_label(s.phrase) for s in answer.segments] == [
            normalise_label(t.phrase) for t in sample.targets
        ]
        assert all(coco_mask.decode(t.mask.to_coco()).astype(bool).tobytes() in unions for t in sample.targets)
        assert (sample.task == "caption") == (not sample.targets)
        if sample.task != "referring":
            plain = re.sub(r"<p> (.*?) </p> \[SEG\] \(IMAGE1\)", r"\1", text)
            assert plain in {c.text for c in captions}
        assert check_sample(sample) == []


def collection(count: int = 12) -> list[CaptionedImage]:
    referrals = (Referral(phrase="dog", instance_ids=("0",)), Referral(phrase="a cat", instance_ids=("1", "2")))
    return [
        captioned(caption(f"a dog and {k} cats", a_dog=("0",)), referrals=referrals, name=f"{k:02d}")
        for k in range(count)
    ]


def test_samples_depend_on_seed_split_and_index_only():
    images = collection()
    first = list(builder(*images).samples(60))
    assert list(builder(*reversed(images)).samples(90))[:60] == first
    assert builder(*images).sample(37) == first[37]
    assert list(builder(*images, seed=1).samples(60)) != first
    assert len({s.id for s in first}) == 60


def test_tasks_come_in_their_shares_and_images_alike():
    made = list(builder(*collection()).samples(3000))
    tasks = Counter(s.task for s in made)
    for task, share in phrasings.TASK_SHARES.items():
        assert tasks[task] / len(made) == pytest.approx(share, abs=0.03)
    shown = Counter(s.images[0].path for s in made)
    assert len(shown) == 12
    assert min(shown.values()) > 180


# --- words


@pytest.mark.parametrize("task", TASKS)
def test_questions_are_held_out_by_sentence_not_by_word(task):
    asked, held_out = phrasings.QUESTIONS[task], phrasings.HELD_OUT_QUESTIONS[task]
    assert len(set(asked)) == len(asked) == 10
    assert len(set(held_out)) == 3
    assert not set(asked) & set(held_out)
    assert phrasings.questions(task, "train") == phrasings.questions(task, "val") == asked
    assert phrasings.questions(task, "test") == held_out
    words = [{w for q in some for w in re.findall(r"[a-z{}]+", q.lower())} for some in (held_out, asked)]
    assert words[0] <= words[1]
    for question in asked + held_out:
        wants_masks = bool(re.search(r"mask|segment|where|pixels", question.lower()))
        assert wants_masks == (task != "caption")
        assert question.count("{phrase}") == (task == "referring")
        assert not names_parts(question)


def test_no_question_belongs_to_two_tasks():
    every = [q for task in TASKS for q in phrasings.QUESTIONS[task] + phrasings.HELD_OUT_QUESTIONS[task]]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_samples_ask_the_questions_of_their_split(split):
    for sample in builder(*collection(), split=split).samples(80):
        asked = phrasings.questions(sample.task, split)
        if sample.task == "referring":
            asked = [question.replace("{phrase}", sample.targets[0].phrase) for question in asked]
        assert any(sample.turns[0].user.endswith(f"picture. {question}") for question in asked)


# --- the command


def pictures(root: Path, split: str, count: int = 6) -> list[AnnotatedImage]:
    made = []
    for k in range(count):
        path = root / f"{split}_{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng([k, len(split)]).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        objects = tuple(
            ImageObject(category="cup", instance_id=str(i), mask=Mask.from_array(square(i + k))) for i in range(k % 3)
        )
        made.append(
            AnnotatedImage(
                image_id=f"{k}", path=str(path), height=SIZE[0], width=SIZE[1], source="own", split=split,
                objects=objects,
            )
        )  # fmt: skip
    return made


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val", "test"):
        images = pictures(tmp_path / "own", split)
        write_records(tmp_path / "own" / f"{split}.jsonl", images)
        writer.write(tmp_path / "grand", split, [i for i in images if i.objects], tmp_path / "grand")
    return tmp_path


def test_from_grand_files_and_through_the_format_alike(root, tmp_path):
    """GranD files as a source, and the same annotations in another format: the same dialogues."""
    for name in ("grand", "jsonl"):
        source = f"{name}={root / ('grand' if name == 'grand' else 'own')}"
        words = ["data", "--dataset", "grand", "--source", source, "--count", "30", "--out", str(tmp_path / name)]
        assert cli.main(words) == 0
        files = [str(tmp_path / name / f"{split}.jsonl") for split in ("train", "val", "test")]
        assert cli.main(["doctor", *files, "--images"]) == 0
    for split in ("train", "val", "test"):
        one, other = (read_samples(tmp_path / name / f"{split}.jsonl") for name in ("grand", "jsonl"))
        assert [s.model_copy(update={"source": ""}) for s in one] == [
            s.model_copy(update={"source": ""}) for s in other
        ]
        assert {s.source for s in one + other} == {"grand", "jsonl"}
        report = read_json(tmp_path / "jsonl" / f"{split}_build.json")
        assert report["finding_counts"] == {"image_without_objects": 2}
        assert report["images"] == 4
        assert sum(report["tasks"].values()) == 30 == len(one)


def arguments(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_same_arguments_same_bytes(root, tmp_path):
    for out in "ab":
        words = ("--dataset", "grand", "--source", f"jsonl={root / 'own'}", "--split", "train", "--count", 20)
        command.run(arguments(*words, "--seed", 3, "--out", tmp_path / out))
    assert (tmp_path / "a" / "train.jsonl").read_bytes() == (tmp_path / "b" / "train.jsonl").read_bytes()


def test_pictures_that_are_not_there_are_listed(root):
    (root / "own" / "train_1.png").unlink()
    findings = Findings()
    assert len(load_subjects("grand", root / "grand", "train", findings)) == 4
    assert findings.counts() == {"picture_absent": 1}


def test_unusable_arguments(root, tmp_path):
    words = ("--dataset", "grand", "--source", f"grand={root / 'grand'}", "--out", tmp_path / "out")
    with pytest.raises(ConfigError, match="--spec belongs to MixedParts"):
        command.run(arguments(*words, "--spec", "spec.json"))
    with pytest.raises(ConfigError, match="--count 0"):
        command.run(arguments(*words, "--count", 0))
    assert arguments("--out", "x").dataset == "mixedparts"


def test_mixedparts_scores_refuse_alignment_samples():
    made = [builder(*collection()).sample(0)]
    with pytest.raises(SampleError, match="not a task of MixedParts"):
        align(made, [])
    with pytest.raises(SampleError, match="not a task of MixedParts"):
        list(prior_only(made, made))
