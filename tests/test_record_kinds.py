"""A file given in the place of another is called by its name, not listed fault by fault."""

import json

import pytest
from drawn_pairs import make_data

from llava_corr.datasets import doctor
from llava_corr.errors import AnnotationError, Findings, LlavaCorrError
from llava_corr.record_files import iter_predictions, read_samples, write_records, write_samples
from llava_corr.sources import SOURCES


@pytest.fixture
def files(tmp_path):
    samples, predictions = make_data(tmp_path, per_cell=1)
    write_samples(tmp_path / "samples.jsonl", samples)
    write_records(tmp_path / "predictions.jsonl", predictions)
    row = {"path": "a.jpg", "height": 4, "width": 4, "objects": []}
    (tmp_path / "annotations.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("read", "name", "kind"),
    [
        (lambda path: read_samples(path), "predictions.jsonl", "this is a prediction file"),
        (lambda path: read_samples(path), "annotations.jsonl", "this is a file of annotated pictures"),
        (lambda path: list(iter_predictions(path)), "samples.jsonl", "this is a samples file"),
    ],
)
def test_another_kind_of_file_is_named(files, read, name, kind):
    with pytest.raises(LlavaCorrError, match=kind):
        read(files / name)


def test_samples_are_no_annotations(files):
    with pytest.raises(AnnotationError, match="this is a samples file"):
        list(SOURCES.load("jsonl")(files / "samples.jsonl", "test", findings=Findings()))


def test_a_faulty_row_of_the_right_kind_is_listed_fault_by_fault(files):
    row = json.loads((files / "samples.jsonl").read_text().splitlines()[0])
    del row["task"]
    (files / "samples.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(LlavaCorrError, match="not a valid Sample: task"):
        read_samples(files / "samples.jsonl")


def test_the_doctor_prints_ten_faults_of_a_kind_and_counts_the_rest(files, caplog):
    (files / "pretty.json").write_text("{\n" + "  1,\n" * 40 + "}\n")
    args = type("Args", (), {"files": [str(files / "pretty.json")], "images": False, "repair": None, "report": None})
    with caplog.at_level("WARNING"):
        assert doctor.run(args) == 1
    text = caplog.text
    assert sum("mend:" in line for line in text.splitlines()) <= 2 * doctor.LISTED
    assert "more of them; --report JSON lists all" in text
    examined = doctor.examine([files / "predictions.jsonl"])
    assert set(examined.counts()) == {"other_file"}
