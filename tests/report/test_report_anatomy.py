"""The section on fates: its figures are those of the file, its examples are of the kind they stand under."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from drawn_pairs import make_anatomy, make_data
from html_page import Page

from llava_corr import cli
from llava_corr.errors import ReportError
from llava_corr.record_files import write_records, write_samples
from llava_corr.records import Mask
from llava_corr.report.anatomy_file import FATES, check_anatomy, read_anatomy
from llava_corr.report.anatomy_section import EXAMPLES, anatomy_context
from llava_corr.report.html import write_report
from llava_corr.report.inputs import ReportInputs
from llava_corr.report.stacked import Bar, stacked_svg


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Drawn pairs; every third answer has its names changed, every third its masks moved far away."""
    samples, predictions = make_data(tmp_path_factory.mktemp("pairs"), per_cell=4)
    changed = []
    for number, prediction in enumerate(predictions):
        segments = prediction.segments
        if number % 3 == 1:
            segments = tuple(s.model_copy(update={"phrase": "the knob"}) for s in segments)
        if number % 3 == 2:
            corner = Mask.from_array(segments[0].mask.to_array() * 0)
            segments = tuple(s.model_copy(update={"mask": corner}) for s in segments)
        changed.append(prediction.model_copy(update={"segments": segments}))
    return samples, changed


@pytest.fixture(scope="module")
def context(data):
    samples, predictions = data
    answers = {p.sample_id: p for p in predictions}
    return anatomy_context(make_anatomy(samples, predictions), samples, answers, seed=0)


def test_bars_have_the_lengths_of_their_shares():
    pieces = [("found", 0.25, "a"), ("wrong_mask", 0.0, "b"), ("missed", 0.75, "c & <d>")]
    svg = ET.fromstring(stacked_svg([Bar("x", "one", pieces, ("7", "–"))], ("masks", "spurious"), "fates"))
    boxes = svg.findall("rect")
    assert [b.get("class") for b in boxes] == ["kind-found", "kind-missed"]
    widths = [float(b.get("width")) for b in boxes]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.05)
    assert float(boxes[1].get("x")) == pytest.approx(float(boxes[0].get("x")) + widths[0], abs=0.02)
    assert boxes[1].find("title").text == "c & <d>"
    texts = [t.text for t in svg.findall("text")]
    assert {"25", "75", "7", "–", "one", "x", "masks"} <= set(texts)


def test_the_chart_shows_the_figures_of_the_file(data, context):
    cell = make_anatomy(*data).tables["all"]["all"][0]
    titles = [t.text for t in ET.fromstring(str(context["chart"])).iter("title")]
    for kind in FATES:
        share = cell.kinds[kind]
        wanted = f"{kind.replace('_', ' ')}: {share.number}: {100 * share.share:.1f}"
        assert not share.number or any(t.startswith(wanted) for t in titles), wanted
    assert "how much of it shows" not in str(context["chart"]), "nothing is known of it"
    everything = next(t for t in context["tables"] if t.title == "all tasks")
    assert everything.rows[0][1] == str(cell.masks)
    assert ["how much of it shows: not known", str(cell.masks)] in [row[:2] for row in everything.rows]


def test_examples_are_few_sorted_and_of_their_kind(data, context):
    samples, predictions = data
    rows = make_anatomy(samples, predictions).masks
    groups = {group.kind: group for group in context["examples"]}
    assert list(groups) == ["wrong mask", "wrong name", "wrong image", "missed", "spurious"]
    for kind, group in groups.items():
        assert group.total == sum(r.kind.replace("_", " ") == kind and r.counted for r in rows)
        assert len(group.shown) <= EXAMPLES
        shares = [float(re.match(r"([\d.]+) %", e.detail)[1]) for e in group.shown]
        assert shares == sorted(shares, reverse=True)
        of = [re.search(r"of sample (\S+)", e.pictures[0].alt)[1] for e in group.shown]
        assert len(set(of)) == len(of)
    assert groups["wrong name"].total > 6
    assert len(groups["wrong name"].shown) == EXAMPLES
    assert all("said “knob”" in e.caption for e in groups["wrong name"].shown)
    assert all(int(re.search(r"IoU (\d+)", e.detail)[1]) < 50 for e in groups["wrong mask"].shown)
    assert all("IoU" not in e.detail for e in groups["missed"].shown)


def test_a_mask_in_the_wrong_image_has_two_pictures(tmp_path):
    samples, predictions = make_data(tmp_path, per_cell=1)
    number = next(k for k, s in enumerate(samples) if s.task == "unique_parts" and s.targets)
    sample, prediction = samples[number], predictions[number]
    target = next(t for t in sample.targets if t.role == "unique")
    other = 1 - target.image_index
    segment = prediction.segments[0].model_copy(
        update={"phrase": target.phrase, "image_index": other, "mask": target.mask, "sentence": "the parts"}
    )
    prediction = prediction.model_copy(update={"segments": (segment,)})
    anatomy = make_anatomy([sample], [prediction])
    shown = anatomy_context(anatomy, [sample], {sample.id: prediction}, 0)["examples"]
    (example,) = next(g for g in shown if g.kind == "wrong image").shown
    assert [p.caption for p in example.pictures] == [f"image {target.image_index + 1}", f"image {other + 1}"]
    assert f"drawn in image {other + 1}" in example.caption


def test_the_page_holds_the_section(data, tmp_path):
    samples, predictions = data
    inputs = ReportInputs(samples, predictions, anatomy=make_anatomy(samples, predictions), sample_count=1)
    write_report(inputs, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    text = page.text.split("What became of every mask")[1]
    assert "no anatomy was passed" not in text
    assert "right image and right name, but mask IoU < 0.5" in text
    assert "Not in these figures" in text
    thumbnails = [i for i in page.all("img") if " in image " in i["alt"]]
    assert len(thumbnails) >= 2 * EXAMPLES


@pytest.mark.parametrize("fault", ["name", "image", "place", "sample", "fewer"])
def test_an_anatomy_of_other_masks_is_refused(data, fault):
    samples, predictions = data
    anatomy = make_anatomy(samples, predictions)
    answers = {p.sample_id: p for p in predictions}
    check_anatomy(anatomy, samples, answers)
    change = {"name": {"name": "x"}, "image": {"image": 5}, "place": {"place": 99}, "sample": {"sample": "x"}}
    first = anatomy.masks[0]
    masks = [*anatomy.masks[1:]] if fault == "fewer" else [first.model_copy(update=change[fault]), *anatomy.masks[1:]]
    with pytest.raises(ReportError, match="of other samples or predictions"):
        check_anatomy(anatomy.model_copy(update={"masks": masks}), samples, answers)


def test_from_command_to_command(data, tmp_path, caplog):
    samples, predictions = data
    write_samples(tmp_path / "s.jsonl", samples)
    write_records(tmp_path / "p.jsonl", predictions)
    base = ["--samples", str(tmp_path / "s.jsonl"), "--predictions", str(tmp_path / "p.jsonl")]
    anatomy, out = str(tmp_path / "anatomy.json"), str(tmp_path / "r.html")
    assert cli.main(["anatomy", *base, "--resamples", "10", "--out", anatomy]) == 0
    assert cli.main(["report", *base, "--anatomy", anatomy, "--show", "1", "--out", out]) == 0
    assert "What became of every mask" in (tmp_path / "r.html").read_text("utf-8")
    assert cli.main(["report", *base, "--run", str(tmp_path), "--show", "1", "--out", out]) == 0
    assert "no anatomy was passed" not in (tmp_path / "r.html").read_text("utf-8"), "the run folder has one"
    assert cli.main(["report", *base, "--anatomy", anatomy, "--show", "1", "--out", anatomy]) == 2
    write_records(tmp_path / "q.jsonl", predictions[:4])
    other = [*base[:3], str(tmp_path / "q.jsonl"), "--show", "1", "--out", out]
    assert cli.main(["report", *other, "--run", str(tmp_path)]) == 0
    assert "no anatomy was passed" in (tmp_path / "r.html").read_text("utf-8"), "the one of the run has other answers"
    assert "is left out: it is about" in caplog.text
    assert cli.main(["report", *other, "--anatomy", anatomy]) == 2


@pytest.mark.parametrize(
    ("change", "message"), [({"schema_version": 2}, "anatomy schema 2"), ({"masks": [{}]}, "masks.0.sample")]
)
def test_broken_files_are_named(data, tmp_path, change, message):
    content = {**make_anatomy(*data).model_dump(mode="json"), **change}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ReportError, match=message):
        read_anatomy(tmp_path / "a.json")
