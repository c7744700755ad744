"""``llava-corr baseline simulate-detector`` and ``label-set`` as a user runs them, up to the scores."""

import argparse
import hashlib
import json

import numpy as np
import pytest
from random_annotations import KINDS, random_image

from llava_corr.benchmarks import baseline_command, command
from llava_corr.benchmarks.detections import read_detections
from llava_corr.cli import main
from llava_corr.datasets.mixedparts.build import Builder
from llava_corr.datasets.mixedparts.classes import comparable_classes
from llava_corr.datasets.mixedparts.pool import Pool
from llava_corr.datasets.mixedparts.spec import MixedPartsSpec
from llava_corr.datasets.mixedparts.views import view_images
from llava_corr.errors import ConfigError, Findings, PredictionError
from llava_corr.record_files import iter_predictions, read_samples, write_records, write_samples


@pytest.fixture
def folder(tmp_path):
    """Annotated images (``data/test.jsonl``) and samples of them (``test.jsonl``)."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    images = {s: [random_image(s, "test", k, rng) for k in range(50)] for s in KINDS}
    stored = {
        s: [i.model_copy(update={"path": f"images/{s}/{i.image_id}.jpg"}) for i in found] for s, found in images.items()
    }
    write_records(tmp_path / "data" / "test.jsonl", [i for found in stored.values() for i in found])
    here = {
        s: [i.model_copy(update={"path": str(tmp_path / "data" / i.path)}) for i in found]
        for s, found in stored.items()
    }
    pools = [Pool(s, "test", view_images(i, Findings()), comparable_classes(s)) for s, i in here.items()]
    write_samples(tmp_path / "test.jsonl", Builder(pools, MixedPartsSpec(), "test", 0).samples(40))
    return tmp_path


def run(*words, target=baseline_command):
    parser = argparse.ArgumentParser()
    target.add_arguments(parser)
    return target.run(parser.parse_args([str(word) for word in words]))


def detect(folder, *rates, out="d.jsonl"):
    return run("simulate-detector", "--source", f"jsonl={folder / 'data'}", "--out", folder / out, *rates)


def answer(folder, *options, detections="d.jsonl", out="p.jsonl"):
    words = ("--detections", folder / detections, "--samples", folder / "test.jsonl", "--out", folder / out)
    return run("label-set", *words, *options)


def scores(folder, predictions="p.jsonl"):
    words = ("--samples", folder / "test.jsonl", "--predictions", folder / predictions, "--out", folder / "s.json")
    assert run(*words, "--resamples", 0, target=command) == 0
    return {name: s["value"] for name, s in json.loads((folder / "s.json").read_text())["columns"]["mean"].items()}


def test_from_annotations_to_scores(folder, capsys):
    assert detect(folder) == 0
    assert answer(folder, "--rule", "main-object") == 0
    assert "label-set: 40 predictions" in capsys.readouterr().out
    perfect = scores(folder)
    assert perfect["mIoU_strict_spurious"] == perfect["AP50"] == pytest.approx(1.0)
    assert perfect["missing_rate"] == 0
    rates = ("--miss-small", 0.5, "--miss-large", 0.3, "--wrong-name", 0.2, "--mask-iou", 0.7, "--false-positives", 1)
    detect(folder, *rates)
    answer(folder, "--rule", "main-object")
    assert 0.02 < scores(folder)["mIoU_strict_spurious"] < 0.8


def test_quality_stands_beside_the_detections(folder, capsys):
    detect(folder, "--miss-small", 1, "--miss-large", 0.25, "--large", 0.002, "--seed", 5)
    report = json.loads((folder / "d.jsonl.quality.json").read_text())
    assert (report["asked"]["miss_large"], report["seed"], report["images"]) == (0.25, 5, 150)
    measured = report["measured_at_threshold"]["0.0"]["objects"]
    assert measured["missed"] == pytest.approx(0.25, abs=0.1)
    assert f"recall {measured['recall']:.3f}" in capsys.readouterr().out
    first = (folder / "d.jsonl").read_bytes()
    detect(folder, "--miss-small", 1, "--miss-large", 0.25, "--large", 0.002, "--seed", 5, out="again.jsonl")
    assert (folder / "again.jsonl").read_bytes() == first


def test_detections_move_with_their_folder(folder, tmp_path_factory):
    detect(folder)
    images = read_detections(folder / "d.jsonl", findings=Findings())
    assert images[0].image == "data/images/paco_lvis/00000.jpg"
    detect(folder, out="elsewhere/d.jsonl")
    (other,) = {i.image for i in read_detections(folder / "elsewhere" / "d.jsonl", findings=Findings())[:1]}
    assert other == str((folder / images[0].image).resolve())
    for name in ("d.jsonl", "elsewhere/d.jsonl"):
        answer(folder, detections=name, out=f"{name}.answers")
    assert (folder / "d.jsonl.answers").read_bytes() == (folder / "elsewhere/d.jsonl.answers").read_bytes()


def test_only_the_images_of_the_samples(folder):
    detect(folder)
    answer(folder)
    detect(folder, "--samples", folder / "test.jsonl", out="few.jsonl")
    answer(folder, detections="few.jsonl", out="few_p.jsonl")
    assert (folder / "few_p.jsonl").read_bytes() == (folder / "p.jsonl").read_bytes()
    lines = (folder / "few.jsonl").read_text().splitlines()
    assert 0 < len(lines) < 150
    rows = [row for row in (folder / "data" / "test.jsonl").read_text().splitlines() if "paco_lvis" in row]
    (folder / "data" / "test.jsonl").write_text("\n".join(rows))
    with pytest.raises(ConfigError, match="images of the samples are not annotated here"):
        detect(folder, "--samples", folder / "test.jsonl", out="few.jsonl")


def test_what_the_answers_rest_on_is_written_beside_them(folder, capsys):
    detect(folder, "--score-noise", 0.3)
    answer(folder, "--threshold", 0.7)
    report = json.loads((folder / "p.jsonl.label-set.json").read_text())
    assert (report["rule"], report["threshold"], report["images"]) == ("all-parts", 0.7, 150)
    found = [d.score for i in read_detections(folder / "d.jsonl", findings=Findings()) for d in i.detections]
    assert report["detections_read"] == len(found)
    assert report["detections_kept"] == sum(s > 0.7 for s in found) < len(found)
    images = read_detections(folder / "d.jsonl", findings=Findings())
    asked = {path.path for s in read_samples(folder / "test.jsonl") for path in s.images}
    seen = [[d.score for d in i.detections] for i in images if any(path.endswith(i.image) for path in asked)]
    assert report["images_asked_about"] == len(seen) == len(asked)
    bare = report["images_without_detections"]
    assert bare == sum(not own for own in seen)
    assert report["images_with_none_kept"] == sum(bool(own) and max(own) <= 0.7 for own in seen)
    shown = capsys.readouterr().out
    assert f"{report['detections_kept']} of {len(found)} detections" in shown
    assert f"{len(asked)} images asked about: {bare} without any detection" in shown
    assert all(s.score > 0.7 for p in iter_predictions(folder / "p.jsonl") for s in p.segments)


def test_coco_results_give_the_same_answers(folder):
    detect(folder)
    answer(folder)
    images, categories, results = [], {}, []
    for number, image in enumerate(read_detections(folder / "d.jsonl", findings=Findings())):
        images.append({"id": number, "file_name": image.image, "height": image.height, "width": image.width})
        for d in image.detections:
            key = categories.setdefault(d.object if d.part is None else f"{d.object}:{d.part}", len(categories))
            mask = d.mask.model_dump()
            results.append({"image_id": number, "category_id": key, "segmentation": mask, "score": d.score, "bbox": []})
    rows = [{"id": key, "name": name} for name, key in categories.items()]
    (folder / "val.json").write_text(json.dumps({"images": images, "categories": rows, "annotations": []}))
    (folder / "coco_instances_results.json").write_text(json.dumps(results))
    name = "coco_instances_results.json"
    answer(folder, "--annotations", folder / "val.json", detections=name, out="coco_p.jsonl")
    assert (folder / "coco_p.jsonl").read_bytes() == (folder / "p.jsonl").read_bytes()
    report = json.loads((folder / "coco_p.jsonl.label-set.json").read_text())
    for key, file in (("detections", name), ("annotations", "val.json"), ("samples", "test.jsonl")):
        assert report[key]["sha256"] == hashlib.sha256((folder / file).read_bytes()).hexdigest()


def test_detections_of_other_images_are_refused(folder):
    detect(folder)
    lines = (folder / "d.jsonl").read_text().splitlines(keepends=True)
    (folder / "d.jsonl").write_text("".join(lines[:75]))
    with pytest.raises(PredictionError, match=r"have no row among 75(.|\n)*--by-file-name"):
        answer(folder)
    assert not (folder / "p.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--threshold", "1"), "--threshold 1.0 keeps nothing"),
        (("--threshold", "nan"), "--threshold nan"),
        (("--out", "d.jsonl"), "would overwrite --detections"),
        (("--out", "test.jsonl"), "would overwrite --samples"),
        (("--out", "data/test.jsonl"), "no file of predictions"),
    ],
)
def test_unusable_arguments_of_label_set(folder, monkeypatch, words, what):
    detect(folder)
    monkeypatch.chdir(folder)
    before = {p: p.read_bytes() for p in folder.rglob("*.jsonl")}
    with pytest.raises(ConfigError, match=what):
        answer(folder, *words)
    assert {p: p.read_bytes() for p in folder.rglob("*.jsonl")} == before


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--mask-iou", "1.5"), "--mask-iou: "),
        (("--small", "0.3", "--large", "0.2"), r"small \(0\.3\) must lie below large"),
        (("--without-test", "grand"), "--without-test grand is not among"),
        (("--seed", "-1"), "--seed -1"),
        (("--out", "d.json"), "read as COCO results"),
        (("--out", "test.jsonl"), "no file of detectedimages"),
        (("--source", "jsonl=other"), "given twice"),
    ],
)
def test_unusable_arguments_of_the_detector(folder, monkeypatch, words, what):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=what):
        detect(folder, *words)


def test_the_command_line_shows_the_fault_without_a_traceback(folder, capsys):
    (folder / "d.jsonl").write_text('{"image": "x"}\n')
    words = ["--detections", folder / "d.jsonl", "--samples", folder / "test.jsonl", "--out", folder / "p.jsonl"]
    assert main(["baseline", "label-set", *map(str, words)]) == 2
    assert f"{folder / 'd.jsonl'}, row 1" in capsys.readouterr().err
