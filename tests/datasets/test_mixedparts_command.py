"""The command line on files of users' own format: splits, files written, errors."""

from __future__ import annotations

import argparse
import json
import shutil

import pytest

from llava_corr.datasets.doctor import examine
from llava_corr.datasets.mixedparts import command
from llava_corr.errors import AnnotationError, ConfigError, Findings, RegistryError
from llava_corr.files import read_json, write_json
from llava_corr.record_files import read_samples, write_records


@pytest.fixture(scope="module")
def root(annotated, tmp_path_factory):
    """Animals in the project's own format, from a source of the user's own, train and val only."""
    folder = tmp_path_factory.mktemp("annotations")
    for split, count in (("train", 500), ("val", 40)):
        rows = [i.model_copy(update={"source": "zoo"}) for i in annotated(split, count)["partimagenet"]]
        write_records(folder / f"{split}.jsonl", rows)
    return folder


def arguments(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_builds_and_describes_every_split(root, tmp_path):
    source = ("--source", f"jsonl={root}", "--without-test", "jsonl")
    assert command.run(arguments(*source, "--count", 40, "--out", tmp_path)) == 0
    files = [tmp_path / f"{split}.jsonl" for split in ("train", "val", "test")]
    assert examine(files).faults == []
    for file in files:
        samples = read_samples(file)
        statistics = read_json(tmp_path / f"{file.stem}_statistics.json")
        report = read_json(tmp_path / f"{file.stem}_build.json")
        assert statistics["samples"] == len(samples) == report["count"] == 40
        assert {sample.split for sample in samples} == {file.stem}
        assert len(report["findings"]) == sum(report["finding_counts"].values())
        assert (tmp_path / f"{file.stem}_statistics.md").read_text().startswith(f"# MixedParts, {file.stem}")
        assert statistics["cross_class_share"] == 0  # users' classes have no list of comparable ones


@pytest.mark.parametrize("named", ["folder", "file"])
def test_annotations_are_not_overwritten(root, tmp_path, named):
    shutil.copytree(root, tmp_path / "mine")
    source = tmp_path / "mine" if named == "folder" else tmp_path / "mine" / "train.jsonl"
    words = ("--source", f"jsonl={source}", "--split", "train", "--count", 5, "--out", tmp_path / "mine")
    before = (tmp_path / "mine" / "train.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"--out .* would overwrite --source jsonl"):
        command.run(arguments(*words))
    assert (tmp_path / "mine" / "train.jsonl").read_bytes() == before


def test_a_missing_split_is_named_before_anything_is_written(root, tmp_path):
    with pytest.raises(AnnotationError, match=r"test\.jsonl"):
        command.run(arguments("--source", f"jsonl={root}", "--count", 5, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    words = ("--source", f"jsonl={tmp_path}", "--count", 5, "--out", tmp_path / "out")
    for split in ("test", "train"):
        (tmp_path / f"{split}.jsonl").write_bytes((root / "train.jsonl").read_bytes())
    with pytest.raises(AnnotationError, match=r"val\.jsonl does not exist[\s\S]*--split train"):
        command.run(arguments(*words))
    assert not (tmp_path / "out").exists()


def test_pairs_are_made_within_the_source_that_rows_name(annotated, tmp_path):
    """Two sources in one file, with the same image ids; one is known and has a list of comparable classes."""
    some = annotated("train", 60)["partimagenet"]
    rows = [i.model_copy(update={"source": "zoo", "path": f"zoo/{i.path}"}) for i in some]
    write_records(tmp_path / "train.jsonl", [image for pair in zip(some, rows, strict=True) for image in pair])
    words = ("--source", f"jsonl={tmp_path}", "--split", "train", "--count", 40, "--out", tmp_path / "out")
    assert command.run(arguments(*words)) == 0
    samples = read_samples(tmp_path / "out" / "train.jsonl")
    assert {s.source for s in samples} == {"zoo", "partimagenet"}
    for sample in samples:
        assert {"zoo/" in image.path for image in sample.images} == {sample.source == "zoo"}
        assert sample.source == "partimagenet" or len(set(sample.categories)) == 1 or sample.task == "common_objects"


@pytest.mark.parametrize(
    "spec",
    ['{"margin": "x"}', '{"none_share": null}', '{"task_shares": [0.5, 0.5]}', '{"set_sizes": {"x": 1}}',
     '{"source_shares": null}', '{"image_draws": true}', '{"class_draws": 1.5}'],
)  # fmt: skip
def test_a_spec_of_wrong_types_is_named(root, tmp_path, spec):
    (tmp_path / "spec.json").write_text(spec)
    words = ("--source", f"jsonl={root}", "--split", "train", "--count", 5, "--spec", tmp_path / "spec.json")
    with pytest.raises(ConfigError, match=spec.split('"')[1]):
        command.run(arguments(*words, "--out", tmp_path / "out"))


def test_same_arguments_same_bytes(root, tmp_path):
    spec = tmp_path / "spec.json"
    write_json(spec, {"set_share": 0.5})
    for out in ("a", "b"):
        words = ("--source", f"jsonl={root}", "--split", "train", "--count", 30, "--seed", 5, "--spec", spec)
        command.run(arguments(*words, "--out", tmp_path / out))
    first, second = (tmp_path / out / "train.jsonl" for out in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert sum(len(sample.images) > 2 for sample in read_samples(first)) >= 13


def test_splits_of_a_source_without_test_split(root):
    paths = {}
    for split in ("train", "val", "test"):
        (pool,) = command.load_pools("jsonl", root, split, Findings(), without_test=True)
        paths[split] = {view.ref.path for view in pool.views}
    assert not paths["train"] & paths["val"]
    assert all("/val/" in path for path in paths["test"])
    assert len(paths["train"]) > 400


@pytest.mark.parametrize(
    ("words", "error", "fault"),
    [
        ((), ConfigError, "either --source"),
        (("--source", "jsonl=a", "--world", "b"), ConfigError, "either --source"),
        (("--source", "jsonl"), ConfigError, "not NAME=ROOT"),
        (("--source", "jsonl=a", "--source", "jsonl=b"), ConfigError, "twice"),
        (("--source", "paco=a"), RegistryError, "did you mean 'paco_lvis'"),
        (("--world", "nowhere"), ConfigError, "no source folder"),
        (("--source", "jsonl=a", "--count", "0"), ConfigError, "--count 0"),
        (("--source", "jsonl=a", "--without-test", "json"), ConfigError, "not among the sources"),
    ],
)
def test_unusable_arguments(words, error, fault, tmp_path):
    with pytest.raises(error, match=fault):
        command.run(arguments(*words, "--out", tmp_path))


def test_world_folder_holds_the_three_flavours(tmp_path):
    for name in ("paco_lvis", "ade20k_part_234"):
        (tmp_path / name).mkdir()
    assert command.source_roots([], str(tmp_path)) == {
        "paco_lvis": tmp_path / "paco_lvis",
        "ade20k_part_234": tmp_path / "ade20k_part_234",
    }


def test_a_file_whose_rows_name_no_split_is_not_all_of_them(tmp_path):
    row = {"path": "a.png", "height": 4, "width": 4}
    file = tmp_path / "all.jsonl"
    for extra in ({}, {"split": None}):
        file.write_text(
            json.dumps(row | {"split": "train"}) + "\n" + json.dumps(row | {"path": "b.png"} | extra) + "\n"
        )
        with pytest.raises(AnnotationError, match=r"names no split[\s\S]*row 2"):
            command.run(arguments("--source", f"jsonl={file}", "--count", 4, "--out", tmp_path / "out"))
        assert not (tmp_path / "out").exists()
