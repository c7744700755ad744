"""Files of others are read without running them, listed before they are read, and refused by name where damaged."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import foreign
import pytest
import torch
from safetensors.torch import save_file

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.tensor_files import open_tensors

TENSORS = {
    "a.weight": torch.randn(40, 30),
    "b.bias": torch.randn(7).bfloat16(),
    "c": torch.arange(5),
    "d": torch.tensor(2.5),
}


def same(files):
    return set(files) == set(TENSORS) and all(
        torch.equal(files.tensor(n), v) and files.tensor(n).dtype == v.dtype and files.shape(n) == v.shape
        for n, v in TENSORS.items()
    )


@pytest.mark.parametrize("wrap", [None, "model", "state_dict", "module"])
@pytest.mark.parametrize("new", [True, False])
def test_pickled_files_of_both_ages(tmp_path, wrap, new):
    content = TENSORS if wrap is None else {wrap: TENSORS, "epoch": 3, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    files = open_tensors(tmp_path / "x.pth")
    files.verify()
    assert same(files)


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize("shards", [1, 3])
def test_folders_whole_and_in_shards(tmp_path, kind, shards):
    if shards == 1:
        save = {"bin": lambda t, p: torch.save(t, p / "pytorch_model.bin"),
                "safetensors": lambda t, p: save_file(t, p / "model.safetensors")}[kind]  # fmt: skip
        save(TENSORS, tmp_path)
    else:
        foreign.write_sharded(tmp_path, TENSORS, shards, kind)
    assert same(open_tensors(tmp_path))


def test_a_folder_of_deepspeed(tmp_path):
    torch.save({"module": TENSORS, "ds_version": "0.15"}, tmp_path / "mp_rank_00_model_states.pt")
    assert same(open_tensors(tmp_path))


def test_safetensors_are_preferred(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    assert same(open_tensors(tmp_path))


def test_files_of_a_hub_cache_are_links(tmp_path):
    """A snapshot's files are links into another folder of the cache."""
    (tmp_path / "blobs").mkdir()
    foreign.write_sharded(tmp_path / "real", TENSORS, 2, "bin")
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    for file in (tmp_path / "real").iterdir():
        file.rename(tmp_path / "blobs" / file.name)
        (snapshot / file.name).symlink_to(tmp_path / "blobs" / file.name)
    assert same(open_tensors(snapshot))


class Runs:
    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def hostile(folder):
    made = Runs()
    made.folder = folder
    return made


@pytest.mark.parametrize("write", [
    lambda value, path: torch.save({"a": value}, path),
    lambda value, path: torch.save({"a": value}, path, _use_new_zipfile_serialization=False),
    lambda value, path: path.write_bytes(pickle.dumps({"a": value})),
    lambda value, path: path.write_bytes(pickle.dumps({"a": value}, protocol=2)),
])  # fmt: skip
def test_code_in_a_pickle_does_not_run(tmp_path, write):
    write(hostile(tmp_path / "made"), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth|mkdir") as caught:
        open_tensors(tmp_path / "x.pth")
    assert not (tmp_path / "made").exists()
    assert caught.value.where == str(tmp_path / "x.pth")


def test_code_in_a_class_that_is_left_empty_does_not_run(tmp_path):
    """mmengine writes a history beside the weights: its class is allowed by name, and is not what is made."""

    torch.save({"state_dict": TENSORS, "message_hub": {"loss": None}}, tmp_path / "plain.pth")
    assert same(open_tensors(tmp_path / "plain.pth", ["mmengine.logging.history_buffer.HistoryBuffer"]))
    content = pickle.dumps({"a": 1}, protocol=2)
    named = content[:-1].replace(b"K\x01", b"cmmengine.logging.history_buffer\nHistoryBuffer\n)R") + b"."
    with zipfile.ZipFile(tmp_path / "odd.pth", "w") as archive:
        archive.writestr("odd/data.pkl", named)
        archive.writestr("odd/version", "3\n")
    with pytest.raises(CheckpointError, match=r"asks for mmengine\.logging\.history_buffer\.HistoryBuffer"):
        open_tensors(tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"no tensors: a \(HistoryBuffer\)"):
        open_tensors(tmp_path / "odd.pth", ["mmengine.logging.history_buffer.HistoryBuffer"])


def damage(path: Path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


def flipped(content):
    at = content.index(TENSORS["a.weight"].numpy().tobytes()[:16])
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGED = {
    "half a pickled file": ("x.pth", lambda c: c[: len(c) // 2]),
    "the last byte of a pickled file": ("x.pth", lambda c: c[:-1]),
    "a bit of a pickled file": ("x.pth", flipped),
    "the end of an old file": ("old.pth", lambda c: c[:-9]),
    "the end of safetensors": ("x.safetensors", lambda c: c[:-1]),
    "bytes behind safetensors": ("x.safetensors", lambda c: c + b"0"),
    "a header that is too long": ("x.safetensors", lambda c: b"\xff" * 8 + c[8:]),
    "a page in place of a file": ("x.pth", lambda _: b"<!DOCTYPE html><title>Sign in</title>"),
    "a pointer in place of a file": ("x.pth", lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
    "an empty file": ("x.pth", lambda _: b""),
    "empty safetensors": ("x.safetensors", lambda _: b""),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_by_name(tmp_path, case):
    name, change = DAMAGED[case]
    torch.save(TENSORS, tmp_path / "x.pth")
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(TENSORS, tmp_path / "x.safetensors")
    damage(tmp_path / name, change)
    with pytest.raises(CheckpointError) as caught:
        open_tensors(tmp_path / name).verify()
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("content", "words"),
    [([1, 2], "a list instead of named tensors"), ({"a": 1}, r"no tensors: a \(int\)"), ({}, "no tensors"),
     ({"model": {}}, "no tensors"), (torch.zeros(3), "a Tensor instead")],
)  # fmt: skip
def test_what_are_no_weights(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        open_tensors(tmp_path / "x.pth")


def index_with(change):
    def write(folder):
        path = foreign.write_sharded(folder, TENSORS, 2, "bin") / "pytorch_model.bin.index.json"
        index = json.loads(path.read_text())
        change(index["weight_map"], folder)
        path.write_text(json.dumps(index))

    return write


def outside(name):
    def change(home, folder):
        torch.save({"a.weight": TENSORS["a.weight"]}, folder.parent / "outside.bin")
        home["a.weight"] = name.format(above=folder.parent)

    return change


def swap(home, _):
    home["a.weight"], home["b.bias"] = home["b.bias"], home["a.weight"]


INDEXES = {
    "a file above": (outside("../outside.bin"), r"'\.\./outside\.bin', which is no file of its folder"),
    "a file by its whole path": (outside("{above}/outside.bin"), "which is no file of its folder"),
    "a file with backslashes": (outside("..\\outside.bin"), "which is no file of its folder"),
    "the folder itself": (outside("."), "which is no file of its folder"),
    "a file that is missing": (outside("pytorch_model-00009.bin"), "which is missing"),
    "a tensor too many": (lambda home, _: home.update(z=home["c"]), "1 tensors are not where it says: z"),
    "a tensor too few": (lambda home, _: home.pop("c"), "1 tensors of its files are not listed: c"),
    "tensors swapped": (swap, "2 tensors are not where it says"),
    "a number for a file": (lambda home, _: home.update(c=3), "does not map names to files"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_names_files_of_its_folder_and_what_they_hold(tmp_path, case):
    change, words = INDEXES[case]
    index_with(change)(tmp_path / "folder")
    with pytest.raises(CheckpointError, match=words):
        open_tensors(tmp_path / "folder")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"weight_map": []}', '{"metadata": {}}'])
def test_an_index_of_no_sense(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_tensors(tmp_path)


def test_one_name_in_two_files(tmp_path):
    foreign.write_sharded(tmp_path, TENSORS, 2, "bin")
    first = tmp_path / "pytorch_model-00001-of-00002.bin"
    torch.save({**torch.load(first), **torch.load(tmp_path / "pytorch_model-00002-of-00002.bin")}, first)
    with pytest.raises(CheckpointError, match=r"is in pytorch_model-00001-of-00002\.bin and in"):
        open_tensors(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"), [("none", "no such file"), ("x.txt", "kind '.txt'"), ("empty", "no weights")]
)
def test_no_weights_at_all(tmp_path, name, words):
    (tmp_path / "x.txt").write_text("weights")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=words):
        open_tensors(tmp_path / name)


def test_what_is_not_asked_for_takes_no_memory(tmp_path):
    """A gigabyte in a file: opened and listed, and one small tensor of it read."""
    import psutil

    large = torch.zeros(1, dtype=torch.int8).expand(2**28)
    torch.save({f"large.{k}": large.clone() for k in range(4)} | {"small": torch.ones(3)}, tmp_path / "x.pth")
    before = psutil.Process().memory_info()
    files = open_tensors(tmp_path / "x.pth")
    assert files.tensor("small").sum() == 3
    assert files.shape("large.2") == (2**28,)
    assert psutil.Process().memory_info().rss - before.rss < 2**26
