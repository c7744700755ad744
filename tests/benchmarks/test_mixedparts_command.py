"""``eval/mixedparts.py`` as a user runs it: files in, table and scores.json out, torch left out the second time."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_mixedparts import perfect, random_data

from llava_corr.benchmarks import BASELINES, BENCHMARKS, baseline_command, command
from llava_corr.benchmarks.mixedparts import score
from llava_corr.benchmarks.mixedparts_metrics import METRICS
from llava_corr.errors import ConfigError, PredictionError, RegistryError
from llava_corr.record_files import write_records, write_samples
from llava_corr.records import Score

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def files(tmp_path):
    samples, predictions = random_data(3, 30)
    write_samples(tmp_path / "test.jsonl", samples)
    write_records(tmp_path / "model.jsonl", predictions[:-1])
    write_records(tmp_path / "better.jsonl", [perfect(s) for s in samples])
    return tmp_path


def run(folder, *options, target=command):
    parser = argparse.ArgumentParser()
    target.add_arguments(parser)
    return target.run(parser.parse_args([str(option) for option in options]))


def options(folder, predictions="model.jsonl", *more):
    paths = ["--samples", folder / "test.jsonl", "--predictions", folder / predictions, "--out", folder / "scores.json"]
    return [*paths, "--resamples", 50, *more]


def test_scores_json_holds_what_the_page_needs(files, capsys):
    assert run(files, *options(files)) == 0
    scores = json.loads((files / "scores.json").read_text())
    assert scores["schema_version"] == 1
    assert (scores["benchmark"], scores["name"]) == ("mixedparts", "model")
    assert scores["samples"]["tasks"] == {"common_objects": 10, "common_parts": 10, "unique_parts": 10}
    assert scores["predictions"]["missing"] == 1
    assert scores["settings"]["resamples"] == 50
    assert scores["findings"]["counts"] == {"missing_prediction": 1}
    assert set(scores["versions"]) == {"llava_corr", "python", "numpy", "pycocotools"}
    assert list(scores["columns"]) == ["common_objects", "common_parts", "unique_parts", "mean"]
    assert set(scores["metrics"]) == {m.name for m in METRICS}
    for column in scores["columns"].values():
        for item in column.values():
            assert Score.model_validate(item).convention
    per_sample = scores["columns"]["common_parts"]["missing_rate"]["per_sample"]
    assert len(per_sample) == 10
    assert scores["against"] is None


def test_table_is_aligned_and_complete(files, capsys):
    run(files, *options(files))
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if "mean (30)" in line)
    starts = [header.index(name) for name in ("common_objects", "common_parts", "unique_parts", "mean")]
    rows = {line.split()[0]: line for line in lines if line.split() and line.split()[0] in {m.name for m in METRICS}}
    assert set(rows) == {m.name for m in METRICS}
    for line in rows.values():
        assert all(line[start - 1] == " " and line[start] != " " for start in starts)
    assert re.search(r"mIoU \*\s+\d+\.\d \[\d+\.\d, \d+\.\d\]", rows["mIoU"])
    assert "findings: 1 missing_prediction" in lines


def test_comparison_is_shown_and_written(files, capsys):
    run(files, *options(files, "better.jsonl", "--against", files / "model.jsonl", "--name", "ours"))
    out = capsys.readouterr().out
    assert "ours minus model" in out
    against = json.loads((files / "scores.json").read_text())["against"]
    assert against["name"] == "model"
    assert against["differences"]["mean"]["mIoU_strict"]["verdict"] == "better"
    assert against["differences"]["mean"]["missing_rate"]["verdict"] in ("better", "undecided")
    low, high = against["differences"]["mean"]["mIoU_strict"]["interval"]
    assert 0 < low < high
    assert against["predictions"]["missing"] == 1


def script(*arguments):
    command = [sys.executable, str(ROOT / "eval" / "mixedparts.py"), *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_script_scores_again_without_torch(files):
    run(files, *options(files))
    first = (files / "scores.json").read_text()
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['mixedparts.py', *{[str(o) for o in options(files)]!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'eval' / 'mixedparts.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    heavy = {'torch', 'transformers', 'sentence_transformers', 'matplotlib'} & set(sys.modules)\n"
        "    print('exit', end.code, sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "exit 0 []"
    assert (files / "scores.json").read_text() == first, "the same files give the same scores"


def test_predictions_may_come_through_a_pipe(files):
    pipe = files / "pipe.jsonl"
    os.mkfifo(pipe)
    words = [str(w) for w in options(files, "pipe.jsonl")]
    run = subprocess.Popen([sys.executable, ROOT / "eval" / "mixedparts.py", *words], stdout=subprocess.DEVNULL)
    pipe.write_bytes((files / "model.jsonl").read_bytes())
    assert run.wait(timeout=120) == 0


def test_script_names_a_fault_without_a_traceback(files):
    done = script(*options(files, "nothing.jsonl"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing.jsonl does not exist")
    assert "Traceback" not in done.stderr
    assert not (files / "scores.json").exists()


def test_predictions_of_other_data_are_refused(files):
    samples, _ = random_data(4, 30)
    write_samples(files / "test.jsonl", samples)
    with pytest.raises(PredictionError, match="another version of the data; first: 's000'") as caught:
        run(files, *options(files))
    assert caught.value.where == str(files / "model.jsonl")


def test_negative_resamples_are_refused(files):
    with pytest.raises(ConfigError, match="must not be negative"):
        run(files, *options(files), "--resamples", -1)


def test_no_resamples_no_intervals(files, capsys):
    run(files, *options(files), "--resamples", 0)
    assert re.search(r"mIoU \*\s+\d+\.\d  ", capsys.readouterr().out)


def test_baseline_command_writes_a_file_that_can_be_scored(files, capsys):
    paths = ["--train", files / "test.jsonl", "--samples", files / "test.jsonl", "--out", files / "prior.jsonl"]
    assert run(files, "prior-only", *paths, target=baseline_command) == 0
    assert "30 predictions" in capsys.readouterr().out
    run(files, *options(files, "prior.jsonl"))
    assert json.loads((files / "scores.json").read_text())["predictions"]["missing"] == 0
    with pytest.raises(SystemExit):
        run(files, "prior-onyl", *paths, target=baseline_command)
    assert re.search("invalid choice: 'prior-onyl' .*prior-only", capsys.readouterr().err)
    with pytest.raises(RegistryError, match="did you mean 'prior-only'"):
        BASELINES.load("prior-onyl")


def test_registries_load():
    assert BENCHMARKS.load("mixedparts") is score
    assert all(callable(BASELINES.load(name)) for name in ("prior-only", "label-set"))


@pytest.mark.parametrize("read", ["--samples", "--predictions", "--against"])
@pytest.mark.parametrize("written", ["--out", "--embeddings"])
def test_scoring_overwrites_nothing_that_it_reads(files, read, written):
    given = dict(zip(("--samples", "--predictions", "--against"), ("test", "model", "better"), strict=True))
    paths = {name: files / f"{stem}.jsonl" for name, stem in given.items()} | {"--out": files / "scores.json"}
    before = paths[read].read_bytes()
    with pytest.raises(ConfigError, match=f"{written} .* would overwrite {read}"):
        run(files, *(word for pair in (paths | {written: paths[read]}).items() for word in pair))
    assert paths[read].read_bytes() == before


@pytest.mark.parametrize("taken", ["--samples", "--train", "another"])
def test_a_baseline_replaces_only_predictions(files, taken):
    paths = {"--samples": files / "test.jsonl", "--train": files / "train.jsonl", "another": files / "another.jsonl"}
    for path in paths.values():
        write_samples(path, random_data(3, 30)[0])
    words = [word for name in ("--samples", "--train") for word in (name, paths[name])]
    before = paths[taken].read_bytes()
    with pytest.raises(ConfigError, match=f"would overwrite {taken}|is no file of predictions"):
        run(files, "prior-only", *words, "--out", paths[taken], target=baseline_command)
    assert paths[taken].read_bytes() == before
    assert run(files, "prior-only", *words, "--out", files / "model.jsonl", target=baseline_command) == 0
