"""The reproduction's plan: rows differ in what they say and in nothing else, and none needs another but Calico."""

import argparse
import json
from itertools import pairwise

import pytest

from llava_corr.config import load_config
from llava_corr.errors import LlavaCorrError
from llava_corr.reproduction import command as reproduce


def arguments(tmp_path, *words):
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    return parser.parse_args(["--out", str(tmp_path), *words])


def overrides(command):
    return dict(
        word.split("=", 1)
        for flag, word in pairwise(command)
        if flag == "--set"  # the last one of a key counts
    )


def trainings(stages):
    return {s.name.removeprefix("train: "): s.command for s in stages if s.name.startswith("train: ")}


def test_stages_have_names_and_ends_of_their_own(tmp_path):
    stages = reproduce.plan(arguments(tmp_path))
    assert len({s.name for s in stages}) == len(stages) == len({s.done for s in stages})


@pytest.mark.parametrize("seed", [0, 1])
def test_compared_rows_share_steps_data_and_seed(tmp_path, seed):
    found = trainings(reproduce.plan(arguments(tmp_path)))
    rows = [overrides(found[f"{name}-{seed}"]) for name in reproduce.ROWS]
    assert len(rows) == 12
    for key in ("data.train", "training.max_steps", "seed"):
        assert len({row[key] for row in rows}) == 1


def test_every_row_is_a_configuration_of_its_own(tmp_path):
    found = trainings(reproduce.plan(arguments(tmp_path, "--seeds", "0")))
    models = {}
    for name in reproduce.ROWS:
        command = list(found[f"{name}-0"])
        files = command[command.index("--config") + 1 : command.index("--set")]
        config = load_config(files, [f"{k}={v}" for k, v in overrides(command).items() if k != "model.weights"])
        models[name] = (config.model.model_dump_json(), config.training.trainable, config.data.blind)
        assert config.name == f"{name}-0"
    assert len(set(models.values())) == len(models)


@pytest.mark.parametrize(
    ("sets", "size"), [((), 16), (("training.batch_size=12", "training.gradient_accumulation=2"), 24),
                       (("training.batch_size=2",), 2)],
)  # fmt: skip
def test_rows_take_the_same_dialogues_a_step_in_micro_batches_of_their_own(tmp_path, sets, size):
    words = [word for value in sets for word in ("--set", value)]
    found = trainings(reproduce.plan(arguments(tmp_path, "--seeds", "0", *words)))
    training = {}
    for name in reproduce.ROWS:
        own = [f"{k}={v}" for k, v in overrides(found[f"{name}-0"]).items() if k.startswith("training.")]
        training[name] = load_config(reproduce.BASE, own).training
    assert {t.batch_size * t.gradient_accumulation for t in training.values()} == {size}
    smaller = {name for name, t in training.items() if t.batch_size < training["calico"].batch_size}
    assert smaller == ({"no_qformer", "glamm", "lisa"} if size > 2 else set())
    assert {name for name, t in training.items() if t.group_by_length} == smaller


def test_the_order_within_a_step_is_left_to_who_sets_it(tmp_path):
    words = ["--rows", "glamm", "--set", "training.group_by_length=false"]
    found = trainings(reproduce.plan(arguments(tmp_path, *words)))
    assert {overrides(command)["training.group_by_length"] for command in found.values()} == {"false"}


def test_one_row_brings_only_calico_of_its_seed(tmp_path):
    stages = reproduce.plan(arguments(tmp_path, "--rows", "no_dino", "--seeds", "1"))
    assert list(trainings(stages)) == ["calico-1", "no_dino-1"]
    assert not [s for s in stages if "prior-only" in s.name]
    (score,) = [s.command for s in stages if s.name == "score: no_dino-1 pairs"]
    assert score[score.index("--against") + 1] == str(tmp_path / "calico-1" / "pairs.jsonl")


def test_rows_that_the_paper_compares_are_scored_against_each_other(tmp_path):
    stages = reproduce.plan(arguments(tmp_path, "--seeds", "1", "--rows", "neither", "no_cem", "no_cam"))
    found = {s.name: s.command for s in stages if " against " in s.name}
    assert list(found) == ["score: no_cam-1 against neither-1", "score: neither-1 against no_cem-1"]
    command = found["score: neither-1 against no_cem-1"]
    assert command[command.index("--predictions") + 1] == str(tmp_path / "neither-1" / "pairs.jsonl")
    assert command[command.index("--against") + 1] == str(tmp_path / "no_cem-1" / "pairs.jsonl")


def test_rows_made_one_by_one_are_compared_when_both_are_there(tmp_path):
    def comparisons(*words):
        return [s.name for s in reproduce.plan(arguments(tmp_path, *words)) if " against " in s.name]

    alone = ("--rows", "no_cem", "--seeds", "0")
    assert comparisons(*alone) == []
    for name in ("neither-0", "calico-0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pairs.jsonl").touch()
    assert comparisons(*alone) == ["score: neither-0 against no_cem-0"]
    both = ["score: neither-0 against no_cem-0", "score: calico-1 against calico-0"]
    assert comparisons("--rows", "no_cem", "--seeds", "1") == both[1:]
    (tmp_path / "calico-1").mkdir()
    (tmp_path / "calico-1" / "pairs.jsonl").touch()
    assert comparisons(*alone) == both  # whichever seed came first


def test_scores_rest_on_the_answers_that_they_compare(tmp_path):
    stages = reproduce.plan(arguments(tmp_path))
    below = {s.name: {o.name for o in stages[:k] if s.rests_on(o)} for k, s in enumerate(stages)}
    assert below["score: no_cem-1 pairs"] >= {"data: pairs", "predict: no_cem-1 pairs", "predict: calico-1 pairs"}
    assert {name for name in below["score: no_cem-1 pairs"] if "-0" in name} == set()
    assert below["train: glamm-0"] >= {"train: glamm-0-align", "data: train", "features"}
    assert below["predict: main sets"] >= {"train: main", "data: sets"}
    assert "predict: main pairs" not in below["predict: main sets"]
    assert below["consistency: swap"] >= {"predict: main pairs", "predict: main swapped"}


def test_a_row_of_ones_own_is_laid_over_calico(tmp_path):
    (tmp_path / "rank.yaml").write_text("training: {lora: {rank: 4}}\n")
    words = ("--rows", "calico", "--seeds", "2", "--own-row", f"rank_4={tmp_path / 'rank.yaml'}")
    stages = reproduce.plan(arguments(tmp_path, *words))
    command = list(trainings(stages)["rank_4-2"])
    assert command[command.index("--config") + 1 :][:2] == [reproduce.BASE, str(tmp_path / "rank.yaml")]
    assert overrides(command) == overrides(trainings(stages)["calico-2"]) | {"name": "rank_4-2"}
    assert "score: rank_4-2 pairs" in {s.name for s in stages}


@pytest.mark.parametrize("word", ["calico=a.yaml", "main=a.yaml", "cascade=a.yaml", "My-Row=a.yaml", "mine", "mine="])
def test_a_row_that_cannot_be_is_refused(tmp_path, word):
    with pytest.raises(LlavaCorrError, match="--own-row"):
        reproduce.plan(arguments(tmp_path, "--own-row", word))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("training: {max_steps: 9}", r"training\.max_steps"),
        ("model: {weights: mine}", r"model\.weights"),
        ("data: {picture_groups: 2}", "data"),
        ("seed: 3", "seed"),
        ("training: {batch_size: 8}", r"the dialogues of a step \(8 instead of 16\)"),
    ],
)
def test_a_row_of_ones_own_keeps_what_all_rows_share(tmp_path, text, what):
    (tmp_path / "mine.yaml").write_text(text + "\n")
    with pytest.raises(LlavaCorrError, match=f"--own-row mine changes what all rows share: .*{what}"):
        reproduce.run(arguments(tmp_path / "out", "--own-row", f"mine={tmp_path / 'mine.yaml'}"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["name=x", "seed=2", "output_dir=/x", "training.max_steps=2", "data.train=x"])
def test_what_the_work_gives_its_stages_is_not_overridden(tmp_path, value):
    with pytest.raises(LlavaCorrError, match="is given to every stage"):
        reproduce.run(arguments(tmp_path / "out", "--set", value))


def test_other_twins_are_everyones(tmp_path):
    stages = reproduce.plan(arguments(tmp_path, "--zoo", "mine/zoo", "--rows", "glamm", "main", "baselines"))
    assert not [s.name for s in stages if any("data/zoo" in word for word in s.command)]
    weights = {name: overrides(command)["model.weights"] for name, command in trainings(stages).items()}
    aligned = weights.pop("glamm-0"), weights.pop("glamm-1")
    assert aligned == tuple(str(tmp_path / f"glamm-{seed}-align" / "model") for seed in (0, 1))
    assert set(weights.values()) == {"mine/zoo"}
    with pytest.raises(LlavaCorrError, match="--zoo"):
        reproduce.run(arguments(tmp_path, "--set", "model.weights=mine/zoo"))
    with pytest.raises(LlavaCorrError, match="there is no model"):
        reproduce.run(arguments(tmp_path, "--zoo", "mine/zoo"))


def test_small_counts_leave_nothing_empty(tmp_path):
    for stage in reproduce.plan(arguments(tmp_path, "--test-samples", "2", "--test-images", "1")):
        assert "0" not in [word for flag, word in pairwise(stage.command) if flag in ("--count", "--unseen-test")]


@pytest.mark.parametrize("words", [(), ("--seeds", "1", "0"), ("--rows", "baselines", "neither", "--seeds", "2")])
def test_every_file_that_a_stage_reads_was_made_by_an_earlier_one(tmp_path, words):
    made = set()
    for stage in reproduce.plan(arguments(tmp_path, *words)):
        for flag, word in pairwise(stage.command):
            if flag in ("--against", "--predictions", "--detections", "--swapped"):
                assert word in made, (stage.name, word)
        made.add(str(stage.done))


@pytest.mark.parametrize("rows", [["main"], ["baselines"], ["lisa"], ["no_cem", "new_projection"]])
@pytest.mark.parametrize("seed", ["0", "1"])
def test_a_row_is_the_same_stage_whichever_others_are_asked_for(tmp_path, rows, seed):
    whole = {s.name: s.command for s in reproduce.plan(arguments(tmp_path))}
    alone = {s.name: s.command for s in reproduce.plan(arguments(tmp_path, "--rows", *rows, "--seeds", seed))}
    assert alone == {name: whole[name] for name in alone}


def test_the_main_row_needs_no_compared_one(tmp_path):
    assert list(trainings(reproduce.plan(arguments(tmp_path, "--rows", "main")))) == ["main"]


@pytest.mark.parametrize("words", [("--steps", "0"), ("--rows", "no_such"), ("--test-samples", "-3")])
def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path, words, capsys):
    with pytest.raises(SystemExit):
        arguments(tmp_path, *words)
    assert words[0] in capsys.readouterr().err


def test_specs_of_another_version_are_not_mixed_in(tmp_path):
    reproduce.write_specs(tmp_path)
    reproduce.write_specs(tmp_path)
    path = tmp_path / "specs" / "sets.json"
    path.write_text(json.dumps({"set_share": 0.5}))
    with pytest.raises(LlavaCorrError, match="differs from today's"):
        reproduce.write_specs(tmp_path)
