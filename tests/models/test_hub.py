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
from llava_corr.models.checkpoints import load_model, load_processor
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
from llava_corr.models.checkpoints import identify, load_model
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
