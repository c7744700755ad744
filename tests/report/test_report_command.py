"""From files to the page, with scores that the benchmark itself wrote; broken files are named."""

import json
import re
import shutil

import pytest
from command_line import parse
from drawn_pairs import make_data, one_hot_cache, predict
from one_hot_scores import score

from llava_corr.errors import ConfigError, LlavaCorrError, PredictionError, ReportError, SampleError
from llava_corr.record_files import write_records, write_samples
from llava_corr.report import command
from llava_corr.report.command import load_inputs, read_log
from llava_corr.report.scores_file import merge_scores, read_scores


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    samples, predictions = make_data(folder, per_cell=3)
    write_samples(folder / "samples.jsonl", samples)
    write_records(folder / "predictions.jsonl", predictions)
    write_records(folder / "other.jsonl", [predict(s, 20) for s in samples])
    one_hot_cache(folder / "labels.npz", samples)
    ours, others = folder / "predictions.jsonl", folder / "other.jsonl"
    names = ["--name", "tiny", "--against", others, "--against-name", "shifted"]
    asked = (folder / "samples.jsonl", folder / "labels.npz")
    score(*asked, ours, folder / "scores.json", *names)
    score(*asked, others, folder / "other.json", "--name", "shifted")
    (folder / "config.yaml").write_text("width: 64\n")
    (folder / "run.json").write_text(json.dumps({"commit": "abc123", "command": "llava-corr train --config tiny"}))
    (folder / "train_log.jsonl").write_text(
        "".join(json.dumps({"step": k, "language": 1 / (k + 1)}) + "\n" for k in range(9))
    )
    return folder


def test_a_run_folder_is_enough(run_folder, tmp_path):
    args = parse(command, "--run", run_folder, "--out", tmp_path / "r.html")
    assert command.run(args) == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    for shown in (
        "tiny",
        "mIoU strict",
        "abc123",
        "width: 64",
        "language over steps",
        "llava-corr train --config tiny",
    ):
        assert shown in text
    assert text.count("<article") >= 24


def test_an_earlier_stage_has_its_own_curves(run_folder, tmp_path):
    before = tmp_path / "words"
    before.mkdir()
    rows = [{"step": k, "language": 3 - k / 9} for k in range(9)]
    (before / "train_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs = load_inputs(parse(command, "--run", run_folder, "--before", before, "--out", "x"))
    assert [row["stage"] for row in inputs.train_log] == ["words"] * 9 + [run_folder.name] * 9
    assert command.run(parse(command, "--run", run_folder, "--before", before, "--out", tmp_path / "r.html")) == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "language (words) over steps" in text
    assert f"language ({run_folder.name}) over steps" in text
    with pytest.raises(ReportError, match="does not exist"):
        load_inputs(parse(command, "--run", run_folder, "--before", tmp_path / "gone", "--out", "x"))


def test_models_and_differences_come_from_the_scores_files(run_folder, tmp_path):
    args = parse(command, "--scores", run_folder / "scores.json", f"prior={run_folder / 'other.json'}", "--out", "x")
    inputs = load_inputs(args)
    assert inputs.model == "tiny"
    assert list(dict.fromkeys(row.model for row in inputs.scores)) == ["tiny", "prior"]
    stored = json.loads((run_folder / "scores.json").read_text())
    row = next(r for r in inputs.scores if r[:2] == ("tiny", "common_parts") and r.score.name == "mIoU_strict")
    assert row.score.value == stored["columns"]["common_parts"]["mIoU_strict"]["value"]
    difference = next(d for d in inputs.differences if d.task == "macro mean" and d.name == "mIoU_strict")
    assert difference.value == stored["against"]["differences"]["mean"]["mIoU_strict"]["value"]
    assert inputs.metrics["mIoU_strict"].percent
    assert not inputs.metrics["predictions_per_truth"].percent
    assert inputs.run is None


def test_page_shows_the_stored_scores(run_folder, tmp_path):
    args = parse(command, "--run", run_folder, "--out", tmp_path / "r.html")
    command.run(args)
    text = re.sub(r"<[^>]*>", " ", (tmp_path / "r.html").read_text("utf-8"))
    stored = json.loads((run_folder / "scores.json").read_text())["columns"]["mean"]
    for name in ("AP50", "mIoU", "Recall", "SS", "S-IoU", "mIoU_strict"):
        assert f"{100 * stored[name]['value']:.1f}" in text
        assert stored[name]["convention"].split("; macro mean")[0].split(";")[0] in text.replace("&gt;", ">")


def changed(path, out, **changes):
    out.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return out


def test_scores_of_other_samples_or_twice_the_name_are_refused(run_folder, tmp_path):
    first = read_scores(run_folder / "scores.json")
    other = read_scores(changed(run_folder / "other.json", tmp_path / "o.json", truth="f" * 16))
    with pytest.raises(ReportError, match="rest on truth ffff"):
        merge_scores([("a", first), ("b", other)])
    with pytest.raises(ReportError, match="two scores files are named 'tiny'"):
        merge_scores([("a", first), ("b", first)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 9}, "scores schema 9"),
        ({"columns": {"mean": {"mIoU": {"name": "mIoU"}}}}, "columns.mean.mIoU"),
    ],
)
def test_broken_scores_are_named(run_folder, tmp_path, changes, message):
    with pytest.raises(ReportError, match=message):
        read_scores(changed(run_folder / "scores.json", tmp_path / "s.json", **changes))


def test_log_rows_must_be_objects(tmp_path):
    path = tmp_path / "log.jsonl"
    for line, message in (("{broken", "must be a JSON object"), ("[1]", "a list")):
        path.write_text('{"step": 1}\n' + line + "\n")
        with pytest.raises(ReportError, match=message) as caught:
            read_log(path)
        assert "row 2" in str(caught.value)


def test_missing_files_are_named(run_folder, tmp_path):
    gone = tmp_path / "gone"
    cases: list[tuple[list, type[LlavaCorrError], str]] = [
        (["--run", gone], ReportError, "run folder does not exist"),
        (["--run", tmp_path], ReportError, "no samples to show"),
        (["--samples", gone], SampleError, "does not exist"),
        (["--scores", gone], ReportError, "does not exist"),
        (["--run", run_folder, "--predictions", gone], PredictionError, "does not exist"),
        (["--run", run_folder, "--difficulty", gone], ReportError, "does not exist"),
        (["--run", run_folder, "--show", 0], ReportError, "--show 0"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            load_inputs(parse(command, *arguments, "--out", "x"))


def test_predictions_of_other_samples_are_refused(run_folder, tmp_path):
    samples, _ = make_data(tmp_path / "new", per_cell=1)
    moved = [s.model_copy(update={"targets": s.targets[::-1]}) for s in samples]
    write_samples(tmp_path / "samples.jsonl", moved)
    args = parse(
        command,
        "--samples",
        tmp_path / "samples.jsonl",
        "--predictions",
        run_folder / "predictions.jsonl",
        "--out",
        "x",
    )
    with pytest.raises(PredictionError):
        command.run(args)


def test_the_page_overwrites_nothing_that_it_reads(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / "difficulty.json").write_text("{}")
    (folder / "config.yaml").write_text("name: x\n")
    before = {file: file.read_bytes() for file in folder.glob("*.*")}
    given = {"--scores": "other.json", "--difficulty": "difficulty.json", "--samples": "samples.jsonl"}
    words = [word for name, file in given.items() for word in (name, folder / file)]
    for chosen, names in ((words, given.values()), ((), ("config.yaml", "scores.json"))):
        for name in names:
            with pytest.raises(ConfigError, match=rf"--out .*{name} would overwrite"):
                command.run(parse(command, "--run", folder, *chosen, "--out", folder / name))
    assert {file: file.read_bytes() for file in folder.glob("*.*")} == before
