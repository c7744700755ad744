"""Tables of a reproduction from scores that the benchmark itself wrote."""

import json
import shutil

import pytest
import yaml
from drawn_pairs import make_data, one_hot_cache, predict
from one_hot_scores import score

from llava_corr.config import load_config
from llava_corr.files import write_json
from llava_corr.record_files import write_records, write_samples
from llava_corr.reproduction import checks, evidence, images, tables

SHIFTS = {"calico-0": 0, "calico-1": 2, "no_cam-0": 40, "no_cam-1": 40, "no_cem-0": 40, "no_cem-1": 2, "blind-0": 40}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder like that of ``llava-corr reproduce``: answers are the truth, moved by some pixels."""
    folder = tmp_path_factory.mktemp("reproduce")
    samples, _ = make_data(folder, per_cell=3)
    write_samples(folder / "test.jsonl", samples)
    one_hot_cache(folder / "labels.npz", samples)
    for name, shift in SHIFTS.items():
        write_records(folder / f"{name}.jsonl", [predict(s, shift) for s in samples])
    for name in SHIFTS:
        other = f"calico-{name[-1]}"
        against = [] if name == other else ["--against", folder / f"{other}.jsonl", "--against-name", other]
        (folder / "scores").mkdir(exist_ok=True)
        files = (folder / "test.jsonl", folder / "labels.npz", folder / f"{name}.jsonl")
        score(*files, folder / "scores" / f"{name}-pairs.json", "--name", name, *against, resamples=100)
    return folder


def renamed(path, to, name, against):
    """A file of scores under the names of other runs."""
    scores = json.loads(path.read_text())
    to.parent.mkdir(exist_ok=True)
    write_json(to, scores | {"name": name, "against": scores["against"] | {"name": against}})


def test_means_over_seeds_and_verdicts_that_all_seeds_share(out):
    rows = tables.collect(out)["tests"]["pairs"]
    stored = [json.loads((out / "scores" / f"no_cem-{k}-pairs.json").read_text()) for k in (0, 1)]
    values = [file["columns"]["mean"]["mIoU_strict"]["value"] for file in stored]
    assert rows["no_cem"]["scores"]["mean"]["mIoU_strict"] == pytest.approx(sum(values) / 2)
    assert rows["no_cem"]["seeds"] == ["0", "1"]
    assert rows["no_cam"]["against"]["mean"]["mIoU_strict"]["verdict"] == "worse"
    assert rows["no_cem"]["against"]["mean"]["mIoU_strict"]["verdict"] == "undecided"  # one seed says worse, one equal
    differences = [file["against"]["differences"]["mean"]["mIoU_strict"]["value"] for file in stored]
    assert [value for value, _ in rows["no_cem"]["against"]["mean"]["mIoU_strict"]["of_each_seed"]] == differences
    assert rows["calico"]["against"]["mean"]["mIoU_strict"] is None


def test_the_paper_s_order_is_confirmed_denied_or_undecided(out, tmp_path):
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    for seed in (0, 1):  # the moved masks in the place of the row that the paper has ahead
        moved = folder / f"no_cam-{seed}-pairs.json"
        renamed(moved, folder / f"neither-{seed}-pairs.json", f"neither-{seed}", f"calico-{seed}")
        to = folder / "order" / f"neither-no_cem-{seed}.json"
        renamed(moved, to, f"neither-{seed}", f"no_cem-{seed}")
    claims = {(c["better"], c["worse"]): c for c in tables.collect(tmp_path)["order"]}
    del claims["calico", "neither"]
    assert set(claims) == {("calico", "no_cam"), ("calico", "no_cem"), ("neither", "no_cem")}
    verdicts = [claim["verdicts"]["mIoU_strict"] for claim in claims.values()]
    assert dict(zip(claims, verdicts, strict=True)) == {
        ("calico", "no_cam"): "confirmed", ("calico", "no_cem"): "undecided", ("neither", "no_cem"): "denied",
    }  # fmt: skip
    (value, (low, high)), _ = claims["calico", "no_cam"]["of_each_seed"]["mIoU_strict"]
    stored = json.loads((folder / "no_cam-0-pairs.json").read_text())["against"]["differences"]["mean"]["mIoU_strict"]
    assert (value, low, high) == (-stored["value"], -stored["interval"][1], -stored["interval"][0])
    to.unlink()  # the two rows of a seed were never in one folder
    again = {(c["better"], c["worse"]): c for c in tables.collect(tmp_path)["order"]}["neither", "no_cem"]
    assert set(again["verdicts"].values()) == {"undecided"}
    assert [value for value, _ in again["of_each_seed"]["SS"]][1:] == [None]
    assert "not compared" in tables.markdown(tables.collect(tmp_path))


def test_a_seed_that_was_not_compared_decides_nothing(out, tmp_path):
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    wrong = {
        "of another seed": lambda scores: scores | {"against": scores["against"] | {"name": "calico-0"}},
        "alone": lambda scores: scores | {"against": None},
    }
    good = json.loads((folder / "no_cam-1-pairs.json").read_text())
    said = {
        "of another seed": "no_cam-1-pairs is compared with calico-0, not with calico-1",
        "alone": "no_cam-1-pairs is not compared with calico-1",
    }
    for name, change in wrong.items():
        write_json(folder / "no_cam-1-pairs.json", change(good))
        found = tables.collect(tmp_path)
        assert found["tests"]["pairs"]["no_cam"]["against"]["mean"]["mIoU_strict"]["verdict"] == "undecided"
        assert said[name] in found["faults"]
        claims = {(c["better"], c["worse"]): c["verdicts"]["mIoU_strict"] for c in found["order"]}
        assert claims["calico", "no_cam"] == "undecided"


def test_other_rules_and_edited_differences_are_named(out, tmp_path):
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    scores = json.loads((folder / "no_cam-1-pairs.json").read_text())
    scores["settings"]["resamples"] = 5
    scores["against"]["differences"]["mean"]["mIoU"]["value"] = 0.5
    write_json(folder / "no_cam-1-pairs.json", scores)
    found = checks.faults(tmp_path, {})
    assert "no_cam-1-pairs notes other differences than its scores have" in found
    assert "no_cam-1-pairs was scored by another rule: resamples" in found
    assert len(found) == 2


def test_one_seed_decides_nothing(out, tmp_path):
    (tmp_path / "scores").mkdir()
    for name in ("calico-0", "no_cam-0"):
        shutil.copy(out / "scores" / f"{name}-pairs.json", tmp_path / "scores")
    found = tables.collect(tmp_path)
    assert found["tests"]["pairs"]["no_cam"]["against"]["mean"]["mIoU_strict"]["verdict"] == "one seed"
    assert set(found["order"][0]["verdicts"].values()) == {"one seed"}


def test_calicos_own_seeds_show_what_a_seed_is_worth(out, tmp_path):
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    (folder / "order").mkdir()
    shutil.copy(folder / "no_cem-1-pairs.json", folder / "order" / "calico-1.json")
    last = tables.collect(tmp_path)["order"][-1]
    assert (last["better"], last["worse"]) == ("calico, seed 1", "calico, seed 0")
    assert set(last["verdicts"].values()) == {""}


@pytest.fixture
def trained(tmp_path):
    """Run folders as training leaves them."""

    def write(name, order, commit="abc", weights="w", **training):
        folder = tmp_path / name
        folder.mkdir()
        values = {"name": name, "seed": int(name.split("-")[1]), "model": {"projection": name}}
        values["training"] = {"batch_size": 16, **training}
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        inputs = {"data.train": {"fingerprint": "f"}, "model.weights": {"fingerprint": weights}}
        facts = {"commit": commit, "inputs": inputs}
        (folder / "run.json").write_text(json.dumps(facts))
        rows = [{"step": 10 * k, "order": value} for k, value in enumerate(order)]
        (folder / "train_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[-1]]))

    return write


def test_rows_that_may_not_be_compared_are_named(tmp_path, trained):
    trained("calico-0", "ab")
    trained("no_cam-0", "ab", trainable=["x"])
    trained("no_cem-0", "ac")
    trained("blind-0", "ab", commit="abc+", learning_rate=1)
    trained("lisa-0", "ab", weights="its own alignment's")
    trained("lisa-0-align", "xy")
    trained("glamm-0", "ab", weights="other twins")
    # the same steps in other micro-batches
    trained("no_qformer-0", "ab", batch_size=4, gradient_accumulation=4, group_by_length=True)
    trained("no_dino-0", "ab", batch_size=4)
    trained("calico-1", "zz", max_steps=9)
    names = ["no_cam", "no_cem", "blind", "lisa", "glamm", "no_qformer", "no_dino", "mine", "prior-only"]
    trained("mine-0", "ab", learning_rate=1, max_steps=9)  # of its training a user's own row shares the steps
    of_seed_0 = [
        "no_cem-0 and calico-0 differ in the order of the dialogues",
        "blind-0 and calico-0 differ in training.learning_rate",
        "glamm-0 and calico-0 differ in the weights they start from",
        "no_dino-0 and calico-0 differ in the dialogues of a step",
    ]
    of_seed_0.append("mine-0 and calico-0 differ in the number of steps")
    rows = {key: ["0"] for key in names}
    assert checks.faults(tmp_path, {"calico": ["0"], **rows}) == of_seed_0
    assert checks.faults(tmp_path, {"calico": ["1"]}) == []
    between = ["calico-1 and calico-0 differ in the number of steps"]  # not in the order, which is the seed's
    assert checks.faults(tmp_path, {"calico": ["0", "1"], **rows}) == [*of_seed_0, *between]
    missing = ["nothing says how calico-2 was trained", "nothing says how no_cam-2 was trained"]
    assert checks.faults(tmp_path, {"calico": ["2"], "no_cam": ["2"], "prior-only": ["2"]}) == missing
    assert checks.commits(tmp_path, ["calico-0", "blind-0", "prior-only"]) == ["abc", "abc+"]


def test_what_nothing_checked_is_named(tmp_path, trained):
    trained("calico-0", "ab")
    trained("no_cem-1", "ab")
    missing = "nothing says how calico-1 was trained"
    assert checks.faults(tmp_path, {"calico": ["0"], "no_cem": ["1"]}) == [missing]
    assert checks.faults(tmp_path, {"calico": ["0"], "mine": ["0"]}) == ["nothing says how mine-0 was trained"]
    shutil.copytree(tmp_path / "calico-0", tmp_path / "calico-1")
    assert "calico-1 was trained with seed 0" in checks.faults(tmp_path, {"calico": ["0", "1"]})
    trained("main-0", "ab", weights="other twins")
    (tmp_path / "main-0").rename(tmp_path / "main")
    found = checks.faults(tmp_path, {"calico": ["0"], "main": [""]})
    assert found == ["main and calico-0 differ in the weights they start from"]


def test_ranks_are_dialogues_of_a_step(tmp_path, trained):
    for name in ("calico-0", "no_cam-0"):
        trained(name, "ab")
    facts = tmp_path / "no_cam-0" / "run.json"
    write_json(facts, json.loads(facts.read_text()) | {"world_size": 4})
    found = checks.faults(tmp_path, {"calico": ["0"], "no_cam": ["0"]})
    assert found == ["no_cam-0 and calico-0 differ in the dialogues of a step"]


def test_projections_are_aligned_alike(tmp_path, trained):
    trained("calico-0", "ab")
    for name, steps in (("new_projection", 3), ("glamm", 3), ("lisa", 2)):
        trained(f"{name}-0", "ab")
        trained(f"{name}-0-align", "cd", batch_size=4, gradient_accumulation=4, max_steps=steps)
    found = checks.faults(tmp_path, {key: ["0"] for key in ["calico", "new_projection", "glamm", "lisa"]})
    assert found == ["the alignments of lisa-0 and new_projection-0 differ in the number of steps"]


def test_comparisons_with_other_answers_are_named(out, tmp_path):
    """As when Calico of a seed was made anew without the rows that had been compared with it."""
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    to = folder / "order" / "no_cam-neither-0.json"
    renamed(folder / "no_cam-0-pairs.json", to, "no_cam-0", "neither-0")
    assert checks.faults(tmp_path, {}) == ["no_cam-neither-0 is compared with neither-0, whose scores are not there"]
    moved = json.loads(to.read_text())
    renamed(folder / "no_cem-0-pairs.json", folder / "neither-0-pairs.json", "neither-0", "calico-0")
    scores = json.loads((folder / "neither-0-pairs.json").read_text())
    moved["against"]["columns"] = {t: {n: s["value"] for n, s in r.items()} for t, r in scores["columns"].items()}
    for task, row in moved["against"]["differences"].items():
        for name, difference in row.items():
            difference["value"] = moved["columns"][task][name]["value"] - moved["against"]["columns"][task][name]
    moved["against"]["predictions"] = scores["predictions"]
    write_json(to, moved)
    assert checks.faults(tmp_path, {}) == []
    for name in ("calico-1", "no_cam-0"):
        scores = json.loads((folder / f"{name}-pairs.json").read_text())
        scores["columns"]["mean"]["mIoU"]["value"] += 0.01
        if scores["against"]:
            scores["against"]["differences"]["mean"]["mIoU"]["value"] += 0.01
        write_json(folder / f"{name}-pairs.json", scores)
    assert checks.faults(tmp_path, {}) == [
        "no_cam-1-pairs compares with other answers of calico-1 than stand here",
        "no_cem-1-pairs compares with other answers of calico-1 than stand here",
        "no_cam-neither-0 compares other answers of no_cam-0 than stand here",
    ]
    renamed(to, to, "no_cam-1", "neither-0")
    assert "no_cam-neither-0 holds scores of no_cam-1" in checks.faults(tmp_path, {})


def test_scores_and_cost_by_the_number_of_images(out, tmp_path):
    samples, _ = make_data(tmp_path / "drawn", per_cell=2)
    larger = [
        s.model_copy(update={"id": f"{s.id}+", "images": (*s.images, s.images[0])})
        for s in samples
        if "parts" in s.task
    ]
    (tmp_path / "scores").mkdir()
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "config.yaml").write_text(load_config("tiny/calico.yaml").to_yaml())
    for test, some in (("pairs", samples), ("sets", larger)):
        (tmp_path / "data" / test).mkdir(parents=True, exist_ok=True)
        write_samples(tmp_path / "data" / test / "test.jsonl", some)
        sized = [predict(s, 0).model_copy(update={"truth": s.truth_hash()}) for s in some]
        write_records(tmp_path / f"{test}.p.jsonl", sized)
        files = (tmp_path / "data" / test / "test.jsonl", out / "labels.npz", tmp_path / f"{test}.p.jsonl")
        score(*files, tmp_path / "scores" / f"main-{test}.json", "--name", "main")
    write_json(tmp_path / "stages.json", {"stage_seconds": {"predict: main sets": 60}})
    found = images.by_images(tmp_path)
    assert list(found) == ["2", "3"]
    assert set(found["3"]["tasks"]) == {"common_parts", "unique_parts"}
    stored = json.loads((tmp_path / "scores" / "main-sets.json").read_text())["columns"]["unique_parts"]["mIoU_strict"]
    mean = found["3"]["tasks"]["unique_parts"]
    assert mean["value"] == pytest.approx(sum(stored["per_sample"].values()) / len(stored["per_sample"]))
    assert mean["n"] == len(stored["per_sample"]) == sum(s.task == "unique_parts" for s in larger)
    assert mean["interval"][0] <= mean["value"] <= mean["interval"][1]
    assert (found["2"]["tokens"], found["3"]["tokens"]) == (64, 96)
    assert found["2"]["teraflops"] < found["3"]["teraflops"] < 1.6 * found["2"]["teraflops"]
    assert images.seconds_a_sample(tmp_path, "main", "sets") == 60 / len(larger)
    assert images.seconds_a_sample(tmp_path, "main", "pairs") is None
    assert "### Number of images" in tables.markdown(tables.collect(tmp_path))
    kept = evidence.gather(tmp_path, tmp_path / "evidence")
    shutil.rmtree(tmp_path / "data")
    assert images.by_images(tmp_path) == {}  # scores alone make the other tables
    assert json.loads(json.dumps(found)) == images.by_images(kept)
    evidence.gather(tmp_path, kept)
    assert json.loads(json.dumps(found)) == images.by_images(kept), "of the same answers"
    changed = json.loads((tmp_path / "scores" / "main-sets.json").read_text())
    changed["columns"]["mean"]["mIoU"]["value"] = 0.1
    write_json(tmp_path / "scores" / "main-sets.json", changed)
    evidence.gather(tmp_path, kept)
    assert not images.by_images(kept), "of other answers, whose samples are not there"


def test_scores_of_an_earlier_version_are_not_a_second_seed(out, tmp_path):
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    shutil.copy(folder / "blind-0-pairs.json", folder / "blind-pairs.json")
    found = tables.collect(tmp_path)
    assert found["tests"]["pairs"]["blind"]["seeds"] == ["0"]
    assert "blind-pairs is of no seed: its comparison with calico-0 is passed over" in found["faults"]


def test_a_baseline_counts_only_beside_calico_of_its_seed(out, tmp_path):
    folder = shutil.copytree(out / "scores", tmp_path / "scores")
    for seed in (0, 1):
        renamed(
            folder / f"no_cam-{seed}-pairs.json",
            folder / f"prior-only-{seed}-pairs.json",
            f"prior-only-{seed}",
            f"calico-{seed}",
        )
    (folder / "calico-1-pairs.json").unlink()
    assert "prior-only-1-pairs is compared with calico-1, whose scores are not there" in checks.faults(tmp_path, {})
