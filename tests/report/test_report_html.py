"""The page: well-formed, self-contained, escaped, complete, repeatable; bad input is a named error."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
from drawn_pairs import TASKS, make_anatomy, make_data, make_pair, make_scores
from html_page import Page
from PIL import Image

from llava_corr.errors import ImageError, PredictionError, ReportError, SampleError, StorageError
from llava_corr.records import Mask, Score, Segment
from llava_corr.report import html
from llava_corr.report.html import write_report
from llava_corr.report.inputs import MACRO, DifferenceRow, Metric, ReportInputs, ScoreRow, about

EVIL = "<script>alert('x')</script> & \"quoted\" </style>"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("pairs"), per_cell=4)


def full_inputs(data, **changes):
    samples, predictions = data
    rows = []
    for model, scale in (("tiny", 1.0), ("prior only", 0.3)):
        scores = make_scores(samples, predictions)
        for task in TASKS:
            for score in scores.get(task, []):
                per_sample = {k: v * scale for k, v in score.per_sample.items()}
                rows.append(ScoreRow(model, task, score.model_copy(update={"per_sample": per_sample})))
        mean = Score(
            name="mIoU_strict", value=0.612 * scale, interval=(0.1, 0.7), n=36, convention="macro mean of strict"
        )
        rows.append(ScoreRow(model, MACRO, mean))
        rows.append(ScoreRow(model, MACRO, Score(name="predictions_per_truth", value=1.25, n=36, convention="a ratio")))
    inputs = {
        "samples": samples,
        "predictions": predictions,
        "model": "tiny",
        "scores": rows,
        "metrics": {"mIoU_strict": Metric(1, True)},
        "differences": [DifferenceRow("tiny", "prior only", TASKS[0], "mIoU_strict", 0.31, (0.2, 0.4), "better")],
        "anatomy": make_anatomy(samples, predictions),
        "notes": ["tiny, parser rules applied: 3 missing image."],
        "title": "Tiny on drawn pairs",
        "train_log": [{"step": k, "loss": 5.0 / (k + 1), "learning_rate": 1e-3, "time": 1.0} for k in range(300)],
        "config": "model:\n  width: 64\n",
        "run": {"commit": "abc123", "seeds": {"world": 7}, "train_seconds": 3700.0, "versions": {"torch": "2.13"}},
        "difficulty": {"median_part_share": 0.018, "flavours": {"clutter": {"images": 9}, "rooms": {"images": 8}}},
        "commands": ["llava-corr train --config tiny.yaml"],
    }
    return ReportInputs(**(inputs | changes))


@pytest.fixture(scope="module")
def page_text(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    size = write_report(full_inputs(data), out)
    assert size == out.stat().st_size <= 6_000_000
    return out.read_text("utf-8")


@pytest.fixture(scope="module")
def page(page_text):
    return Page(page_text)


def render(inputs, tmp_path):
    write_report(inputs, tmp_path / "r.html")
    return Page((tmp_path / "r.html").read_text("utf-8"))


def test_sections_are_all_there_and_linked(page):
    sections = ["read", "scores", "anatomy", "samples", "training", "difficulty", "run", "reproduce"]
    assert [attrs["id"] for attrs in page.all("section")] == sections
    assert [a["href"] for a in page.all("a")] == [f"#{name}" for name in sections]
    assert "Left out" not in page.text


def test_nothing_is_loaded_from_anywhere(page, page_text):
    for _, attrs in page.tags:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert re.match(r"(data:|#)", attrs.get(name) or "#"), attrs
    assert page.all("script") == []
    assert "url(" not in page_text
    assert "@import" not in page_text
    assert "http" not in page_text.replace("http-equiv", "")


def test_pictures_decode_and_are_described(page):
    images = page.all("img")
    of_cards = [attrs for attrs in images if "of sample" not in attrs["alt"]]
    assert len(of_cards) == len(page.all("article")) * 2 * 3
    for attrs in images:
        kind, _, payload = attrs["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(BytesIO(base64.b64decode(payload))) as picture:
            assert picture.size == (int(attrs["width"]), int(attrs["height"]))
        assert attrs["alt"]


def test_values_stand_on_the_page(page):
    text = page.text
    for shown in ("61.2", "10.0 to 70.0", "1.25", "+31.0", "+20.0 to +40.0 better", "3 missing image"):
        assert shown in text
    for shown in ("abc123", "3700 s (1 h 1 min)", "width: 64", "median part share", "0.018", "--config tiny.yaml"):
        assert shown in text
    assert "part-focused semantic co-segmentation" in text
    assert "embedded world" not in text  # drawn pictures; nobody said that they are rendered


def test_a_page_about_a_world_says_so(tmp_path):
    samples, _ = make_data(tmp_path / "world" / "source", per_cell=1)
    assert "embedded world" not in about(samples)
    (tmp_path / "world" / "world.json").write_text("{}")
    assert "no claim about photographs" in about(samples)


def test_headers_state_their_convention(page):
    hints = [attrs["title"] for attrs in page.all("abbr")]
    assert "a ratio" in hints
    assert any("macro mean of strict" in hint for hint in hints)
    assert any("a missed one counts 0" in hint for hint in hints)
    assert "a missed one counts 0" in page.text


def test_at_least_24_pairs_of_every_task_and_source(page, data):
    cards = page.all("article")
    assert len(cards) >= 24
    ids = {s.id for s in data[0]}
    shown = [word for word in page.text.split() if word in ids]
    assert len(shown) == len(set(shown)) == len(cards)
    cells = {tuple(name.split("/")[:2]) for name in shown}
    assert len(cells) == 9
    assert "none picked by hand" in page.text


def test_phrases_have_the_colours_of_their_tags(data, tmp_path):
    index = next(k for k, s in enumerate(data[0]) if s.task == "unique_parts")
    inputs = full_inputs(([data[0][index]], [data[1][index]]), scores=[], differences=[])
    page = render(inputs, tmp_path)
    spans = [a["style"] for a in page.all("span") if a.get("class") in ("phrase", "pill")]
    names = {t.phrase for t in data[0][index].targets}
    assert len(set(spans)) == len(names)


def test_same_inputs_give_the_same_bytes(data, page_text, tmp_path):
    write_report(full_inputs(data), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == page_text


def test_text_from_outside_is_escaped(tmp_path):
    sample, prediction = make_pair(tmp_path, 0, "common_parts", "pacolvis")
    target = sample.targets[0].model_copy(update={"phrase": EVIL})
    turn = sample.turns[0].model_copy(update={"user": EVIL, "assistant": f"<p> {EVIL} </p> [SEG] (IMAGE1) {EVIL}"})
    sample = sample.model_copy(
        update={"id": EVIL, "source": EVIL, "targets": (target, *sample.targets[1:]), "turns": (turn,)}
    )
    segment = prediction.segments[0].model_copy(update={"phrase": EVIL, "sentence": "the parts"})
    prediction = prediction.model_copy(
        update={
            "sample_id": EVIL,
            "truth": sample.truth_hash(),
            "segments": (segment,),
            "text": f"<p> {EVIL} </p> [SEG] (IMAGE1) {EVIL}",
            "trail": (EVIL,),
        }
    )
    score = Score(name=EVIL, value=0.5, interval=(0.4, 0.6), n=1, convention=EVIL, per_sample={EVIL: 0.5})
    inputs = ReportInputs(
        samples=[sample],
        predictions=[prediction],
        model=EVIL,
        scores=[ScoreRow(EVIL, EVIL, score)],
        differences=[DifferenceRow(EVIL, EVIL, EVIL, EVIL, 0.1, None, EVIL)],
        notes=[EVIL],
        title=EVIL,
        about=EVIL,
        train_log=[{"step": k, EVIL: float(k), "stage": EVIL} for k in range(3)],
        config=EVIL,
        run={EVIL: EVIL, "nested": {EVIL: {EVIL: EVIL}}},
        difficulty={EVIL: [EVIL]},
        commands=[EVIL],
    )
    page = render(inputs, tmp_path)
    assert page.all("script") == []
    assert page.text.count("alert('x')") > 15
    assert len(page.all("style")) == 1


def test_absent_parts_are_named(data, tmp_path):
    page = render(ReportInputs(samples=data[0][:3]), tmp_path)
    assert page.text.count("Left out") == 8
    assert len(page.all("img")) == 3 * 2 * 2


def test_unanswered_samples_are_counted(data, tmp_path):
    page = render(ReportInputs(samples=data[0][:3], predictions=data[1][:2]), tmp_path)
    assert "1 of 3 samples have no prediction of model" in page.text


def test_empty_answers_and_masks_are_shown(data, tmp_path):
    index = next(k for k, s in enumerate(data[0]) if s.targets)
    sample, prediction = data[0][index], data[1][index]
    blank = Mask.from_array(np.zeros(prediction.image_sizes[0], bool))
    empty = Segment(phrase="", image_index=0, mask=blank, score=0.0, sentence="Parts:")
    page = render(
        ReportInputs(samples=[sample], predictions=[prediction.model_copy(update={"text": "", "segments": (empty,)})]),
        tmp_path,
    )
    assert "(empty)" in page.text
    assert "(no name) (image 1)" in page.text


def test_curves_leave_out_what_is_not_finite(data, tmp_path):
    log = [{"step": k, "loss": float("nan") if k == 1 else 1.0, "note": "x", "total": 5} for k in range(4)]
    page = render(ReportInputs(samples=data[0][:1], train_log=[*log, {"step": 9, "runtime": 12.5}]), tmp_path)
    assert "1 values were not finite" in page.text
    assert "Logged once runtime 12.5" in page.text
    assert {a["aria-label"] for a in page.all("svg")} == {"loss over steps", "total over steps"}


def test_size_limit(data, tmp_path):
    inputs = full_inputs((data[0][:2], data[1][:2]), scores=[], differences=[])
    normal = write_report(inputs, tmp_path / "a.html")
    smaller = write_report(inputs, tmp_path / "b.html", max_bytes=int(normal * 0.9))
    assert smaller <= normal * 0.9
    with pytest.raises(StorageError, match="even at picture quality"):
        write_report(inputs, tmp_path / "c.html", max_bytes=1000)
    assert not (tmp_path / "c.html").exists()


def test_no_samples():
    with pytest.raises(SampleError, match="at least one sample"):
        write_report(ReportInputs(samples=[]), "never.html")


def test_missing_and_wrong_images_are_named(tmp_path):
    sample, _ = make_pair(tmp_path, 0, "common_parts", "pacolvis")
    path = sample.images[1].path
    Image.new("RGB", (5, 7)).save(path)
    with pytest.raises(ImageError, match="7 x 5 pixels") as caught:
        write_report(ReportInputs(samples=[sample]), tmp_path / "r.html")
    assert path in str(caught.value)
    (tmp_path / "x").mkdir()
    gone = sample.model_copy(
        update={"images": (sample.images[0].model_copy(update={"path": str(tmp_path / "no.png")}),)}
    )
    with pytest.raises(ImageError, match="does not exist"):
        write_report(ReportInputs(samples=[gone]), tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truth": "0" * 16}, "belongs to truth 0000"),
        ({"sample_id": "elsewhere"}, "no known sample"),
        ({"image_index": 2}, "on image 3 of 2"),
        ({"size": (4, 4)}, "has size"),
    ],
)
def test_answers_to_other_data_are_refused(data, tmp_path, changes, message):
    sample, prediction = data[0][1], data[1][1]
    segment = prediction.segments[0]
    if "image_index" in changes:
        segment = segment.model_copy(update=changes)
    if "size" in changes:
        segment = segment.model_copy(update={"mask": Mask.from_array(np.ones((4, 4)))})
    own = {k: v for k, v in changes.items() if k in ("truth", "sample_id")}
    wrong = prediction.model_copy(update={"segments": (segment,), **own})
    with pytest.raises(PredictionError, match=message):
        write_report(ReportInputs(samples=[sample], predictions=[wrong]), tmp_path / "r.html")


def test_twice_answered_and_foreign_scores_are_refused(data, tmp_path):
    samples, predictions = data[0][:1], data[1][:1]
    with pytest.raises(PredictionError, match="answered twice"):
        write_report(ReportInputs(samples=samples, predictions=[*predictions, *predictions]), tmp_path / "r.html")
    score = Score(name="mIoU", value=0.1, n=1, convention="", per_sample={"elsewhere": 0.1})
    inputs = ReportInputs(samples=samples, scores=[ScoreRow("m", "t", score)])
    with pytest.raises(ReportError, match="1 unknown samples, the first is 'elsewhere'"):
        write_report(inputs, tmp_path / "r.html")
    with pytest.raises(ReportError, match="to rank the samples by"):
        write_report(ReportInputs(samples=samples, ranking="mIoU"), tmp_path / "r.html")


def test_page_survives_json_round_trip_of_facts(data, tmp_path):
    facts = json.loads(
        json.dumps({"a": None, "b": True, "c": [1, 2.5, "x"], "d": {}, "e": [{"f": 1}, {"f": 2, "g": 3}]})
    )
    text = render(ReportInputs(samples=data[0][:1], run=facts), tmp_path).text
    assert "b yes" in text
    assert "1, 2.5, x" in text


def test_sums_are_no_curves_beside_their_means():
    curves, once = html._curves([{"step": k, "mask": 0.5, "mask_sum": 8.0 + k} for k in range(3)])
    assert [curve.name for curve in curves] == ["mask"]
    assert not once
