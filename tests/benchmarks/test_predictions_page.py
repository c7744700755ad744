"""Answers that others write: docs/predictions.md holds, and exact ones score 100 however few keys they have."""

import json
import os
import re
import runpy
from pathlib import Path

import pytest
from drawn_pairs import make_data, one_hot_cache, predict
from one_hot_scores import score

from llava_corr.errors import PredictionError
from llava_corr.record_files import iter_predictions, parse_record, read_samples, write_records, write_samples
from llava_corr.records import Prediction

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "predictions.md").read_text()


@pytest.fixture
def samples(tmp_path):
    made, _ = make_data(tmp_path, per_cell=2)
    write_samples(tmp_path / "test.jsonl", made)
    one_hot_cache(tmp_path / "labels.npz", made)
    return made


def scores(folder, predictions):
    score(folder / "test.jsonl", folder / "labels.npz", predictions, folder / "scores.json")
    return json.loads((folder / "scores.json").read_text())


def rewritten(samples, path, **changes):
    """True answers without sentences, as somebody who copies masks and text would write them."""
    rows = []
    for sample in samples:
        row = predict(sample, 0).model_dump(mode="json") | changes
        for segment in row["segments"]:
            del segment["sentence"]
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows) + "\n")
    return path


def test_exact_answers_need_no_sentences(tmp_path, samples):
    write_records(tmp_path / "whole.jsonl", [predict(s, 0) for s in samples])
    whole = scores(tmp_path, tmp_path / "whole.jsonl")
    silent = scores(tmp_path, rewritten(samples, tmp_path / "silent.jsonl"))
    assert silent["columns"] == whole["columns"]
    assert whole["columns"]["mean"]["mIoU"]["value"] > 0.6  # the last mask of each is left out
    assert "no_sentence" not in silent["findings"]["counts"]


def test_where_the_text_tells_nothing_all_segments_count_and_are_listed(tmp_path, samples):
    found = scores(tmp_path, rewritten(samples, tmp_path / "mute.jsonl", text=""))
    assert found["findings"]["counts"]["no_sentence"] == sum(s.task != "common_objects" for s in samples)
    assert found["columns"]["common_parts"]["predictions_per_truth"]["value"] > 1  # the objects named first count, too


def test_sentences_that_are_given_stay(tmp_path, samples):
    one = next(s for s in samples if s.task == "unique_parts")
    given = predict(one, 0)
    given = given.model_copy(update={"segments": tuple(s.model_copy(update={"sentence": "x"}) for s in given.segments)})
    write_records(tmp_path / "p.jsonl", [given])
    assert list(iter_predictions(tmp_path / "p.jsonl")) == [given]


def test_the_row_of_the_page_is_a_prediction():
    text = re.search(r"```json\n(.*?)```", PAGE, re.S)[1]
    row = parse_record(Prediction, " ".join(text.split()), "the page", PredictionError)
    assert row.segments[0].mask.area > 0
    named = set(re.findall(r"^\| `(\w+)`", PAGE, re.M))
    assert named == set(json.loads(text)) - {"schema_version"}


def test_the_writer_of_the_page_writes_what_is_scored(tmp_path, samples, monkeypatch):
    script = tmp_path / "writer.py"
    code = re.search(r"```python\n(.*?)```", PAGE, re.S)[1]
    assert 'phrase="arm"' in code
    script.write_text(code.replace('phrase="arm"', 'phrase="leg"'))  # a label that the tests' cache has
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    assert len(read_samples("test.jsonl")) == len(list(iter_predictions("predictions.jsonl")))
    assert scores(tmp_path, Path(os.curdir) / "predictions.jsonl")["predictions"]["missing"] == 0
