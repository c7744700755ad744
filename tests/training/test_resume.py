"""A run that is killed at any moment, and started again, is the run that was never killed: same log, same weights."""

import json
import os
import random
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from toy import small_config, write_toy
from training_runs import arguments, comparable, finish, kill_after, log_of, weights
from transformers import TrainerCallback

from llava_corr import files
from llava_corr.datasets.batching import PictureSharingSampler, SampleStream
from llava_corr.datasets.collate import Collator
from llava_corr.errors import CheckpointError, StorageError
from llava_corr.record_files import write_samples
from llava_corr.training import checkpointing
from llava_corr.training.checkpointing import MARKER, Checkpoints
from llava_corr.training.model import build_model
from llava_corr.training.runs import prepare_run
from llava_corr.training.sft import build_trainer, train

# Dropout, micro-batches, an epoch (7 samples) that ends inside a micro-batch, rows over several steps, frequent saves.
HARD = ["model.qformer.dropout=0.1", "training.batch_size=2", "training.gradient_accumulation=2",
        "training.logging_steps=3", "training.save_steps=1", "training.warmup_steps=3"]  # fmt: skip


def assert_same_run(first, second):
    assert comparable(first) == comparable(second)
    again = weights(second)
    assert all(torch.equal(value, again[name]) for name, value in weights(first).items())


def stop_at(config, samples, step):
    """A run that ends after ``step`` as if it had been cut off there."""

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == step

    model, processor = build_model(config, samples)
    trainer = build_trainer(config, prepare_run(config), model, processor, samples, samples[:3])
    trainer.add_callback(Stop())
    last = trainer.checkpoints.start(world_size=1, deepspeed=None)
    trainer.train(resume_from_checkpoint=str(last) if last else None)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_continued_run_logs_what_the_whole_run_logs(tmp_path, workers):
    """Stopped inside an epoch, inside a log window, between saves, in the second epoch, and at the last step."""
    samples = write_toy(tmp_path, 7, images=(1, 2, 3))
    write_samples(tmp_path / "validation.jsonl", samples[:3])
    common = [*HARD, "training.max_steps=11", "training.save_steps=2", f"data.workers={workers}",
              "training.group_by_length=true",
              f"data.validation={tmp_path / 'validation.jsonl'}"]  # fmt: skip
    whole = train(small_config(tmp_path, "name=whole", *common))
    config = small_config(tmp_path, "name=parts", *common)
    for step in (5, 7, 8):
        stop_at(config, samples, step)
    assert_same_run(whole, train(config))
    rows = [row for row in log_of(whole) if "loss" in row]
    assert [row["step"] for row in rows] == [3, 6, 9]
    assert len({row["order"] for row in rows}) == 3


def test_order_hash_is_that_of_the_samples_whatever_the_micro_batch(tmp_path):
    write_toy(tmp_path, 7)
    hashes = []
    for name, batch, accumulation, seed in (("a", 4, 1, 0), ("b", 1, 4, 0), ("c", 4, 1, 1)):
        config = small_config(tmp_path, f"name={name}", f"training.batch_size={batch}", f"seed={seed}",
                              f"training.gradient_accumulation={accumulation}", "training.logging_steps=1",
                              "training.max_steps=3")  # fmt: skip
        hashes.append([row["order"] for row in log_of(train(config)) if "loss" in row])
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_stream_has_every_sample_once_an_epoch_and_no_short_batch(tmp_path):
    samples = write_toy(tmp_path, 7)
    stream = SampleStream(PictureSharingSampler(samples, 2, seed=3), total=24)
    order = list(stream)
    assert len(order) == len(stream) == 24
    assert [sorted(order[k : k + 7]) for k in (0, 7, 14)] == [list(range(7))] * 3
    assert order[:7] != order[7:14]
    assert list(islice(stream, 24)) == order


def test_a_step_in_order_of_length_has_the_same_dialogues(tmp_path):
    """Over the ends of epochs, and with a last step that is short."""
    samples = write_toy(tmp_path, 7)
    lengths = [3, 1, 2, 5, 1, 4, 2]
    plain = SampleStream(PictureSharingSampler(samples, 2, seed=3), total=26)
    sorted_ = SampleStream(PictureSharingSampler(samples, 2, seed=3), total=26, step=4, lengths=lengths)
    before, after = list(plain), list(sorted_)
    assert len(sorted_) == len(after) == 26
    for start in range(0, 26, 4):
        step = after[start : start + 4]
        assert sorted(step) == sorted(before[start : start + 4])
        assert [lengths[i] for i in step] == sorted((lengths[i] for i in step), reverse=True)
    assert before != after
    assert list(sorted_) == after


def test_steps_in_order_of_length_make_the_same_model(tmp_path, monkeypatch):
    """Same dialogues a step, hence the same losses, gradients and weights up to the last bits; micro-batches differ."""
    write_toy(tmp_path, 7, images=(1, 2, 3))
    common = ["training.batch_size=2", "training.gradient_accumulation=2", "training.max_steps=6",
              "training.logging_steps=1"]  # fmt: skip
    batches, collate = [], Collator.__call__

    def counting(self, samples):
        batches.append([len(sample.images) for sample in samples])
        return collate(self, samples)

    monkeypatch.setattr(Collator, "__call__", counting)
    plain = train(small_config(tmp_path, "name=plain", *common))
    before = list(batches)
    batches.clear()
    grouped = train(small_config(tmp_path, "name=grouped", *common, "training.group_by_length=true"))
    filled_up = [sum(max(sizes) - size for sizes in run for size in sizes) for run in (before, batches)]
    assert filled_up[0] > filled_up[1]
    rows, again = ([row for row in log_of(run) if "loss" in row] for run in (plain, grouped))
    assert [row["order"] for row in rows] == [row["order"] for row in again]
    for name in ("loss", "grad_norm"):
        assert [row[name] for row in again] == pytest.approx([row[name] for row in rows], rel=1e-4)
    ended = weights(grouped)
    assert all(torch.allclose(ended[name], value, rtol=1e-3, atol=1e-5) for name, value in weights(plain).items())


def test_two_kills(tmp_path):
    kill_and_compare(tmp_path, kills=2, steps=12, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_twenty_kills(tmp_path, workers):
    torn = kill_and_compare(tmp_path, kills=20 if workers == 0 else 4, steps=120, seed=workers, workers=workers)
    assert torn or workers, "no kill hit the writing of a checkpoint"


def kill_and_compare(tmp_path, *, kills, steps, seed, workers=0):
    """Kills at random moments; with a save each step, many of them fall into the writing of a checkpoint.

    Returns:
        How many kills left a half-written checkpoint behind.
    """
    write_toy(tmp_path, 7)
    common = [*HARD, f"training.max_steps={steps}", "training.logging_steps=1", f"data.workers={workers}"]
    command = [sys.executable, *arguments(tmp_path, "name=killed", *common)]
    folder, rng, torn = tmp_path / "killed", random.Random(seed), 0
    for _ in range(kills):
        alive = kill_after(command, folder / "train_log.jsonl", rng.randint(0, 4), rng.uniform(0, 0.12))
        assert alive, "the run ended before the last kill: more steps are needed"
        torn += any(not (path / MARKER).exists() for path in (folder / "checkpoints").glob("checkpoint-*"))
    finish(command)
    whole = train(small_config(tmp_path, "name=whole", *common))
    assert [row["step"] for row in log_of(folder) if "loss" in row] == list(range(1, steps + 1))
    assert_same_run(whole, folder)
    return torn


def test_half_written_and_damaged_checkpoints_are_removed(tmp_path, caplog):
    caplog.set_level("INFO")
    write_toy(tmp_path, 4)
    config = small_config(tmp_path, "training.max_steps=6", "training.save_steps=2", "training.batch_size=2",
                          "training.logging_steps=1")  # fmt: skip
    folder = train(config)
    checkpoints = Checkpoints(folder)
    assert [p.name for p in checkpoints.complete()] == ["checkpoint-6", "checkpoint-4"]
    (folder / "checkpoints/checkpoint-7").mkdir()
    (folder / "checkpoints/checkpoint-7/model.safetensors").write_bytes(b"half")
    optimizer = folder / "checkpoints/checkpoint-6/optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-1])
    with (folder / "train_log.jsonl").open("a") as log:
        log.write('{"step": 9, "lo')
    last = checkpoints.start(world_size=1, deepspeed=None)
    assert last == folder / "checkpoints/checkpoint-4"
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert f"no {MARKER}" in caplog.text
    assert "optimizer.pt has" in caplog.text
    assert [row["step"] for row in log_of(folder)] == [1, 2, 3, 4]
    (last / "scheduler.pt").unlink()
    assert checkpoints.start(world_size=1, deepspeed=None) is None
    assert (folder / "train_log.jsonl").read_text() == ""


def test_another_layout_is_refused_with_its_reason(tmp_path):
    write_toy(tmp_path, 4)
    folder = train(small_config(tmp_path, "training.max_steps=1", "training.batch_size=2"))
    for layout, words in (
        ({"world_size": 2, "deepspeed": None}, "2 ranks"),
        ({"world_size": 1, "deepspeed": 3}, "ZeRO-3"),
    ):
        with pytest.raises(CheckpointError, match=f"1 rank without DeepSpeed, this run has .*{words}"):
            Checkpoints(folder).start(**layout)


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")]
)
def test_a_full_disk_while_saving_leaves_the_last_checkpoint(tmp_path, failure):
    checkpoints = Checkpoints(tmp_path, keep=1)

    def write(step, failure=None):
        with checkpoints.writing(step, world_size=1, deepspeed=None, first_here=True) as folder:
            folder.mkdir(parents=True)
            (folder / "window_0.json").write_text("{}")
            if failure:
                raise failure

    write(1)
    write(2)
    assert [p.name for p in checkpoints.complete()] == ["checkpoint-2"]
    with pytest.raises(StorageError, match="continues from the last complete"):
        write(3, failure)
    assert [p.name for p in checkpoints.complete()] == ["checkpoint-2"]
    facts = json.loads((tmp_path / "checkpoints/checkpoint-2" / MARKER).read_text())
    assert facts["files"] == {"window_0.json": 2}


def test_a_checkpoint_is_flushed_when_all_ranks_have_written(tmp_path, monkeypatch):
    """And counts when every machine has flushed it."""
    happened = []
    monkeypatch.setattr(checkpointing.ranks, "gather", lambda value: happened.append("barrier"))
    monkeypatch.setattr(checkpointing, "_flush", lambda _: happened.append("flush"))
    checkpoints = Checkpoints(tmp_path)
    with checkpoints.writing(1, world_size=1, deepspeed=None, first_here=True) as folder:
        folder.mkdir(parents=True)
        (folder / "window_0.json").write_text("{}")
        happened.append("written")
    assert happened == ["written", "barrier", "flush", "barrier"]
    assert checkpoints.complete()


@pytest.mark.parametrize(("name", "hidden"), [(".window_1.json.x.part", True), ("optimizer.pt", False)])
def test_only_a_temporary_file_may_vanish_while_flushing(tmp_path, monkeypatch, name, hidden):
    opened = os.open

    def vanish(path, flags, *mode):
        if Path(path).name == name:
            Path(path).unlink()
        return opened(path, flags, *mode)

    monkeypatch.setattr(files.os, "open", vanish)

    def write():
        with Checkpoints(tmp_path).writing(1, world_size=1, deepspeed=None, first_here=True) as folder:
            folder.mkdir(parents=True)
            for each in ("window_0.json", name):
                (folder / each).write_text("{}")

    if hidden:
        write()
    else:
        with pytest.raises(StorageError, match="No such file"):
            write()
    assert bool(Checkpoints(tmp_path).complete()) == hidden
