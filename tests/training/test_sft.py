"""Training: it learns, it continues where it stopped, it refuses what cannot work. Real runs on tiny models."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy import SMALL, small_config, write_toy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llava_corr.datasets.collate import Collator
from llava_corr.errors import ConfigError, SampleError, TrainingError
from llava_corr.training.callbacks import TimeBudget
from llava_corr.training.model import build_model
from llava_corr.training.runs import prepare_run
from llava_corr.training.sft import build_trainer, train

ROOT = Path(__file__).resolve().parents[2]


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


def test_loss_falls_and_run_folder_is_complete(tmp_path):
    write_toy(tmp_path, 8)
    config = small_config(tmp_path, "training.max_steps=30", "training.batch_size=8", "training.warmup_steps=3",
                          "training.learning_rate=0.01", "training.logging_steps=5")  # fmt: skip
    folder = train(config)
    rows = [row for row in log_of(folder) if "language" in row]
    assert rows[-1]["language"] < 0.5 * rows[0]["language"]
    assert rows[-1]["dice"] < rows[0]["dice"]
    facts = json.loads((folder / "run.json").read_text())
    assert facts["steps"] == 30
    assert {"torch", "transformers"} <= set(facts["versions"])
    assert (folder / "model" / "model.safetensors").is_file()
    assert (folder / "config.yaml").read_text() == config.to_yaml()


def test_loss_is_the_global_mean_whatever_the_micro_batch(tmp_path):
    """8 x 1, 4 x 2 and 2 x 4 (batch x accumulation) take the same first step: same logged terms, same weights."""
    write_toy(tmp_path, 8)
    results = []
    for batch, accumulation in ((8, 1), (4, 2), (2, 4)):
        config = small_config(tmp_path, f"name=b{batch}", "training.max_steps=2", f"training.batch_size={batch}",
                              f"training.gradient_accumulation={accumulation}", "training.logging_steps=1",
                              "training.warmup_steps=0")  # fmt: skip
        folder = train(config)
        rows = [r for r in log_of(folder) if "language" in r]
        results.append([(r["language"], r["mask"], r["dice"]) for r in rows])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a == pytest.approx(b, rel=1e-4)


def test_validation_losses_are_those_of_one_pass_over_the_file(tmp_path):
    """The logged means against one batch that holds all validation samples."""
    samples = write_toy(tmp_path, 7)
    folder = train(
        small_config(tmp_path, f"data.validation={tmp_path / 'train.jsonl'}", "training.max_steps=4",
                     "training.save_steps=2", "training.batch_size=2")
    )  # fmt: skip
    rows = [row for row in log_of(folder) if "validation_language" in row]
    assert [row["step"] for row in rows] == [2, 4]
    parts, processor = build_model(small_config(tmp_path, f"model.weights={folder / 'model'}"), samples)
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    with torch.no_grad():
        output = parts.model.eval()(**batch)
    tokens, masks = output.counts.tolist()
    means = (output.loss_sums / torch.tensor([tokens, masks, masks])).tolist()
    for row in rows[1:]:
        assert (row["validation_tokens"], row["validation_masks"]) == (tokens, masks)
        assert [row[f"validation_{term}"] for term in ("language", "mask")] == pytest.approx(means[:2], rel=1e-4)
    assert json.loads((folder / "run.json").read_text())["validation_dice"] == pytest.approx(means[2], rel=1e-4)


def test_continues_from_the_last_checkpoint(tmp_path):
    """A run stopped after its first checkpoint ends with the losses of a run that was never stopped."""
    write_toy(tmp_path, 8)
    common = ["training.batch_size=2", "training.save_steps=4", "training.logging_steps=1", "training.max_steps=8"]
    whole = train(small_config(tmp_path, "name=whole", *common))
    config = small_config(tmp_path, "name=halves", *common)
    samples = write_toy(tmp_path, 8)
    folder = prepare_run(config)
    parts, processor = build_model(config, samples)
    trainer = build_trainer(config, folder, parts, processor, samples)

    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 5

    trainer.add_callback(Stop())
    trainer.train()
    train(config)
    expected = {r["step"]: r["loss"] for r in log_of(whole) if "loss" in r}
    got = {r["step"]: r["loss"] for r in log_of(folder) if "loss" in r}
    assert got == pytest.approx(expected, rel=1e-5)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    write_toy(tmp_path, 2)
    config = small_config(tmp_path, "training.max_steps=2", "training.batch_size=2")
    folder = train(config)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert train(config) == folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_sizes_that_no_model_has_are_a_named_error(tmp_path):
    samples = write_toy(tmp_path, 2)
    with pytest.raises(ConfigError, match="5 heads do not divide the patches"):
        build_model(small_config(tmp_path, "model.correspondence.attention_heads=5"), samples)


def test_changed_configuration_is_refused(tmp_path):
    write_toy(tmp_path, 2)
    prepare_run(small_config(tmp_path))
    prepare_run(small_config(tmp_path))
    with pytest.raises(ConfigError, match="another configuration"):
        prepare_run(small_config(tmp_path, "seed=5"))


def test_empty_training_file(tmp_path):
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(SampleError, match="no sample"):
        train(small_config(tmp_path))


def test_loss_that_is_not_finite_stops_with_the_sample_ids(tmp_path):
    samples = write_toy(tmp_path, 2)
    config = small_config(tmp_path, "training.batch_size=2", "training.max_steps=1")
    parts, processor = build_model(config, samples)
    with torch.no_grad():
        parts.model.seg_projection.layers[0].weight.fill_(float("nan"))
    trainer = build_trainer(config, prepare_run(config), parts, processor, samples)
    with pytest.raises(TrainingError, match="toy0"):
        trainer.train()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """A step of finite loss can ruin the weights: the checkpoint before stays the last one, and no model is written."""
    samples = write_toy(tmp_path, 4)
    config = small_config(tmp_path, "training.batch_size=2", "training.max_steps=4", "training.save_steps=2")
    parts, processor = build_model(config, samples)
    folder = prepare_run(config)
    trainer = build_trainer(config, folder, parts, processor, samples)

    class Ruin(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 4:
                parts.model.seg_projection.layers[0].bias.data.fill_(float("inf"))

    trainer.add_callback(Ruin())
    with pytest.raises(TrainingError, match=r"not finite after step 4, the first seg_projection\.layers\.0\.bias"):
        trainer.train()
    assert [p.name for p in trainer.checkpoints.complete()] == ["checkpoint-2"]


def test_same_seed_same_weights(tmp_path):
    samples = write_toy(tmp_path, 2)
    first, second, third = (
        build_model(small_config(tmp_path, f"seed={s}"), samples)[0].model.state_dict() for s in (1, 1, 2)
    )
    assert all(torch.equal(v, second[k]) for k, v in first.items())
    assert any(not torch.equal(v, third[k]) for k, v in first.items())


def test_a_continued_run_goes_on_where_its_clock_stood(tmp_path):
    write_toy(tmp_path, 4)
    common = ["training.batch_size=2", "training.save_steps=3", "training.max_steps=6", "training.max_minutes=1000"]
    folder = train(small_config(tmp_path, *common))
    clocks = [json.loads((folder / f"checkpoints/checkpoint-{n}/clock.json").read_text())["seconds"] for n in (3, 6)]
    assert 0 < clocks[0] < clocks[1]
    clock = TimeBudget(100, minutes=1)
    arguments = TrainingArguments(output_dir=str(folder / "checkpoints"), use_cpu=True, report_to=[])
    (folder / "checkpoints/checkpoint-6/clock.json").write_text('{"seconds": 45.0}')
    clock.on_train_begin(arguments, TrainerState(global_step=6), TrainerControl())
    assert clock.minutes_left() == pytest.approx(0.25, abs=0.02)
    clock.on_train_begin(arguments, TrainerState(global_step=0), TrainerControl())
    assert clock.minutes_left() == pytest.approx(1, abs=0.02)


def test_clock_and_steps_both_end_a_run():
    clock = TimeBudget(100, minutes=None)
    assert clock.progress(25) == 0.25
    clock.share_of_time = 0.9
    assert clock.progress(25) == 0.9
    assert clock.progress(1000) == 1.0
    assert math.isclose(clock.minutes_left(), 0.0)


def test_dry_run_writes_nothing(tmp_path):
    write_toy(tmp_path, 2)
    folder = train(small_config(tmp_path), dry_run=True)
    assert not folder.exists()


def command(folder: Path, *overrides: str) -> list[str]:
    pairs = [*SMALL, f"data.train={folder / 'train.jsonl'}", f"output_dir={folder}", *overrides]
    return [str(ROOT / "scripts/train.py"), "--config", "tiny/calico.yaml", *(a for p in pairs for a in ("--set", p))]


def test_user_errors_come_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, *command(tmp_path, "training.batchsize=2")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "did you mean 'batch_size'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_saves_and_the_same_command_goes_on(tmp_path):
    write_toy(tmp_path, 4)
    steps = ["training.max_steps=150", "training.batch_size=2", "training.logging_steps=1", "training.save_steps=1000"]
    started = subprocess.Popen([sys.executable, *command(tmp_path, *steps)], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "tiny-calico" / "train_log.jsonl"
    while started.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 2):
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    _, errors = started.communicate()
    assert started.returncode == 130, errors
    assert "continues from the last checkpoint" in errors
    (saved,) = (tmp_path / "tiny-calico" / "checkpoints").glob("checkpoint-*")
    step = int(saved.name.rpartition("-")[2])
    assert 2 < step < 150
    assert not (tmp_path / "tiny-calico" / "model").exists()
    subprocess.run([sys.executable, *command(tmp_path, *steps)], capture_output=True, check=True)
    seen = [row["step"] for row in log_of(tmp_path / "tiny-calico") if "loss" in row]
    assert seen == list(range(1, 151))
    assert (tmp_path / "tiny-calico" / "model" / "model.safetensors").is_file()


def test_deepspeed_launcher_trains(tmp_path):
    """The README's own way of starting, ZeRO-2 and all."""
    write_toy(tmp_path, 4)
    launcher = Path(sys.executable).parent / "deepspeed"
    environment = os.environ | {"PATH": f"{launcher.parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = command(tmp_path, "training.max_steps=2", "training.batch_size=2", "training.bf16=true")
    done = subprocess.run(
        [str(launcher), "--master_port", "29731", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for held in ("checkpoints/checkpoint-2/trained", "model/model"):
        weight = load_file(tmp_path / "tiny-calico" / f"{held}.safetensors")["trunk.lm_head.weight"]
        assert weight.dtype == torch.float32  # DeepSpeed's own, not the model's rounded copy
        assert (weight.bfloat16().float() != weight).any()
    assert not list(Path("/dev/shm").glob("deepspeed_allreduce_buffer_*_29731_*"))  # 67 MB of memory
