"""Releases by hub id: only what is needed is downloaded; what the hub has not is an error that names it."""

import os
import subprocess
import sys

import pytest
import torch
from hub import serve
from safetensors.torch import save_file
from tiny_releases import GROUNDING
from toy import SMALL

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.models.checkpoints.places import local
from llava_corr.models.checkpoints.tensor_files import open_tensors

RUN = "import sys; from llava_corr.cli import main; sys.exit(main(sys.argv[1:]))"


def imported(out, *releases, environment=None):
    sets = [word for value in (*SMALL, GROUNDING) for word in ("--set", value)]
    words = [
        "import",
        "--config",
        "tiny/calico.yaml",
        *sets,
        "--dtype",
        "float32",
        "--out",
        str(out),
        "--from",
        *releases,
    ]
    return subprocess.run(
        [sys.executable, "-c", RUN, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_from_the_hub_as_from_folders(released, tmp_path):
    kinds = ("glamm", "instructblip", "dinov2")
    folders = [f"{kind}={released / kind}" for kind in kinds]
    assert imported(tmp_path / "here", *folders, environment=dict(os.environ)).returncode == 0
    with serve() as hub:
        for kind in kinds:
            files = {path.name: path.read_bytes() for path in (released / kind).iterdir()}
            hub.repositories[f"me/{kind}"] = {
                f"{len(kind):040x}": files | {"README.md": b"#", "pytorch_model.bin": b"old"}
            }
        hub.repositories["me/glamm"][f"{5:040x}"].pop("pytorch_model.bin")
        environment = os.environ | hub.environment(tmp_path / "home")
        done = imported(tmp_path / "there", *(f"{kind}=me/{kind}" for kind in kinds), environment=environment)
        assert done.returncode == 0, done.stderr
        fetched = [request for request in hub.requests if "/resolve/" in request]
        offline = environment | {"HF_HUB_OFFLINE": "1"}
        again = imported(tmp_path / "again", *(f"{kind}=me/{kind}" for kind in kinds), environment=offline)
        assert again.returncode == 0, again.stderr
        absent = imported(tmp_path / "none", "glamm=me/nothing", environment=environment)
        unknown = imported(tmp_path / "none", "glamm=me/nothing", environment=offline)
    assert not [request for request in fetched if "README" in request]
    assert not [r for r in fetched if "pytorch_model.bin" in r and "instructblip" in r]
    for refused in (absent, unknown):
        assert refused.returncode == 2
        assert "the hub does not give it" in refused.stderr
        assert "me/nothing" in refused.stderr
    states = [load_model(tmp_path / name).state_dict() for name in ("here", "there", "again")]
    assert all(torch.equal(value, state[name]) for state in states[1:] for name, value in states[0].items())


@pytest.mark.parametrize("place", ["none.pth", "a/b/c", "weights/x.pth", "./none", ""])
def test_what_is_neither_there_nor_an_id(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no such"):
        local(place)


def test_a_folder_is_taken_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "tiny").mkdir(parents=True)
    save_file({"a": torch.ones(1)}, tmp_path / "me" / "tiny" / "model.safetensors")
    assert list(open_tensors(local("me/tiny"))) == ["a"]
