"""``llava-corr plan``: what it says is what other parts of the project count, and it touches nothing."""

import argparse
import json
import os
import subprocess
import sys

import pytest
from hub import serve
from toy import SMALL, small_config

from llava_corr.cli import main
from llava_corr.config import load_config
from llava_corr.errors import ConfigError
from llava_corr.models.checkpoints.catalogue import CATALOGUE
from llava_corr.models.sizes import measure
from llava_corr.training import plan_downloads, plan_rows
from llava_corr.training.memory_plan import LARGEST
from llava_corr.training.plan_downloads import download_lines, downloads
from llava_corr.training.zero import stages

PARTS = (
    "training.lora={rank: 4}",
    "training.trainable=[correspondence.attention, adaptation]",
    "training.batch_size=2",
)
SETS = [word for value in SMALL for word in ("--set", value)]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """One plan as JSON, what it said, the requests it sent to the hub, and its own DeepSpeed file."""
    folder = tmp_path_factory.mktemp("plan")
    own, out = folder / "zero3.json", folder / "plan.json"
    own.write_text(json.dumps({"zero_optimization": {"stage": 2, "reduce_bucket_size": 1000}}))
    more = (*PARTS, f"training.deepspeed={own}", "model.weights=PLAN-Lab/CALICO", "model.attention=flash_attention_2",
            "model.releases={glamm: MBZUAI/GLaMM-GranD-Pretrained}")  # fmt: skip
    words = ["--config", "tiny/calico.yaml", *SETS, *(word for value in more for word in ("--set", value))]
    with serve() as hub:  # an empty cache
        environment = os.environ | hub.environment(folder / "home") | {"TORCH_HOME": str(folder / "torch")}
        command = [sys.executable, "-m", "llava_corr.cli", "plan", *words, "--gpu-memory", "1.65", "--out", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout + done.stderr, list(hub.requests), own


def test_rows_of_every_stage_and_switch(planned):
    found, said, _, own = planned
    first = [row for row in found["memory"] if row["change"] == "as configured"]
    assert [row["file"] for row in first] == [*stages(), str(own)], "its name is a shipped one, its path is said"
    assert f"| 2 ({own}) < |" in said
    switched = [row for row in found["memory"] if row["own"]]
    changes = ["as configured", "checkpointing", "features", "both", "precision", "trunk"]
    assert [row["change"] for row in switched] == changes
    assert len({(r["bf16"], r["checkpointing"], r["cached"], r["four_bits"]) for r in switched}) == 6
    assert found["sizes"] == measure(load_config("tiny/calico.yaml", [*SMALL, *PARTS])).to_json()
    for row in found["memory"]:
        assert row["bytes"]["total"] > 0
        assert f"| {row['largest_micro_batch'] or 'not even 1'} |" in said
    assert max(row["largest_micro_batch"] for row in switched) > 2
    assert "GB of the CPU's memory for each GPU (zero2_offload.json)" in said
    assert "flash_attention_2 planned as sdpa" in said
    assert "Warning" not in said


def test_what_is_fetched(planned):
    found, said, requests, _ = planned
    assert not requests, "nothing is asked of the hub"
    rows = {row["kind"]: row for row in found["downloads"]}
    assert rows["glamm"]["bytes"] == CATALOGUE["MBZUAI/GLaMM-GranD-Pretrained"].size
    assert rows["model.weights"]["bytes"] == CATALOGUE["PLAN-Lab/CALICO"].size
    assert "to fetch: 19.50 GB in 1 place\n" in said
    assert "releases need no fetching: training starts from model.weights" in said


def test_words_for_the_smallest_and_the_largest():
    row = {"bytes": dict.fromkeys(plan_rows.COLUMNS, 0), "largest_micro_batch": 0}
    assert plan_rows.cells(row).endswith("| not even 1 |")
    assert plan_rows.cells(row | {"largest_micro_batch": LARGEST}).endswith("| 512 or more |")


def rows_of(config, monkeypatch):
    """What is planned of an experiment, without rehearsing: change -> features from a cache."""
    monkeypatch.setattr(plan_rows, "_row", lambda planner, zero, checkpointing, given, *_: {"given": list(given)})
    found = plan_rows.memory_rows(config, argparse.Namespace(gpus=1))
    return {row["change"]: row["given"] for row in found if row["own"]}


@pytest.mark.parametrize(("words", "expected"), [
    ((), {"as configured": [], "checkpointing": [], "precision": []}),  # all is trained
    (PARTS, {"as configured": [], "checkpointing": [], "features": ["patches", "semantic", "grounding_features"],
             "both": ["patches", "semantic", "grounding_features"], "precision": []}),  # no weights for 4 bits
    (("training.trainable=[visual_tokens.vision_model]", "training.losses.mask=0", "training.losses.dice=0"),
     {"as configured": [], "checkpointing": [], "features": ["semantic"], "both": ["semantic"], "precision": []}),
    ((*PARTS, "data.features=cache", "training.losses.mask=0", "training.losses.dice=0", "model.weights=me/mine"),
     {"as configured": ["patches", "semantic"], "checkpointing": ["patches", "semantic"], "features": [], "both": [],
      "precision": ["patches", "semantic"], "trunk": ["patches", "semantic"]}),
])  # fmt: skip
def test_rows_are_of_what_can_be_trained(tmp_path, monkeypatch, words, expected):
    assert rows_of(small_config(tmp_path, *words), monkeypatch) == expected


def test_a_file_that_insists_on_a_precision(tmp_path, monkeypatch):
    file = tmp_path / "half.json"
    file.write_text(json.dumps({"bf16": {"enabled": True}, "zero_optimization": {"stage": 2}}))
    words = ("training.bf16=true", f"training.deepspeed={file}")
    assert set(rows_of(small_config(tmp_path, *words), monkeypatch)) == {"as configured", "checkpointing"}
    with pytest.raises(ConfigError, match=r"training.bf16 is false, bf16.enabled of the DeepSpeed file true"):
        plan_rows.plannable(small_config(tmp_path, f"training.deepspeed={file}"))


@pytest.mark.parametrize("words", [("model.quantise_trunk=true", "model.weights=me/mine"),
                                   (*PARTS, "model.quantise_trunk=true")])  # fmt: skip
def test_what_training_refuses_is_not_planned(tmp_path, words):
    with pytest.raises(ConfigError, match="quantise_trunk"):
        plan_rows.plannable(small_config(tmp_path, *words))


def states(folder, *words):
    """Kind -> (state, whether it is fetched)."""
    return {row["kind"]: (row["state"], row["fetched"]) for row in downloads(small_config(folder, *words))}


def test_what_lies_here_is_here_whole(tmp_path, monkeypatch):
    mine, snapshot = tmp_path / "eva_vit_g.pth", tmp_path / "snapshot"
    mine.write_bytes(b"0" * 1234)
    snapshot.mkdir()
    (snapshot / "config.json").write_text("{}")
    places = {"me/part": snapshot, str(mine): mine}
    monkeypatch.setattr(plan_downloads, "cached", places.get)
    words = [f"model.releases={{eva: {mine}, dinov2: me/part, sam: /no/such.pth, glamm: me/unheard-of}}"]
    expected = {"eva": ("yes", False), "dinov2": ("no", True), "sam": ("no such file or folder", False),
                "glamm": ("no", True)}  # fmt: skip
    assert states(tmp_path, *words) == expected
    assert downloads(small_config(tmp_path, *words))[1]["bytes"] == 1234
    lines = download_lines(downloads(small_config(tmp_path, *words)))
    assert lines[-1] == "to fetch: 0.00 GB in 2 places, of which 2 of a size that is not known"

    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-1.safetensors").write_bytes(b"0")
    assert states(tmp_path, *words)["dinov2"] == ("in part", True)
    (snapshot / "model-2.safetensors").write_bytes(b"0")
    assert states(tmp_path, *words)["dinov2"] == ("yes", False)


def test_weights_to_start_from(tmp_path):
    assert states(tmp_path, "model.weights=runs/none/model") == {"model.weights": ("no such folder yet", False)}
    assert states(tmp_path, "model.weights=weights/glamm") == {"model.weights": ("no such folder yet", False)}
    assert states(tmp_path, "model.weights=me/mine") == {"model.weights": ("no", True)}
    there = ("model.weights=data/zoo", "model.releases={glamm: me/unheard-of}")
    assert states(tmp_path, *there) == {"glamm": ("no", False), "model.weights": ("yes", False)}
    assert download_lines(downloads(small_config(tmp_path, *there)))[-1].startswith("releases need no fetching")
    assert download_lines(downloads(small_config(tmp_path)))[0].startswith("weights: none")


@pytest.mark.parametrize("config", ["calico.yaml", "calico_align.yaml", "baselines/glamm.yaml", "baselines/lisa.yaml"])
def test_every_release_of_the_configurations_is_known(config):
    places = load_config(config).model.releases.named()
    assert places
    assert set(places.values()) <= set(CATALOGUE)


@pytest.mark.parametrize(("words", "said"), [
    (["--gpus", "0"], "correct the argument"), (["--gpu-memory", "0"], "correct the argument"),
    (["--masks", "0"], "correct the argument"), (["--text-tokens", "100000"], "100008 tokens, the trunk 256 positions"),
    (["--set", "training.deepspeed=zero9.json"], "zero9.json"),
])  # fmt: skip
def test_what_cannot_be_planned(words, said, capsys):
    assert main(["plan", "--config", "tiny/calico.yaml", *SETS, *words]) == 2
    assert said in capsys.readouterr().err
