"""Files are written whole or not at all, and read with the place of any fault."""

import os
import resource as limits
import signal
from pathlib import Path

import pytest

from llava_corr.config import load_config
from llava_corr.errors import AnnotationError, CheckpointError, ConfigError, Finding, Findings, StorageError
from llava_corr.files import (
    atomic_write,
    find_shipped,
    read_json,
    read_rows,
    refuse_overwriting,
    resource,
    write_json,
    write_lines,
)
from llava_corr.models.checkpoints.model_folder import load_config as load_model_config
from llava_corr.models.checkpoints.model_folder import refuse_absent


def test_failed_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as handle:  # noqa: PT012
        handle.write("new, half")
        raise RuntimeError("in the middle")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_disk_full_is_a_storage_error_and_leaves_nothing(tmp_path):
    """A real limit on file size stands for a full disk: the write fails in the system call."""
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = tmp_path / "big.jsonl"
    path.write_text("old")
    limits.setrlimit(limits.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageError, match=r"big\.jsonl"):
            write_lines(path, ("x" * 1000 for _ in range(100)))
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["big.jsonl"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_json(tmp_path / "file" / "x.json", {})


def test_broken_json_names_line_and_column(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": 1,\n "b": }')
    with pytest.raises(AnnotationError, match="line 2, column 7"):
        read_json(path)


def test_missing_and_not_utf8(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        read_json(tmp_path / "no.json")
    (tmp_path / "x.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(AnnotationError, match="byte 7"):
        read_json(tmp_path / "x.json")


def test_rows_keep_their_numbers(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("1\n\n3\n")
    assert list(read_rows(path)) == [(1, "1"), (3, "3")]


def test_resource_of_the_project():
    assert resource("data", "taxonomies", "paco_lvis.json").is_file()
    with pytest.raises(StorageError, match="nowhere"):
        resource("nowhere")


def test_findings_count_and_list():
    findings = Findings()
    assert not findings
    assert findings.summary() == "no findings"
    findings.add("a", "row 1")
    findings.extend(Findings([Finding("b", "row 2", "x"), Finding("b", "row 3")]))
    assert findings.counts() == {"b": 2, "a": 1}
    assert findings.summary() == "2 b, 1 a"
    assert len(findings.to_json()) == 3


def test_a_file_that_is_read_is_not_written_under_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.jsonl").write_text("x")
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    os.link("a.jsonl", "hard.jsonl")
    read = [("--train", None), ("--samples", "a.jsonl")]
    for name in ("a.jsonl", tmp_path / "a.jsonl", "folder/../a.jsonl", "link.jsonl", "hard.jsonl"):
        with pytest.raises(ConfigError, match=r"--out .* would overwrite --samples a\.jsonl"):
            refuse_overwriting([("--report", None), ("--out", name)], read)
    with pytest.raises(ConfigError, match="would overwrite"):
        refuse_overwriting([("--out", "folder/../new")], [("--samples", "new")])
    refuse_overwriting([("--out", "b.jsonl"), ("--out", "folder/a.jsonl")], read)


def test_the_zoo_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo = Path(find_shipped("data/zoo"))
    assert (zoo / "config.json").is_file()
    assert find_shipped("data/zoo/radio") == str(zoo / "radio")
    assert load_config("tiny/calico.yaml").model.weights == "data/zoo"  # the same run wherever it is continued
    assert load_model_config("data/zoo").text_config.vocab_size > 0
    for other in ("data/zooo", "data", "docs", "owner/name", "../data/zoo", str(tmp_path / "data/zoo")):
        assert find_shipped(other) == other
    (tmp_path / "data/zoo").mkdir(parents=True)
    assert find_shipped("data/zoo") == "data/zoo"  # one's own goes first


def test_what_is_nearly_a_folder_is_not_asked_for_from_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="did you mean 'runs/mine'"):
        refuse_absent("runs/mime")
    refuse_absent("runs/quite-different")
    refuse_absent("owner/name")
