"""From files to anatomy.json; files that do not belong together are refused."""

import json
import os

import numpy as np
import pytest
from toy_mixedparts import random_data

from llava_corr import cli
from llava_corr.record_files import write_records, write_samples
from llava_corr.records import PictureOcclusion, VisibleArea


@pytest.fixture
def files(tmp_path):
    samples, answers = random_data(4, 18)
    write_samples(tmp_path / "s.jsonl", samples)
    write_records(tmp_path / "p.jsonl", answers[1:])
    return tmp_path, samples, answers


def run(folder, *more):
    base = ["--samples", folder / "s.jsonl", "--predictions", folder / "p.jsonl", "--out", folder / "a.json"]
    return cli.main(["anatomy", *map(str, base), "--resamples", "20", *map(str, more)])


def test_every_mask_is_listed_and_counted(files, capsys):
    folder, samples, answers = files
    assert run(folder, "--name", "toy", "--seen", "leg", "seat") == 0
    found = json.loads((folder / "a.json").read_text())
    truths = [m for m in found["masks"] if m["kind"] not in ("predicted", "spurious")]
    assert {(m["sample"], m["place"]) for m in truths} == {(s.id, k) for s in samples for k in range(len(s.targets))}
    assert len(truths) == sum(len(s.targets) for s in samples)
    drawn = [m for m in found["masks"] if m["kind"] in ("predicted", "spurious")]
    assert {(m["sample"], m["place"]) for m in drawn} == {
        (a.sample_id, k) for a in answers[1:] for k in range(len(a.segments))
    }
    assert {m["kind"] for m in truths if m["sample"] == answers[0].sample_id} == {"missed"}
    assert found["predictions"]["missing"] == 1
    assert found["tables"]["all"]["all"][0]["masks"] == len(truths)
    text = capsys.readouterr().out
    assert "category: not seen in training" in text
    assert "shown: not known" in text
    assert "1 missing_prediction" in text
    assert run(folder, "--name", "toy", "--seen", "leg", "seat") == 0
    assert json.loads((folder / "a.json").read_text()) == found


def test_occlusion_and_training_files(files):
    folder, samples, _ = files
    pictures = {os.path.abspath(i.path) for s in samples for i in s.images[:1]}
    names = {t.phrase for s in samples for t in s.targets}
    rows = [
        PictureOcclusion(path=p, areas=tuple(VisibleArea(category=n, visible=6, alone=10) for n in names))
        for p in sorted(pictures)
    ]
    write_records(folder / "o.jsonl", rows)
    write_samples(folder / "t.jsonl", [s.model_copy(update={"categories": ("seat",)}) for s in samples])
    assert run(folder, "--occlusion", folder / "o.jsonl", "--train", folder / "t.jsonl") == 0
    found = json.loads((folder / "a.json").read_text())
    cells = {c["bin"]: c for c in found["tables"]["common_objects"]["shown"]}
    in_first = sum(t.image_index == 0 for s in samples if s.task == "common_objects" for t in s.targets)
    assert cells["50 to 75 %"]["masks"] == in_first
    assert cells["50 to 75 %"]["spurious"] is None
    assert found["findings"]["counts"]["picture_without_occlusion"] == len(samples)
    seen = {m["name"]: m["seen"] for m in found["masks"] if m["task"] == "common_objects"}
    assert seen["seat"] is True
    assert seen["leg"] is False


def test_similar_names_by_a_cache_of_vectors(files):
    folder, samples, _ = files
    labels = sorted({"leg", "seat", "back", "arm", "seat cushion", "back pillow"})
    vectors = np.ones((len(labels), 1), np.float32)
    with (folder / "v.npz").open("wb") as handle:
        np.savez(handle, model="all-one", labels=np.array(labels), vectors=vectors)
    assert run(folder, "--names", "similar", "--text-model", "all-one", "--embeddings", folder / "v.npz") == 0
    found = json.loads((folder / "a.json").read_text())
    assert not any(m["kind"] == "wrong_name" for m in found["masks"]), "every name is like every other"
    assert "cosine" in found["settings"]["names"]
    assert found["settings"]["text_model"] == "all-one"
    assert samples


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--train", "x", "--seen", "leg"], "both say what training saw"),
        (["--resamples", "-1"], "must not be negative"),
        (["--occlusion", "o.jsonl"], "about none of the 36 pictures"),
        (["--occlusion", "twice.jsonl"], "occurs twice"),
        (["--occlusion", "broken.jsonl"], "not a valid PictureOcclusion"),
        (["--out", "p.jsonl"], "would overwrite"),
        (["--predictions", "none.jsonl"], "holds no prediction"),
    ],
)
def test_refusals(files, more, message, capsys, monkeypatch):
    folder, _, _ = files
    monkeypatch.chdir(folder)
    row = PictureOcclusion(path="elsewhere.jpg")
    write_records(folder / "o.jsonl", [row])
    write_records(folder / "twice.jsonl", [row, row])
    (folder / "broken.jsonl").write_text('{"path": 1}\n')
    (folder / "none.jsonl").write_text("")
    assert run(folder, *more) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "a.json").exists()


def test_a_seen_category_that_is_nearly_one_of_the_samples_is_listed(files):
    folder = files[0]
    assert run(folder, "--seen", "seet", "helicopter") == 0
    items = json.loads((folder / "a.json").read_text())["findings"]["items"]
    found = {i["where"]: i["detail"] for i in items if i["kind"] == "seen_category_in_no_sample"}
    assert found == {"seet": "no sample has it; did you mean 'seat'?", "helicopter": "no sample has it"}


def test_training_samples_must_name_categories(files, capsys):
    folder = files[0]
    rows = [json.loads(line) for line in (folder / "s.jsonl").read_text().splitlines()]
    bare = [json.dumps({**row, "categories": []}) for row in rows]
    (folder / "bare.jsonl").write_text("\n".join(bare) + "\n")
    assert run(folder, "--train", str(folder / "bare.jsonl")) == 2
    assert f"its {len(rows)} samples name no categories" in capsys.readouterr().err
    named = [json.dumps({**row, "categories": ["seat"]}) for row in rows[:2]]
    (folder / "bare.jsonl").write_text("\n".join([*named, bare[2]]) + "\n")
    assert run(folder, "--train", str(folder / "bare.jsonl")) == 0
    items = json.loads((folder / "a.json").read_text())["findings"]["items"]
    assert [i["detail"] for i in items if i["kind"] == "training_samples_without_categories"] == ["1 of 3"]
