"""The run folder: one configuration, one base, the same samples; what changed is named before anything is loaded."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from toy import small_config, write_toy
from training_runs import arguments, environment, torchrun
from transformers import TrainerCallback

from llava_corr.errors import CheckpointError, ConfigError
from llava_corr.models.adapters import MANIFEST
from llava_corr.models.checkpoints.model_folder import identify
from llava_corr.record_files import write_samples
from llava_corr.training import model, sft
from llava_corr.training.model import build_model
from llava_corr.training.runs import check_inputs, git_commit, inputs_of, prepare_run
from llava_corr.training.sft import build_trainer, train

STEPS = ("training.max_steps=4", "training.batch_size=2", "training.save_steps=2")
PARTS = (
    "training.lora={rank: 2, alpha: 4, dropout: 0}",
    "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]",
)


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == 2


def base_of(folder, name="base", seed=0):
    """A folder of whole weights to start from."""
    return train(small_config(folder, f"name={name}", f"seed={seed}", *STEPS, "training.max_steps=1")) / "model"


def begun(config, samples):
    """The run folder of an experiment that was cut off after its checkpoint of step 2."""
    parts, processor = build_model(config, samples)
    trainer = build_trainer(config, prepare_run(config, inputs_of(config)), parts, processor, samples)
    trainer.add_callback(Stop())
    trainer.train()
    assert len(trainer.checkpoints.complete()) == 1
    return config.run_dir


def test_another_base_and_other_samples_are_refused_by_name(tmp_path, monkeypatch):
    samples = write_toy(tmp_path, 6)
    base, other = base_of(tmp_path), base_of(tmp_path, "other", seed=1)
    config = small_config(tmp_path, "name=run", f"model.weights={base}", *STEPS)
    folder = begun(config, samples)
    first = identify(base)
    assert json.loads((folder / "run.json").read_text())["inputs"]["model.weights"] == first

    write_samples(tmp_path / "train.jsonl", samples[::-1])
    shutil.move(base, tmp_path / "former")
    shutil.copytree(other, base)
    monkeypatch.setattr(sft, "build_model", lambda *_: pytest.fail("weights were loaded before the refusal"))
    for dry_run in (False, True):
        with pytest.raises(ConfigError, match=r"model\.weights and data.train changed since this run began"):
            train(config, dry_run=dry_run)
    shutil.rmtree(base)
    shutil.move(tmp_path / "former", base)
    with pytest.raises(ConfigError, match=r"^data\.train changed"):
        train(config)
    write_samples(tmp_path / "train.jsonl", samples)
    monkeypatch.undo()
    assert (train(config) / "model").is_dir()

    write_samples(tmp_path / "train.jsonl", samples[::-1])
    with pytest.raises(ConfigError, match=r"data\.train changed since this run began: its model belongs"):
        train(config)
    (tmp_path / "train.jsonl").unlink()
    assert (train(config) / "model").is_dir(), "a finished run needs its samples no more"


def test_without_a_checkpoint_the_files_may_change(tmp_path):
    samples = write_toy(tmp_path, 4)
    config = small_config(tmp_path, *STEPS)
    first = inputs_of(config)
    prepare_run(config, first)
    write_samples(tmp_path / "train.jsonl", samples[::-1])
    second = inputs_of(config)
    assert first != second
    prepare_run(config, second)
    assert json.loads((config.run_dir / "run.json").read_text())["inputs"] == second


def test_a_run_of_an_earlier_version_is_continued(tmp_path):
    samples = write_toy(tmp_path, 4)
    config = small_config(tmp_path, *STEPS)
    facts = begun(config, samples) / "run.json"
    facts.write_text(json.dumps({k: v for k, v in json.loads(facts.read_text()).items() if k != "inputs"}))
    check_inputs(config, inputs_of(config))


class SwapBase(TrainerCallback):
    """Puts another model in the place of the base while the run goes on."""

    def __init__(self, base, other):
        self.base, self.other = base, other

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 1:
            shutil.rmtree(self.base)
            shutil.copytree(self.other, self.base)


def swap_while_training(monkeypatch, base, other):
    built = sft.build_trainer

    def build(*args):
        trainer = built(*args)
        trainer.add_callback(SwapBase(base, other))
        return trainer

    monkeypatch.setattr(sft, "build_trainer", build)


def test_the_release_names_the_base_that_the_run_started_from(tmp_path, monkeypatch):
    write_toy(tmp_path, 4)
    base, other = base_of(tmp_path), base_of(tmp_path, "other", seed=1)
    first = identify(base)
    swap_while_training(monkeypatch, base, other)
    folder = train(small_config(tmp_path, "name=run", f"model.weights={base}", *STEPS, *PARTS))
    assert json.loads((folder / "model" / MANIFEST).read_text())["base"] == first != identify(base)


def test_a_whole_release_is_not_merged_into_another_base(tmp_path, monkeypatch):
    samples = write_toy(tmp_path, 4)
    base, other = base_of(tmp_path), base_of(tmp_path, "other", seed=1)
    config = small_config(tmp_path, "name=run", f"model.weights={base}", *STEPS, *PARTS)
    monkeypatch.setattr(model, "writes_whole", lambda _: True)
    first = identify(base)
    parts, _ = build_model(config, samples)
    shutil.rmtree(base)
    shutil.copytree(other, base)
    with pytest.raises(CheckpointError, match="the base changed while it was trained on"):
        model.save_release(config, parts, tmp_path / "release", parts.tensors(), first)


def test_another_configuration_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    write_toy(tmp_path, 2)
    prepare_run(small_config(tmp_path))
    monkeypatch.setattr(sft, "build_model", lambda *_: pytest.fail("weights were loaded before the refusal"))
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        for dry_run in (False, True):
            with pytest.raises(ConfigError, match="another configuration"):
                train(small_config(tmp_path, "seed=5"), dry_run=dry_run)


def test_a_base_that_is_not_there_is_named_with_its_key(tmp_path):
    write_toy(tmp_path, 2)
    with pytest.raises(CheckpointError, match=r"no such folder\n.*\(model\.weights\)"):
        train(small_config(tmp_path, f"model.weights={tmp_path / 'nowhere'}"))


HOLD = """
import os, sys, time
from pathlib import Path
from llava_corr.training.runs import locked
with locked(Path(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(60)  # a data worker that outlives the run
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that trains in the run folder, and has a worker."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)  # the process itself may be gone, its worker is not
    process.wait()


def test_a_second_command_is_refused_while_the_first_runs(tmp_path, monkeypatch, holder):
    write_toy(tmp_path, 4)
    config = small_config(tmp_path, "name=run", f"output_dir={tmp_path}", *STEPS)
    half = config.run_dir / "checkpoints/checkpoint-1"
    half.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(sft, "build_model", lambda *_: pytest.fail("weights were loaded before the refusal"))
        with pytest.raises(ConfigError, match="another command is training in this run folder"):
            train(config)
    assert train(config, dry_run=True) == config.run_dir
    assert half.is_dir()
    assert not (config.run_dir / "config.yaml").exists()

    holder.kill()
    holder.wait()
    assert (train(config) / "model").is_dir()


@pytest.mark.slow
def test_a_second_command_is_refused_on_all_ranks(tmp_path, holder):
    write_toy(tmp_path, 4)
    done = subprocess.run(
        [*torchrun(), *arguments(tmp_path, "name=run", *STEPS, "training.deepspeed=null")],
        capture_output=True, text=True, check=False, env=environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("error: another command is training in this run folder") == 2, done.stderr[-3000:]
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_commit_is_marked_when_code_has_changed_but_not_for_results_beside_it(tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    assert git_commit(tmp_path) is None
    git("init")
    code, results = tmp_path / "package" / "code.py", tmp_path / "docs" / "results.md"
    code.parent.mkdir()
    code.write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    commit = git_commit(code.parent)
    assert commit is not None
    assert len(commit) == 40
    results.parent.mkdir()
    results.write_text("found")
    assert git_commit(code.parent) == commit
    code.write_text("2")
    assert git_commit(code.parent) == f"{commit}+"
    code.write_text("1")
    (tmp_path / "new.py").write_text("2")
    assert git_commit(code.parent) == f"{commit}+"
