"""What a reproduction's tables rest on, kept in small files where rows of several sittings and machines meet."""

import json
import shutil

import pytest
import yaml
from drawn_pairs import make_data, one_hot_cache, predict
from one_hot_scores import score

from llava_corr.config import load_config
from llava_corr.errors import ReportError
from llava_corr.files import write_json
from llava_corr.record_files import samples_fingerprint, write_records, write_samples
from llava_corr.reproduction import evidence, tables

SHIFTS = {"calico": 0, "neither": 40, "no_cem": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What two sittings leave, each a seed, on machines that keep their files elsewhere."""
    sittings = []
    samples, _ = make_data(tmp_path_factory.mktemp("pictures"), per_cell=2)
    for seed, place in enumerate(("home", "away")):
        root = tmp_path_factory.mktemp(place)
        out, asked = root / "out", root / "out" / "data" / "pairs" / "test.jsonl"
        asked.parent.mkdir(parents=True)
        moved = [i.model_copy(update={"path": str(root / "world" / i.path.split("/")[-1])}) for i in samples[0].images]
        write_samples(asked, [samples[0].model_copy(update={"images": tuple(moved)}), *samples[1:]])
        one_hot_cache(root / "labels.npz", samples)
        for row, shift in SHIFTS.items():
            sit(out, row, seed, shift, samples)
            against = [] if row == "calico" else ["--against", out / f"calico-{seed}" / "pairs.jsonl"]
            named = ["--against-name", f"calico-{seed}"] if against else []
            files = (asked, root / "labels.npz", out / f"{row}-{seed}" / "pairs.jsonl")
            to = out / "scores" / f"{row}-{seed}-pairs.json"
            to.parent.mkdir(exist_ok=True)
            score(*files, to, "--name", f"{row}-{seed}", *against, *named, resamples=20)
        order = out / "scores" / "order" / f"neither-no_cem-{seed}.json"
        order.parent.mkdir()
        files = (asked, root / "labels.npz", out / f"neither-{seed}" / "pairs.jsonl", order)
        against = ["--against", out / f"no_cem-{seed}" / "pairs.jsonl", "--against-name", f"no_cem-{seed}"]
        score(*files, "--name", f"neither-{seed}", *against, resamples=20)
        write_json(out / "stages.json", {"minutes": 1, "stage_seconds": {f"predict: no_cem-{seed} pairs": 60}})
        sittings.append(out)
    value = {"name": "iou", "value": 0.5, "interval": None, "n": 1, "convention": "c"}
    tasks = {"common_objects": {"iou": value | {"per_sample": {"/home/me/a.jpg": 0.5}}}}
    partner = {"schema_version": 1, "check": "partner", "files": {"samples": "/home/me/test.jsonl"}, "tasks": tasks}
    write_json(sittings[0] / "scores" / "partner.json", partner)
    return sittings


def sit(out, row, seed, shift, samples):
    """A run as training and answering leave it."""
    run = out / f"{row}-{seed}"
    run.mkdir()
    values = [f"name={run.name}", f"seed={seed}", f"output_dir={out}", f"data.train={out / 'data' / 'train.jsonl'}"]
    (run / "config.yaml").write_text(load_config("tiny/calico.yaml", [*values, "model.weights=/home/me/zoo"]).to_yaml())
    asked = out / "data" / "pairs" / "test.jsonl"
    inputs = {
        "data.train": {"path": str(asked), "fingerprint": samples_fingerprint(asked, ReportError)},
        "model.weights": {"path": "/home/me/zoo", "fingerprint": "w"},
    }
    command = f"{out}/train.py --config x"
    write_json(run / "run.json", {"command": command, "commit": "abc", "steps": 9, "world_size": 1, "inputs": inputs})
    (run / "train_log.jsonl").write_text(json.dumps({"step": 10, "order": f"{seed}"}) + "\n")
    write_records(run / "pairs.jsonl", [predict(sample, shift) for sample in samples])


@pytest.fixture
def sittings(made, tmp_path):
    return [shutil.copytree(out, tmp_path / str(seed)) for seed, out in enumerate(made)]


def test_rows_of_two_machines_meet(sittings, tmp_path):
    for part in sittings:
        kept = evidence.gather(part, tmp_path / "evidence")
        shutil.copytree(part, tmp_path / "whole", dirs_exist_ok=True)
    spent = {f"predict: no_cem-{seed} pairs": 60 for seed in "01"}
    write_json(tmp_path / "whole" / "stages.json", {"stage_seconds": spent})
    found = tables.collect(kept)
    assert found["faults"] == []
    assert found == tables.collect(tmp_path / "whole")
    assert found["tests"]["pairs"]["neither"]["seeds"] == ["0", "1"]
    assert len(found["order"]) == 3
    assert evidence.gather(kept, kept) == kept
    assert tables.collect(evidence.gather(kept, tmp_path / "again")) == found


def test_it_holds_no_values_of_single_samples_and_no_paths_of_the_machine(made, sittings, tmp_path):
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    texts = {path: path.read_text() for path in kept.rglob("*") if path.is_file()}
    for word in ("/home", str(tmp_path), str(made[0].parent), "train.py"):
        assert not [path for path, text in texts.items() if word in text], word
    scored = json.loads(texts[kept / "scores" / "neither-0-pairs.json"])["columns"]["mean"]["mIoU"]
    assert scored["value"] is not None
    assert "per_sample" not in scored
    assert "per_sample" not in json.loads(texts[kept / "scores" / "partner.json"])["tasks"]["common_objects"]["iou"]
    config = yaml.safe_load(texts[kept / "calico-0" / "config.yaml"])
    assert (config["output_dir"], config["data"]["train"]) == ("runs/reproduce", "runs/reproduce/data/train.jsonl")


def test_what_does_not_belong_is_refused_and_nothing_written(sittings, tmp_path):
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    scores = sittings[1] / "scores" / "no_cem-1-pairs.json"
    write_json(scores, json.loads(scores.read_text()) | {"truth": "others"})
    with pytest.raises(ReportError, match="different samples"):
        evidence.gather(sittings[1], kept)
    config = sittings[0] / "neither-0" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 2000", "max_steps: 7"))
    with pytest.raises(ReportError, match=r"neither-0 is there with another configuration; .*training\.max_steps"):
        evidence.gather(sittings[0], kept)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportError, match="no scores"):
        evidence.gather(tmp_path / "empty", kept)
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


BROKEN = {
    "calico-0/train_log.jsonl": '{"step": 10, "ord',
    "calico-0/config.yaml": "name: [",
    "neither-0/config.yaml": "",
    "neither-0/run.json": "[]",
    "no_cem-0/run.json": '{"inputs": null}',
    "stages.json": '{"stage_seconds": null}',
    "scores/partner.json": '{"tasks": {"common_objects": {"iou": {"name": "iou"}}}}',
    "scores/neither-0-pairs.json": "{}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_nothing_written(sittings, tmp_path, name):
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    (sittings[0] / name).write_text(BROKEN[name])
    with pytest.raises(ReportError, match=f"(?s)where: .*{name}"):
        evidence.gather(sittings[0], kept)
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
    (kept / name).write_text(BROKEN[name])
    with pytest.raises(ReportError, match=f"(?s)where: .*{name}"):
        tables.collect(kept)


def test_scores_of_answers_that_are_being_made_anew_stay_behind(sittings, tmp_path, caplog):
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    before = {path: path.read_bytes() for path in kept.rglob("*neither*/*") if path.is_file()}
    spent = json.loads((kept / "stages.json").read_text())
    partly = {"stage_seconds": {"train: neither-0": 3.0, "predict: no_cem-0 pairs": 70}}
    write_json(sittings[0] / "stages.json", partly)
    write_json(sittings[0] / "commands.json", {})
    write_json(sittings[0] / "neither-0" / "run.json", {"commit": "new"})
    answers = sittings[0] / "neither-0" / "pairs.jsonl"
    for rows in (answers.read_text().splitlines(keepends=True)[:-1], None):
        answers.write_text("".join(rows)) if rows else answers.unlink()
        evidence.gather(sittings[0], kept)
        assert {path: path.read_bytes() for path in kept.rglob("*neither*/*") if path.is_file()} == before
        assert "neither-0-pairs.json stays behind" in caplog.text
    spent["stage_seconds"] |= {"predict: no_cem-0 pairs": 70.0}
    assert json.loads((kept / "stages.json").read_text()) == spent


def test_tflops_are_those_of_the_run_s_own_model_wherever_the_tables_are_made(sittings, tmp_path):
    words = sittings[0] / "calico-0" / "model"
    shutil.copytree("data/zoo", words, ignore=shutil.ignore_patterns("*.safetensors", "radio"))
    config = json.loads((words / "config.json").read_text())
    config["text_config"]["vocab_size"] += 1000
    write_json(words / "config.json", config)
    live = tables.collect(sittings[0])["tests"]["pairs"]["calico"]["cost"]["teraflops"]
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    shutil.rmtree(words)
    plain = tables.collect(sittings[0])["tests"]["pairs"]["calico"]["cost"]["teraflops"]
    assert tables.collect(kept)["tests"]["pairs"]["calico"]["cost"]["teraflops"] == live > plain


def test_rules_of_scoring_are_kept(sittings, tmp_path):
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    scores = json.loads((kept / "scores" / "neither-0-pairs.json").read_text())
    assert scores["settings"]["resamples"] == 20
    assert scores["settings"]["text_model"]
    other = json.loads((sittings[1] / "scores" / "order" / "neither-no_cem-1.json").read_text())
    write_json(sittings[1] / "scores" / "order" / "neither-no_cem-1.json", other | {"truth": "others"})
    with pytest.raises(ReportError, match="different samples"):
        evidence.gather(sittings[1], kept)


def test_a_run_without_scores_stays_behind(sittings, tmp_path):
    """It is still under way, or was begun anew: what is there was scored from another one."""
    kept = evidence.gather(sittings[0], tmp_path / "evidence")
    (sittings[0] / "scores" / "neither-0-pairs.json").unlink()
    (sittings[0] / "scores" / "order" / "neither-no_cem-0.json").unlink()
    write_json(sittings[0] / "neither-0" / "run.json", {"commit": "new"})
    evidence.gather(sittings[0], kept)
    assert json.loads((kept / "neither-0" / "run.json").read_text())["commit"] == "abc"
