"""Two runs side by side: the page shows both answers once per sample, the most disagreement first."""

import json
import re

import numpy as np
import pytest
from command_line import parse
from drawn_pairs import make_data, one_hot_cache, predict
from html_page import Page
from one_hot_scores import score
from toy_mixedparts import answer, box, random_data, sample, segment

from llava_corr.errors import ConfigError, PredictionError, ReportError
from llava_corr.grammar import normalise_label
from llava_corr.record_files import write_records, write_samples
from llava_corr.report import command
from llava_corr.report.command import load_pair_inputs
from llava_corr.report.disagreement import Disagreement, disagreement, most_disagreed
from llava_corr.report.pair import PairInputs, write_pair

OBJECTS = "The images show these objects."
LEFT, RIGHT = box(0, 0, 8, 8), box(12, 8, 20, 16)
HALF = box(0, 0, 8, 4)


# ---- disagreement ----------------------------------------------------------------------------------------------------


def apart(first, second, scores=None):
    to = sample("s")
    said = [None if segments is None else answer(to, segments) for segments in (first, second)]
    return disagreement(to, tuple(said), scores)


def test_disagreement_of_known_answers():
    leg, half, other = segment("the leg", 0, LEFT), segment("leg", 0, HALF), segment("arm", 0, LEFT)
    assert apart([leg], [leg]) == (0, 0, None)
    assert apart([leg], [half]).masks == 0.5
    assert apart([leg], [other]).masks == 1.0, "another name"
    assert apart([leg], [segment("leg", 1, LEFT)]).masks == 1.0, "another picture"
    assert apart([leg, other], [leg]).masks == 0.5, "a name that one answer lacks"
    assert apart([half, segment("leg", 0, box(0, 4, 8, 8))], [leg]).masks == 0.0, "masks of one name are joined"
    assert apart([], []) == apart(None, []) == apart(None, None) == (0, 0, None)
    assert apart(None, [leg]).masks == 1.0
    empty = segment("leg", 0, box(0, 0, 0, 0))
    assert apart([empty], [empty]).masks == 0.0
    assert apart([segment("chair", 0, LEFT, sentence=OBJECTS)], []).masks == 0.0, "whole objects do not count"


def test_scores_join_in():
    leg, half = segment("leg", 0, LEFT), segment("leg", 0, HALF)
    assert apart([leg], [half], (0.9, 0.2)) == pytest.approx((0.6, 0.5, 0.7))
    assert apart([leg], [half], (None, 0.2)) == (0.25, 0.5, None)


def test_disagreement_against_pixels():
    samples, first = random_data(2, 40)
    _, second = random_data(9, 40)
    for to, a, b in zip(samples, first, second, strict=True):
        sides = []
        for said in (a, b):
            joined = {}
            for s in said.segments:
                key = s.image_index, normalise_label(s.phrase)
                joined[key] = joined.get(key, False) | s.mask.to_array()
            sides.append(joined)
        names = set(sides[0]) | set(sides[1])
        ious = [
            (sides[0][n] & sides[1][n]).sum() / (sides[0][n] | sides[1][n]).sum()
            if n in sides[0] and n in sides[1]
            else 0.0
            for n in names
        ]
        assert disagreement(to, (a, b), None).masks == pytest.approx(1 - np.mean(ious) if names else 0.0)


def test_the_most_disagreed_of_each_task_come_first():
    values = [0.1, 0.9, 0.5, 0.9, 0.2, 0.3]
    tasks = ["common_parts"] * 4 + ["unique_parts"] * 2
    samples = [sample(f"s{k}", task=t) for k, t in enumerate(tasks)]
    found = {s.id: Disagreement(v, v, None) for s, v in zip(samples, values, strict=True)}

    def ids(count):
        return [s.id for s, _ in most_disagreed(samples[::-1], found, count)]

    assert ids(4) == ["s1", "s3", "s5", "s4"]
    assert ids(2) == ["s1", "s5"]
    assert ids(3) == ids(4)
    assert ids(6) == ids(99) == ["s1", "s3", "s2", "s5", "s4", "s0"]  # one task has four of them


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two prediction files on 18 samples, scored against each other and alone."""
    root = tmp_path_factory.mktemp("pair")
    samples, ours = make_data(root, per_cell=2)
    write_samples(root / "s.jsonl", samples)
    write_records(root / "a.jsonl", ours)
    write_records(root / "b.jsonl", [predict(s, 20 if k % 2 else 5) for k, s in enumerate(samples)][1:])
    one_hot_cache(root / "labels.npz", samples)
    for own, other, out in (("a", "b", "ab"), ("b", "a", "ba"), ("a", None, "a"), ("b", None, "b")):
        more = ["--against", root / f"{other}.jsonl"] if other else []
        files = (root / "s.jsonl", root / "labels.npz", root / f"{own}.jsonl", root / f"{out}.json")
        score(*files, *more, "--name", f"model {own}")
    return root


def page_of(folder, tmp_path, first, second, *more):
    args = parse(command, "--scores", folder / first, "--against", folder / second, "--out", tmp_path / "p.html", *more)
    assert command.run(args) == 0
    return Page((tmp_path / "p.html").read_text("utf-8"))


def test_every_sample_once_with_both_answers(folder, tmp_path):
    page = page_of(folder, tmp_path, "ab.json", "b.json", "--show", 99)
    assert len(page.all("article")) == 18
    images = page.all("img")
    assert len(images) == 18 * 2 * 4
    plain = [i["alt"] for i in images if i["alt"].endswith("as the model sees it")]
    assert len(plain) == 36
    captions = [i["alt"].split(", ")[1].split(":")[0] for i in images if ", " in i["alt"]]
    assert captions == ["truth", "model a", "model b"] * 36
    assert page.text.count("Answer of model a") == page.text.count("Answer of model b") == 18
    assert page.text.count("(no answer in the file)") == 1
    assert "model b has no answer to 1 of the samples." in page.text
    assert page.all("script") == []


def test_samples_come_by_falling_disagreement_and_few_where_few_are_asked(folder, tmp_path):
    page = page_of(folder, tmp_path, "ab.json", "b.json", "--show", 6)
    assert len(page.all("article")) == 6
    inputs = load_pair_inputs(
        parse(command, "--scores", folder / "ab.json", "--against", folder / "b.json", "--out", "x")
    )
    scores = [json.loads((folder / f"{k}.json").read_text())["columns"] for k in "ab"]
    answers = [{p.sample_id: p for p in own} for own in inputs.predictions]
    expected = {}
    for s in inputs.samples:
        own = tuple(column[s.task]["mIoU_strict"]["per_sample"].get(s.id) for column in scores)
        expected[s.id] = disagreement(s, (answers[0].get(s.id), answers[1].get(s.id)), own).value
    shown = [word for word in page.text.split() if word in expected]
    assert [expected[i] for i in shown] == sorted((expected[i] for i in shown), reverse=True)
    for task in {s.task for s in inputs.samples}:
        own = sorted((expected[s.id] for s in inputs.samples if s.task == task), reverse=True)
        assert sorted((expected[i] for i in shown if i.startswith(task)), reverse=True) == own[:2]
    stated = [int(v) for v in re.findall(r"disagreement (\d+) \(masks", page.text)]
    assert stated == [round(100 * expected[i]) for i in shown]


def test_differences_and_verdicts_stand_on_top(folder, tmp_path):
    page = page_of(folder, tmp_path, "ab.json", "b.json", "--show", 1)
    text = page.text.split("Scores model")[0]
    stored = json.loads((folder / "ab.json").read_text())["against"]["differences"]
    for task in ("mean", "common_objects", "common_parts", "unique_parts"):
        found = stored[task]["mIoU_strict"]
        low, high = found["interval"]
        assert f"{100 * found['value']:+.1f} {100 * low:+.1f} to {100 * high:+.1f} {found['verdict']}" in text
    assert text.count("model a minus model b") == 1 + 4, "the sentence above, and a row per task"


def test_a_comparison_the_other_way_round_is_turned(folder):
    def differences(first, second):
        args = parse(command, "--scores", folder / first, "--against", folder / second, "--out", "x")
        return {(d.task, d.name): d for d in load_pair_inputs(args).differences}

    straight, turned = differences("ab.json", "b.json"), differences("a.json", "ba.json")
    assert straight.keys() == turned.keys()
    assert any(d.verdict in ("better", "worse") for d in straight.values())
    for key, d in straight.items():
        t = turned[key]
        assert (t.model, t.other, t.verdict) == (d.model, d.other, d.verdict)
        assert (t.value, *(t.interval or ())) == pytest.approx((d.value, *(d.interval or ())))


def test_runs_that_were_not_compared_say_so(folder, tmp_path):
    page = page_of(folder, tmp_path, "a.json", "b.json", "--show", 1)
    assert "neither run was scored against the answers of the other" in page.text
    other = json.loads((folder / "ab.json").read_text())
    other["against"]["columns"]["mean"]["mIoU"] += 0.1
    (tmp_path / "old.json").write_text(json.dumps(other))
    page = page_of(tmp_path, tmp_path, "old.json", folder / "b.json", "--show", 1)
    assert "neither run was scored against" in page.text, "the comparison was with other answers"


def test_other_answers_than_those_scored_are_refused(folder, tmp_path):
    for name in ("s.jsonl", "a.jsonl", "b.jsonl", "ab.json", "b.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    files = ["--predictions", tmp_path / "a.jsonl", "--against-predictions", tmp_path / "b.jsonl"]
    page_of(tmp_path, tmp_path, "ab.json", "b.json", *files, "--show", 1)
    (tmp_path / "b.jsonl").write_bytes(b"".join((folder / "b.jsonl").read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ReportError, match=r"the answers are not those that .*b\.json was made of"):
        page_of(tmp_path, tmp_path, "ab.json", "b.json", *files, "--show", 1)
    with pytest.raises(ReportError, match=r"the answers are not those that .*ab\.json was made of"):
        page_of(tmp_path, tmp_path, "ab.json", "b.json", "--predictions", tmp_path / "b.jsonl")


@pytest.mark.parametrize("counts", ["00", "PPP", "P0" * 3000, "\u00e9", "\ud800"])
def test_a_mask_that_cannot_be_decoded_is_refused_wherever_it_stands(tmp_path, counts):
    samples, answers = random_data(2, 6)
    number, broken = next((k, a) for k, a in reversed(list(enumerate(answers))) if a.segments)
    first = broken.segments[0]
    bad = first.model_copy(update={"mask": first.mask.model_copy(update={"counts": counts})})
    spoilt = [*answers]
    spoilt[number] = broken.model_copy(update={"segments": (bad, *broken.segments[1:])})
    with pytest.raises(PredictionError, match=f"(?s)undecodable RLE.*predictions of b, sample '{broken.sample_id}'"):
        write_pair(PairInputs(samples, ("a", "b"), (answers, spoilt), sample_count=1), tmp_path / "p.html")


def test_a_path_with_an_equals_sign_is_a_path(folder, tmp_path):
    (tmp_path / "lr=0.1").mkdir()
    (tmp_path / "lr=0.1" / "b.json").write_bytes((folder / "b.json").read_bytes())
    page = page_of(folder, tmp_path, "ab.json", tmp_path / "lr=0.1" / "b.json", "--show", 1)
    assert "model b" in page.text


def test_the_count_of_wins_adds_up(folder, tmp_path):
    page = page_of(folder, tmp_path, "ab.json", "b.json", "--show", 1)
    text = page.text.split("Sample by sample")[1].split("Disagreement, 0 to 100")[0]
    rows = re.findall(r"(common objects|common parts|unique parts) (\d+) \d+ \d+ (\d+) (\d+) (\d+) (\d+) (\d+)", text)
    assert len(rows) == 3
    for _, total, same, *counts in rows:
        assert sum(map(int, counts)) == int(total)
        assert int(same) <= int(total)
    stored = [json.loads((folder / f"{k}.json").read_text())["columns"]["common_objects"] for k in "ab"]
    pairs = [
        [column["mIoU_strict"]["per_sample"][i] for column in stored] for i in stored[0]["mIoU_strict"]["per_sample"]
    ]
    assert int(rows[0][3]) == sum(a > b for a, b in pairs)


def test_without_scores_the_masks_decide(tmp_path):
    samples, ours = make_data(tmp_path, per_cell=1)
    theirs = [predict(s, 30) for s in samples]
    inputs = PairInputs(samples, ("one", "two"), (ours, theirs))
    size = write_pair(inputs, tmp_path / "p.html")
    assert size == (tmp_path / "p.html").stat().st_size
    text = Page((tmp_path / "p.html").read_text("utf-8")).text
    assert "no scores were passed" in text
    assert "one higher" not in text
    assert "All 9 samples" in text
    with pytest.raises(ReportError, match="both models are named 'x'"):
        write_pair(PairInputs(samples, ("x", "x"), (ours, theirs)), tmp_path / "q.html")


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--anatomy", "x.json"], ReportError, "does not show --anatomy"),
        (["--about", "x"], ReportError, "does not show --about"),
        (["--command-line", "make"], ReportError, "does not show --command-line"),
        (["--out", "b.json"], ConfigError, "would overwrite --against"),
        (["--scores", "ab.json", "b.json"], ReportError, "not 2"),
        (["--scores", "b.json"], ReportError, "two scores files are named"),
        (["--show", "0"], ReportError, "--show 0"),
    ],
)
def test_refusals(folder, monkeypatch, more, error, message):
    monkeypatch.chdir(folder)
    args = parse(command, "--scores", "ab.json", "--against", "b.json", "--out", "new.html", *more)
    with pytest.raises(error, match=message):
        command.run(args)
    assert not (folder / "new.html").exists()


def test_answers_without_scores_are_refused(folder):
    args = parse(command, "--scores", folder / "a.json", "--against-predictions", folder / "b.jsonl", "--out", "x")
    with pytest.raises(ReportError, match="without --against"):
        command.run(args)
