"""The model on the hub: pushed, and loaded back by its id from another process with an empty cache; what the hub
refuses is an error that names it."""

import os
import subprocess
import sys

import pytest
import torch
from hub import serve
from safetensors.torch import load, load_file

PUSH = """
import sys
from pathlib import Path
from llava_corr.inference.export import push
from llava_corr.models.checkpoints.model_folder import load_model, load_processor
folder = sys.argv[1]
load_model(folder).push_to_hub("me/tiny")
load_processor(folder).push_to_hub("me/tiny")
push(Path(folder), "me/exported")
"""

LOAD = """
import os, sys, torch
from pathlib import Path
from transformers import AutoConfig, AutoModel, AutoProcessor
import llava_corr.auto
from llava_corr.errors import CheckpointError, StorageError
from llava_corr.inference.export import push
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import identify, load_model
expected = load_model(sys.argv[1]).state_dict()
for repo in ("me/tiny", "me/exported"):
    model = AutoModel.from_pretrained(repo)
    parts = AutoConfig.from_pretrained(repo), model, AutoProcessor.from_pretrained(repo)
    print(*(type(part).__name__ for part in parts))
    state = model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert load_model(repo).config.adaptation_layers == [1, 2]
    print(identify(repo)["fingerprint"])
predictor = Predictor.from_pretrained("me/exported", max_new_tokens=3)
predictor.set_images([torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()])
print(len(predictor.ask("What is this?").image_sizes))

try:
    load_model("me/nothing")
except CheckpointError as error:
    print(error.where, "no model can be loaded" in str(error))
os.environ["HF_TOKEN"] = "hf_other"
for repo in ("a/b/c", "me/refused"):
    try:
        push(Path(sys.argv[1]), repo)
    except StorageError as error:
        print(error.where, "hf auth login" in error.mend)
"""

BASE = """
import json, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from llava_corr.models.checkpoints.model_folder import identify, load_model
folder = Path(sys.argv[1])
parts = folder.parent / "parts"
parts.mkdir()
name = "seg_projection.layers.0.bias"
tensors = {name: torch.full_like(load_model(folder).state_dict()[name], 3.0)}
save_file(tensors, parts / "trained.safetensors")
shutil.copy(folder / "config.json", parts)
base = {"path": "me/base", "fingerprint": sys.argv[2]}
manifest = {"base": base, "adapter": False, "tensors": {name: list(tensors[name].shape)}}
(parts / "trained.json").write_text(json.dumps(manifest))
again = load_model(parts).state_dict()
assert all(torch.equal(value, again[n]) for n, value in load_model(folder).state_dict().items() if n != name)
assert again[name].eq(3).all()
assert identify("me/base")["fingerprint"] == sys.argv[3] != sys.argv[2]
"""

AGAIN = """
import sys
from llava_corr.models.checkpoints.model_folder import load_model
model = load_model(sys.argv[1])
if len(sys.argv) > 2:
    model.trunk.lm_head.weight.data += 1
model.push_to_hub("me/base")
"""


def run(code, hub, home, *arguments):
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | hub.environment(home))


@pytest.fixture
def folder(toy, tmp_path):
    model, processor, _ = toy
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlibrary_name: transformers\n---\n# tiny\n")
    return tmp_path / "model"


def test_pushed_and_loaded_back_by_id(folder, tmp_path):
    with serve() as hub:
        pushed = run(PUSH, hub, tmp_path / "one", folder)
        assert pushed.returncode == 0, pushed.stderr[-3000:]
        assert hub.private == {"me/exported"}
        weights = load_file(folder / "model.safetensors")
        for repo in ("me/tiny", "me/exported"):
            commit, files = hub.files(repo)
            held = load(files["model.safetensors"])
            assert held.keys() == weights.keys()
            assert all(torch.equal(value, weights[name]) for name, value in held.items())
        assert any("lfs/objects/batch" in line for line in hub.requests)
        loaded = run(LOAD, hub, tmp_path / "two", folder)
        assert loaded.returncode == 0, loaded.stderr[-3000:]
        names = "LlavaCorrConfig LlavaCorrForConditionalGeneration LlavaCorrProcessor"
        assert loaded.stdout.splitlines() == [
            names, hub.files("me/tiny")[0], names, commit, "1",
            "me/nothing True", "a/b/c True", "me/refused True",
        ]  # fmt: skip
        assert "me/refused" not in hub.repositories


def test_a_base_on_the_hub_is_loaded_at_the_commit_that_was_trained_on(folder, tmp_path):
    with serve() as hub:
        commits = []
        for more in ((), ("changed",)):
            pushed = run(AGAIN, hub, tmp_path / "one", folder, *more)
            assert pushed.returncode == 0, pushed.stderr[-3000:]
            commits.append(hub.files("me/base")[0])
        loaded = run(BASE, hub, tmp_path / "two", folder, *commits)
        assert loaded.returncode == 0, loaded.stderr[-3000:]
