"""Model folders: only whole and fitting ones are loaded, and what is written is whole or not there."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from llava_corr.errors import CheckpointError, LlavaCorrError, StorageError
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import identify, load_config, load_model, load_processor, written_whole
from llava_corr.models.modeling import LlavaCorrForConditionalGeneration


@pytest.fixture
def folder(toy, tmp_path):
    model, processor, _ = toy
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_what_was_saved_comes_back(toy, folder):
    model, processor, _ = toy
    again = load_model(folder).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    assert load_processor(folder).tokenizer.get_vocab() == processor.tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda w: w.pop("trunk.lm_head.weight"), "missing: trunk.lm_head.weight"),
        (lambda w: w.update(stray=torch.zeros(2)), "unexpected: stray"),
        (lambda w: w.update({"trunk.model.norm.weight": torch.zeros(7)}), "trunk.model.norm.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, edit, fault):
    change(folder, edit)
    with pytest.raises(CheckpointError, match=fault):
        Predictor.from_pretrained(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "processor_config.json"])
def test_truncated_files_are_named_errors(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="mend"):
        Predictor.from_pretrained(folder)


@pytest.mark.parametrize("path", ["/nowhere/model", "runs/nowhere/model", "./nowhere", ""])
def test_missing_folder(path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_config(path)


def test_what_may_be_a_hub_id_is_asked_for_there():
    with pytest.raises(CheckpointError, match="no model can be loaded"):
        load_config("nobody/nothing")


def test_written_files_can_be_read_by_whom_others_can(toy, tmp_path):
    with written_whole(tmp_path / "model") as part:
        toy[0].save_pretrained(part)
    (tmp_path / "plain").write_text("")
    modes = {path.stat().st_mode for path in (tmp_path / "model").glob("*.*")}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    for text in ("first", "second"):
        with written_whole(target) as part:
            part.mkdir()
            (part / "a.txt").write_text(text)

    def fail():
        with written_whole(target) as part:
            part.mkdir()
            (part / "a.txt").write_text("third")
            raise OSError(28, "disk full")

    with pytest.raises(StorageError, match="full"):
        fail()
    assert (target / "a.txt").read_text() == "second"
    with written_whole(target) as part:  # what an interrupted call left behind does not get in
        part.mkdir()
        (part / "b.txt").write_text(json.dumps(4))
    assert [p.name for p in target.iterdir()] == ["b.txt"]


def fingerprint(folder):
    return identify(folder)["fingerprint"]


def test_any_changed_tensor_changes_the_fingerprint(folder, tmp_path):
    before = fingerprint(folder)
    names = list(load_file(folder / "model.safetensors"))
    assert len(names) > 50
    for number, name in enumerate(names):
        place = (0, "middle", -1)[number % 3]

        def step(weights, name=name, place=place):
            flat = weights[name].view(-1)
            flat[len(flat) // 2 if place == "middle" else place] += 1

        kept = (folder / "model.safetensors").read_bytes()
        change(folder, step)
        assert fingerprint(folder) != before, name
        (folder / "model.safetensors").write_bytes(kept)
    shutil.move(folder, tmp_path / "elsewhere")
    assert fingerprint(tmp_path / "elsewhere") == before
    (tmp_path / "elsewhere" / "config.json").write_text("{}")
    assert fingerprint(tmp_path / "elsewhere") != before


@pytest.mark.parametrize("place", [0, 1_500_000, 2_999_999])
def test_large_tensors_are_sampled_at_both_ends_and_in_the_middle(tmp_path, place):
    found = []
    for value in (0.0, 1.0):
        folder = tmp_path / str(value)
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        tensors = {name: torch.zeros(3_000_000) for name in "abc"}
        tensors["b"][place] = value
        save_file(tensors, folder / "model.safetensors")
        found.append(fingerprint(folder))
    assert found[0] != found[1]


def test_a_file_without_a_header_has_no_fingerprint(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        identify(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "[]"),
        ("config.json", "{}"),
        ("config.json", '{"model_type": "llama"}'),
        ("config.json", '{"vision_config": {"model_type": 3}}'),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[3]"),
        ("tokenizer_config.json", "{}"),
        ("tokenizer_config.json", "[]"),
        ("processor_config.json", "[]"),
        ("processor_config.json", '{"image_processor": 4}'),
        ("model.safetensors", "no tensors at all"),
    ],
)
def test_files_of_no_sense_are_named_errors(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(LlavaCorrError):
        Predictor.from_pretrained(folder)


@pytest.mark.parametrize("fault", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("a bug"), KeyError("x")])
def test_what_is_not_the_files_fault_is_let_through(folder, monkeypatch, fault):
    def fail(*_, **__):
        raise fault

    monkeypatch.setattr(LlavaCorrForConditionalGeneration, "from_pretrained", fail)
    with pytest.raises(type(fault)):
        load_model(folder)


@pytest.mark.parametrize("whole", [(), ("adaptation", "trunk.lm_head"), ("all",)])
def test_16_bits_are_read_as_such_but_for_what_stays_whole(toy, folder, whole):
    """What is held in float32 keeps every bit; buffers too; the rest is what rounding the whole model would give."""
    expected = toy[0].state_dict()
    model = load_model(folder, dtype=torch.bfloat16, whole=whole)
    for name, value in model.state_dict().items():
        kept = "all" in whole or (bool(whole) and name.startswith(whole))
        assert value.dtype == (torch.float32 if kept else torch.bfloat16), name
        assert torch.equal(value, expected[name].to(value.dtype)), name
    for (name, value), (_, other) in zip(model.named_buffers(), toy[0].named_buffers(), strict=True):
        assert value.dtype == other.dtype, name
        assert torch.equal(value, other), name


def test_answers_in_16_bits_are_those_of_a_rounded_model(toy, folder):
    predictor = Predictor.from_pretrained(folder, dtype="bfloat16")
    expected = load_model(folder).to(torch.bfloat16).state_dict()
    assert all(torch.equal(v, expected[n]) for n, v in predictor.model.state_dict().items())


def test_each_rank_loads_4_bits_onto_its_own_gpu(folder, monkeypatch):
    pytest.importorskip("bitsandbytes")
    asked = []

    def note(*_, **options):
        asked.append(options["device_map"])
        raise ValueError("enough")

    monkeypatch.setattr(LlavaCorrForConditionalGeneration, "from_pretrained", note)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for rank in ("0", "3"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(CheckpointError):
            load_model(folder, quantise_trunk=True)
    assert asked == [{"": 0}, {"": 3}]


def write(target, text):
    with written_whole(target) as part:
        part.mkdir()
        (part / "a.txt").write_text(text)


def test_a_crash_while_folders_are_exchanged_loses_nothing(tmp_path, monkeypatch):
    target, aside = tmp_path / "model", tmp_path / "model.llava-corr-old"
    write(target, "first")
    moves, replace = [], os.replace

    def crash(source, goal):
        moves.append(source)
        if len(moves) == 2:
            raise KeyboardInterrupt  # between the two moves: neither is undone
        replace(source, goal)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write(target, "second")
    monkeypatch.undo()
    assert not target.exists()

    def fail():
        with written_whole(target):
            assert (target / "a.txt").read_text() == "first"
            raise OSError(28, "disk full")

    with pytest.raises(StorageError):
        fail()
    assert (target / "a.txt").read_text() == "first"
    shutil.copytree(target, aside)  # a crash before the old folder was removed
    write(target, "third")
    assert (target / "a.txt").read_text() == "third"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_move_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "model"
    write(target, "first")
    replace = os.replace

    def fail(source, goal):
        if str(source).endswith("-part"):
            raise OSError(5, "input/output error")
        replace(source, goal)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError, match="input/output"):
        write(target, "second")
    assert (target / "a.txt").read_text() == "first"


def test_what_is_moved_is_on_the_disk(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    write(tmp_path / "model", "first")
    names = [os.path.relpath(path, tmp_path) for path in synced]
    assert names == ["model.llava-corr-part/a.txt", "model.llava-corr-part", "."]
