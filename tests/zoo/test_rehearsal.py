"""The zoo from an empty folder to what is released, with every number as small as it can be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import RadioModel

from llava_corr.models.checkpoints.model_folder import load_model

pytestmark = pytest.mark.slow
SMALL = {
    "world.images": 12, "world.held_out": 4, "dialogues": 60, "captions": 40, "crops.batch": 4, "cells.batch": 4,
    "align_steps": 2,
} | {f"{stage}.steps": 3 for stage in ("crops", "cells", "masks", "vision", "semantic", "expert", "words")}  # fmt: skip


def test_the_zoo_is_built_released_and_not_built_twice(tmp_path):
    out = tmp_path / "zoo"
    sets = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    command = [str(Path(sys.executable).parent / "llava-corr"), "zoo", "--out", str(out), *sets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    model = load_model(out / "zoo")
    assert {p.dtype for p in load_model(out / "zoo", dtype=torch.float16).parameters()} == {torch.float16}
    aligned = load_model(out / "tiny-calico-align" / "model").state_dict()
    assert all(torch.equal(value.half(), model.state_dict()[name].half()) for name, value in aligned.items())
    assert RadioModel.from_pretrained(out / "zoo" / "radio").config.num_hidden_layers == 3
    card = (out / "zoo" / "README.md").read_text()
    measured = json.loads((out / "measures" / "masks.json").read_text())
    assert f"{measured['thing_iou']:.3f}" in card
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert again.stderr.count("finished earlier") == 13
