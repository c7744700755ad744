"""The Cascade: perfect parts score 100, bad ones never crash it, and every answer reads back."""

import json
import re

import numpy as np
import pytest
from compared import HEIGHT, PARTS, WIDTH, compared, mask, write_picture
from toy_mixedparts import sample as other_sample

from llava_corr.benchmarks.cascade import Asked, Cascade, draft, finish
from llava_corr.benchmarks.cascade_names import read_names
from llava_corr.benchmarks.cascade_prompts import QUESTIONS, compare_messages, look_messages, prompts_hash
from llava_corr.benchmarks.mixedparts import score
from llava_corr.benchmarks.segmenters import Found, RecordedMask, RecordedMasks, Wanted
from llava_corr.benchmarks.simulated_chat import SimulatedChat, TruthMasks
from llava_corr.clients.echo import EchoClient
from llava_corr.clients.recording import RecordedClient
from llava_corr.clients.requests import Reply
from llava_corr.errors import ClientError, ConfigError, MaskError, PredictionError, SampleError
from llava_corr.grammar import normalise_label, parse_answer
from llava_corr.metrics.text import LabelEmbeddings
from llava_corr.record_files import write_records
from llava_corr.records import ImageRef

EXACT = ("AP50", "mIoU", "mIoU_strict", "mIoU_strict_spurious", "Recall", "SS", "S-IoU", "SS_matched", "S-IoU_matched")


class Says:
    """A language model that always says the same."""

    def __init__(self, text, finish="stop"):
        self.text, self.finish, self.requests = text, finish, []

    def complete(self, request):
        self.requests.append(request)
        return Reply(text=self.text, finish=self.finish)


class Draws:
    """A segmenter that draws the same tile for every phrase, and nothing for some."""

    def __init__(self, nothing_of=()):
        self.nothing_of, self.wanted = nothing_of, []

    def segment(self, wanted):
        self.wanted += wanted
        return [Found(mask=None if w.phrase in self.nothing_of else mask(0), score=0.5) for w in wanted]


def cascade(chat, llm, segmenter, workers=1):
    return Cascade(Asked(chat, "chat"), Asked(llm, "llm"), segmenter, workers)


def values(samples, predictions):
    columns = score(samples, predictions, LabelEmbeddings(), resamples=0).columns
    return {task: {name: s.value for name, s in column.scores.items()} for task, column in columns.items()}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("compared"), 12)


def test_perfect_recorded_replies_and_exact_recorded_masks_score_100(samples, tmp_path):
    simulated = SimulatedChat(samples)
    recording = [RecordedClient(tmp_path / f"{k}.jsonl", simulated) for k in range(2)]
    drawn = RecordedMasks(tmp_path / "masks.jsonl", TruthMasks(samples))
    first = list(cascade(*recording, drawn, workers=3).answer(samples))
    for one in (*recording, drawn):
        one.close()
    replay = [RecordedClient(tmp_path / f"{k}.jsonl") for k in range(2)]
    predictions = list(cascade(*replay, RecordedMasks(tmp_path / "masks.jsonl")).answer(samples))
    assert predictions == first
    assert [p.sample_id for p in predictions] == [s.id for s in samples]
    assert all(p.trail == () for p in predictions)
    assert {len(s.images) for s in samples} == {2, 3, 4}
    assert sum(not s.targets for s in samples) >= 2  # nothing in common, and the answer says so
    found = values(samples, predictions)
    for task in QUESTIONS:
        for name in EXACT:
            assert found[task][name] == pytest.approx(1.0), (task, name)
        assert found[task]["predictions_per_truth"] == pytest.approx(1.0)
        assert found[task].get("false_segment_rate", 0.0) == 0.0


def test_answers_read_back_and_part_tasks_name_the_objects_first(samples):
    for one, prediction in zip(samples, cascade(*[SimulatedChat(samples)] * 2, Draws()).answer(samples), strict=True):
        parsed = parse_answer(prediction.text, len(one.images))
        assert not parsed.trail
        assert [(s.phrase, s.image_index) for s in parsed.segments] == [
            (s.phrase, s.image_index) for s in prediction.segments
        ]
        said = sorted((normalise_label(s.phrase), s.image_index) for s in prediction.segments)
        assert said == sorted((normalise_label(t.phrase), t.image_index) for t in one.targets)
        if one.task != "common_objects":
            assert prediction.text.startswith("The images show <p> the ")


def test_errors_of_the_simulated_model_are_seeded_and_cost_scores(samples):
    def answers(omit, misname, seed=0):
        simulated = SimulatedChat(samples, omit=omit, misname=misname)
        asked = Asked(simulated, "m", seed=seed)
        return list(Cascade(asked, asked, TruthMasks(samples), 2).answer(samples))

    good, worse = answers(0.1, 0.1), answers(0.5, 0.3)
    assert good == answers(0.1, 0.1) != answers(0.1, 0.1, seed=1)
    perfect, good, worse = (values(samples, p)["mean"] for p in (answers(0, 0), good, worse))
    for name in ("mIoU_strict", "SS", "Recall_nonbreaking"):
        assert perfect[name] == pytest.approx(1.0)
        assert 1.0 > good[name] > worse[name]
    for omit, misname in ((-0.1, 0), (0, 1.1), (float("nan"), 0)):
        with pytest.raises(ConfigError, match="shares from 0 to 1"):
            SimulatedChat(samples, omit=omit, misname=misname)


def test_the_simulated_model_answers_nothing_else(samples, tmp_path):
    simulated = Asked(SimulatedChat(samples[:3]), "m")
    with pytest.raises(ClientError, match="knows only the pictures"):
        simulated.ask(look_messages(samples[3]))
    with pytest.raises(ClientError, match="own prompts only"):
        simulated.ask(compare_messages("common_parts", 2, "x")[:1])


def test_the_paper_s_example_in_words(samples):
    one = samples[1]  # common parts of two pictures
    reply = {
        "IMAGE1": [{"object": "sofa", "parts": ["seat cushion", "leg"]}],
        "IMAGE2": [{"object": "chair", "parts": ["leg"]}, {"object": "", "parts": ["seat cushion"]}],
    }
    segmenter = Draws()
    (prediction,) = cascade(Says("A sofa, and a chair."), Says(json.dumps(reply)), segmenter).answer([one])
    assert prediction.text == (
        "The images show <p> the sofa </p> [SEG] (IMAGE1) and <p> the chair </p> [SEG] (IMAGE2). The common parts are "
        "<p> the seat cushion </p> [SEG] (IMAGE1) [SEG] (IMAGE2) and <p> the leg </p> [SEG] (IMAGE1) [SEG] (IMAGE2)."
    )
    assert [(w.image.path, w.phrase) for w in segmenter.wanted] == [
        (one.images[0].path, "the sofa"),
        (one.images[1].path, "the chair"),
        (one.images[0].path, "the seat cushion of the sofa"),
        (one.images[1].path, "the seat cushion"),
        (one.images[0].path, "the leg of the sofa"),
        (one.images[1].path, "the leg of the chair"),
    ]
    assert {s.score for s in prediction.segments} == {0.5}


def test_what_the_models_are_shown(samples):
    for one in samples[:6]:
        chat, llm = Says("Two dogs."), Says("{}")
        list(cascade(chat, llm, Draws()).answer([one]))
        (seen,), (told,) = chat.requests, llm.requests
        assert seen.images() == [image.path for image in one.images]
        content = seen.messages[0].content
        for k, image in enumerate(one.images):
            assert content[content.index(f"IMAGE{k + 1}:") + 1].path == image.path
        assert told.images() == []
        assert "\nTwo dogs.\n" in told.words()
        assert QUESTIONS[one.task] in told.words()
        form = json.loads(told.words().split("form:\n")[1])
        assert list(form) == [f"IMAGE{k + 1}" for k in range(len(one.images))]
        names = read_names(told.words().split("form:\n")[1], len(one.images), about_parts=one.task != "common_objects")
        assert names.readable
        assert not [line for line in names.trail if "names_repeated" not in line]
    common, unique = (look_messages(s) for s in samples[1:3])
    assert common == unique  # asked once for both tasks
    assert re.fullmatch("[0-9a-f]{64}", prompts_hash())


@pytest.mark.parametrize("reply", ["", "I cannot help with that.", "{", "[]", "\x00[SEG]"])
def test_an_unreadable_reply_is_an_empty_answer_that_is_counted(samples, reply):
    predictions = list(cascade(Says("A dog."), Says(reply, "length"), Draws()).answer(samples[:3]))
    for one, prediction in zip(samples, predictions, strict=False):
        assert (prediction.text, prediction.segments, prediction.truth) == ("", (), one.truth_hash())
        rules = [line.split(" ")[0] for line in prediction.trail]
        assert rules == ["reply_cut", "names_unreadable"]
    aligned = score(samples[:3], predictions, LabelEmbeddings(), resamples=0).aligned
    assert aligned.trail == {"reply_cut": 3, "names_unreadable": 3}


def test_nothing_found_is_an_answer_too(samples):
    empty = json.dumps({"IMAGE1": [], "IMAGE2": []})
    for prediction in cascade(Says(""), Says(empty), Draws()).answer(samples[:3]):
        assert prediction.segments == prediction.trail == ()
        assert re.fullmatch(r"[\w ]+ (common|parts|images)\.|.*unique parts\.|.*in common\.", prediction.text)


def test_a_name_without_a_mask_keeps_its_place_with_an_empty_one(samples):
    reply = json.dumps(
        {"IMAGE1": [{"object": "dog", "parts": ["leg"]}], "IMAGE2": [{"object": "dog", "parts": ["leg"]}]}
    )
    segmenter = Draws(nothing_of=("the leg of the dog",))
    (prediction,) = cascade(Says(""), Says(reply), segmenter).answer([samples[1]])
    assert [s.mask.area > 0 for s in prediction.segments] == [True, True, False, False]
    assert [s.score for s in prediction.segments] == [0.5, 0.5, 0.0, 0.0]
    assert [line.split(" ")[0] for line in prediction.trail] == ["no_mask", "no_mask"]
    assert values([samples[1]], [prediction])  # and the file is one that can be scored


def test_echo_goes_all_the_way_through(samples):
    predictions = list(cascade(EchoClient(), EchoClient(), Draws()).answer(samples[:6]))
    assert len(predictions) == 6  # the form of the prompt is what comes back


def test_hostile_names_read_back(samples):
    names = [
        "<p>",
        "[SEG] (IMAGE2)",
        "IMAGE2",
        "a. b",
        "the the",
        "x" * 500,
        "and",
        "leg, and arm",
        "no. 5!",
        "é",
        "part",
    ]
    reply = {f"IMAGE{k}": [{"object": name, "parts": names} for name in names] for k in (1, 2)}
    for task in range(3):
        (prediction,) = cascade(Says(""), Says(json.dumps(reply)), Draws()).answer([samples[task]])
        assert prediction.segments
        assert not parse_answer(prediction.text, 2).trail


def test_other_tasks_and_other_counts_are_refused(samples):
    with pytest.raises(SampleError, match="not a task of MixedParts"):
        list(cascade(Says(""), Says(""), Draws()).answer([other_sample("x", task="referring")]))
    made = draft(samples[1], read_names('{"IMAGE1": ["leg"], "IMAGE2": []}', 2, about_parts=True))
    with pytest.raises(PredictionError, match="0 masks for 1"):
        finish(samples[1], made, [])


def wanted(folder, *phrases):
    image = write_picture(folder / "a.png", 0)
    return [Wanted(image, phrase) for phrase in phrases]


def test_recorded_masks_are_found_wherever_their_folder_lies(tmp_path):
    (one, two) = wanted(tmp_path / "pictures", "the leg", "the arm")
    rows = [RecordedMask(image="pictures/a.png", phrase="the leg", mask=mask(1), score=0.7),
            RecordedMask(image=one.image.path, phrase="the arm", mask=None)]  # fmt: skip
    write_records(tmp_path / "masks.jsonl", rows)
    masks = RecordedMasks(tmp_path / "masks.jsonl")
    assert masks.segment([two, one, two]) == [
        Found(mask=None), Found(mask=mask(1), score=0.7), Found(mask=None),
    ]  # fmt: skip
    third = one._replace(phrase="the seat")
    with pytest.raises(PredictionError, match=r"no mask of 'the seat' is recorded for .*a\.png"):
        masks.segment([one, third])
    assert RecordedMasks(tmp_path / "masks.jsonl", missing="empty").segment([third])[0].mask is None


def test_masks_are_drawn_once(tmp_path):
    phrases = wanted(tmp_path, "the leg", "the arm", "the leg")
    drawing = RecordedMasks(tmp_path / "masks.jsonl", Draws())
    first = drawing.segment(phrases[:1]) + drawing.segment(phrases)
    assert drawing.asked == 2
    drawing.close()
    rows = (tmp_path / "masks.jsonl").read_bytes()
    assert json.loads(rows.splitlines()[0])["image"] == "a.png"
    (tmp_path / "masks.jsonl").write_bytes(rows[:-5])  # killed in the middle of the second
    again = RecordedMasks(tmp_path / "masks.jsonl", Draws())
    assert again.segment(phrases) == first[1:]
    assert again.asked == 1
    assert (tmp_path / "masks.jsonl").read_bytes() == rows


def test_masks_of_two_segmenters_are_not_mixed(tmp_path):
    phrases = wanted(tmp_path, "the leg", "the arm")
    drawing = RecordedMasks(tmp_path / "masks.jsonl", Draws(), drawn_by="model:a 01")
    drawn = drawing.segment(phrases[:1])
    drawing.close()
    with pytest.raises(PredictionError, match=r"model:a 01 drew 'the leg'[\s\S]*row 1[\s\S]*file of its own"):
        RecordedMasks(tmp_path / "masks.jsonl", Draws(), drawn_by="model:a 02")
    again = RecordedMasks(tmp_path / "masks.jsonl", Draws(), drawn_by="model:a 01")
    assert again.segment(phrases)[:1] == drawn
    assert again.asked == 1
    again.close()
    assert RecordedMasks(tmp_path / "masks.jsonl").segment(phrases)[:1] == drawn  # whoever drew them


def test_masks_that_do_not_fit_are_named(tmp_path):
    (one,) = wanted(tmp_path, "the leg")
    path = tmp_path / "masks.jsonl"
    with pytest.raises(PredictionError, match="does not exist"):
        RecordedMasks(path)
    wide = ImageRef(path=one.image.path, height=HEIGHT, width=WIDTH + 1)
    write_records(path, [RecordedMask(image="a.png", phrase="the leg", mask=mask(1))])
    with pytest.raises(MaskError, match=r"\(40, 60\), its picture .*a\.png \(40, 61\)"):
        RecordedMasks(path).segment([Wanted(wide, "the leg")])
    broken = mask(1).model_copy(update={"counts": mask(1).counts[:-2]})
    write_records(path, [RecordedMask(image="a.png", phrase="the leg", mask=broken)])
    with pytest.raises(MaskError, match="undecodable"):
        RecordedMasks(path).segment([one])
    write_records(path, [RecordedMask(image="a.png", phrase="the leg", mask=mask(k)) for k in (1, 2)])
    with pytest.raises(PredictionError, match=r"different mask of 'the leg'[\s\S]*row 2"):
        RecordedMasks(path)
    path.write_text('{"image": "a.png", "phrase": "x"}\n')
    with pytest.raises(PredictionError, match=r"mask: Field required[\s\S]*row 1"):
        RecordedMasks(path)


def test_the_tiles_of_the_samples_are_apart():
    tiles = np.stack([mask(k).to_array() for k in range(len(PARTS) + 5)])
    assert tiles.any(axis=(1, 2)).all()
    assert tiles.sum(axis=0).max() == 1
