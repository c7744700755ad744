"""Releases by hub id: only what is needed is downloaded; what the hub has not is an error that names it."""

import json
import os
import subprocess
import sys

import pytest
import torch
from file_server import serve_files
from hub import serve
from huggingface_hub import constants
from safetensors.torch import save_file
from tiny_releases import SETS

from llava_corr.cli import main
from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.models.checkpoints.places import cached, local
from llava_corr.models.checkpoints.tensor_files import open_tensors

RUN = """
import json, sys
from llava_corr.cli import main
for words in json.loads(sys.argv[1]):
    print(main(words))
"""


def words(out, *releases):
    return [
        "import",
        "--config",
        "tiny/calico.yaml",
        *SETS,
        "--dtype",
        "float32",
        "--out",
        str(out),
        "--from",
        *releases,
    ]


def imported(commands, environment):
    """Exit codes of several imports in one process with an environment of its own, and what went wrong."""
    command = [sys.executable, "-c", RUN, json.dumps(commands)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.splitlines() if line.isdigit()], done.stderr


@pytest.mark.slow
def test_from_the_hub_as_from_folders(released, tmp_path):
    kinds = ("glamm", "instructblip", "dinov2")
    assert main(words(tmp_path / "here", *(f"{kind}={released / kind}" for kind in kinds))) == 0
    named = [f"{kind}=me/{kind}" for kind in kinds]
    with serve() as hub:
        for kind in kinds:
            files = {path.name: path.read_bytes() for path in (released / kind).iterdir()}
            hub.repositories[f"me/{kind}"] = {
                f"{len(kind):040x}": files | {"README.md": b"#", "pytorch_model.bin": b"old"}
            }
        hub.repositories["me/glamm"][f"{5:040x}"].pop("pytorch_model.bin")
        environment = os.environ | hub.environment(tmp_path / "home")
        absent = words(tmp_path / "none", "glamm=me/nothing")
        codes, wrong = imported([words(tmp_path / "there", *named), absent], environment)
        fetched = [request for request in hub.requests if "/resolve/" in request]
        offline = environment | {"HF_HUB_OFFLINE": "1"}
        codes_offline, wrong_offline = imported([words(tmp_path / "again", *named), absent], offline)
    assert codes == codes_offline == [0, 2], wrong + wrong_offline
    assert not [request for request in fetched if "README" in request]
    assert not [r for r in fetched if "pytorch_model.bin" in r and "instructblip" in r]
    for refused in (wrong, wrong_offline):
        assert "the hub does not give it" in refused
        assert "me/nothing" in refused
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


@pytest.fixture
def addresses(tmp_path, monkeypatch):
    """A server of files, and an empty cache."""
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    torch.save({"a": torch.arange(5000)}, tmp_path / "served" / "x.pth")
    with serve_files(tmp_path / "served") as (address, handler):
        yield address, handler


def test_an_address_is_fetched_once(addresses):
    address, handler = addresses
    assert cached(f"{address}/x.pth") is None
    assert torch.equal(open_tensors(local(f"{address}/x.pth")).tensor("a"), torch.arange(5000))
    assert local(f"{address}/x.pth") == cached(f"{address}/x.pth")
    assert handler.requests == ["GET /x.pth"]


def test_a_download_that_breaks_off_leaves_nothing(addresses):
    address, handler = addresses
    handler.broken.add("x.pth")
    with pytest.raises(CheckpointError, match="bytes came of"):
        local(f"{address}/x.pth")
    assert cached(f"{address}/x.pth") is None
    handler.broken.clear()
    assert local(f"{address}/x.pth").exists()


@pytest.mark.parametrize("place", ["{}/none.pth", "http://127.0.0.1:9/x.pth"])
def test_an_address_without_a_file(addresses, place):
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        local(place.format(addresses[0]))


def test_offline_nothing_is_asked_for(addresses, monkeypatch):
    address, handler = addresses
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        local(f"{address}/x.pth")
    assert not handler.requests


def test_two_addresses_of_one_name_are_two_files(addresses, tmp_path):
    address, _ = addresses
    (tmp_path / "served" / "b").mkdir()
    torch.save({"a": torch.zeros(3)}, tmp_path / "served" / "b" / "x.pth")
    assert len(open_tensors(local(f"{address}/x.pth")).tensor("a")) == 5000
    assert len(open_tensors(local(f"{address}/b/x.pth")).tensor("a")) == 3
    assert len(open_tensors(local(f"{address}/b/x.pth?download=true")).tensor("a")) == 3


@pytest.mark.parametrize("place", ["https://", "http://host/", "http://host/a/..", "http://host/%2e%2e"])
def test_an_address_that_names_no_file(place):
    with pytest.raises(CheckpointError, match="names no file"):
        local(place)
