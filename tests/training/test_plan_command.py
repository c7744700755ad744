"""``llava-corr plan``: what it says is what other parts of the project count, and it touches nothing."""

import json
import os
import subprocess
import sys

import pytest
from hub import serve
from toy import SMALL

from llava_corr.cli import main
from llava_corr.config import load_config
from llava_corr.models.checkpoints.catalogue import CATALOGUE
from llava_corr.models.sizes import measure
from llava_corr.training.memory_plan import stages
from llava_corr.training.plan_command import _cells

SETS = [word for value in SMALL for word in ("--set", value)]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """One plan as JSON, what it said, the requests it sent to the hub, and a file that it names."""
    folder = tmp_path_factory.mktemp("plan")
    mine, out = folder / "eva_vit_g.pth", folder / "plan.json"
    mine.write_bytes(b"0" * 1234)
    releases = f"model.releases={{glamm: MBZUAI/GLaMM-GranD-Pretrained, eva: {mine}, dinov2: me/unheard-of}}"
    words = ["--config", "tiny/calico.yaml", *SETS, "--set", releases, "--gpus", "2", "--gpu-memory", "2"]
    with serve() as hub:  # an empty cache
        environment = os.environ | hub.environment(folder / "home") | {"TORCH_HOME": str(folder / "torch")}
        command = [sys.executable, "-m", "llava_corr.cli", "plan", *words, "--out", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout + done.stderr, list(hub.requests), mine


def test_rows_of_every_stage_and_switch(planned):
    found, said, _, _ = planned
    first = [row for row in found["memory"] if row["change"] == "as configured"]
    assert [row["file"] for row in first] == list(stages())
    own = [row for row in found["memory"] if row["own"]]
    changes = ["as configured", "checkpointing", "features", "both", "precision", "trunk"]
    assert [row["change"] for row in own] == changes
    assert len({(r["bf16"], r["checkpointing"], r["cached"], r["four_bits"]) for r in own}) == 6
    assert found["sizes"] == measure(load_config("tiny/calico.yaml", SMALL)).to_json()
    for row in found["memory"]:
        assert row["bytes"]["total"] > 0
        assert row["largest_micro_batch"] > 0
        assert f"| {row['largest_micro_batch']} |" in said


def test_a_gpu_that_is_too_small_is_said_to_be(planned):
    row = planned[0]["memory"][0]
    assert _cells(row | {"largest_micro_batch": 0}).endswith("| not even 1 |")


def test_what_is_fetched(planned):
    found, said, requests, mine = planned
    assert not requests, "nothing is asked of the hub"
    rows = {row["kind"]: row for row in found["downloads"]}
    assert rows["glamm"]["bytes"] == CATALOGUE["MBZUAI/GLaMM-GranD-Pretrained"].size
    assert rows["glamm"]["licence"] == "Apache-2.0"
    assert (rows["eva"]["place"], rows["eva"]["bytes"], rows["eva"]["here"]) == (str(mine), 1234, True)
    assert (rows["dinov2"]["bytes"], rows["dinov2"]["licence"]) == (None, "see its page")
    assert "to fetch: 16.76 GB in 2 places, of which 1 of a size that is not known" in said


@pytest.mark.parametrize("config", ["calico.yaml", "calico_align.yaml", "baselines/glamm.yaml", "baselines/lisa.yaml"])
def test_every_release_of_the_configurations_is_known(config):
    places = load_config(config).model.releases.named()
    assert places
    assert set(places.values()) <= set(CATALOGUE)


@pytest.mark.parametrize("words", [["--gpus", "0"], ["--gpu-memory", "0"], ["--masks", "0"]])
def test_what_cannot_be_planned(words, capsys):
    assert main(["plan", "--config", "tiny/calico.yaml", *words]) == 2
    assert "correct the argument" in capsys.readouterr().err


def test_a_deepspeed_file_that_is_not_there(capsys):
    assert main(["plan", "--config", "tiny/calico.yaml", *SETS, "--set", "training.deepspeed=zero9.json"]) == 2
    assert "zero9.json" in capsys.readouterr().err
