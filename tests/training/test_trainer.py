"""What the trainer guards: the gradient of every step, the log's numbers, the one GPU it takes without a launcher."""

import json
import logging
import math

import pytest
import torch
from toy import small_config, write_toy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llava_corr.errors import TrainingError
from llava_corr.training import arguments, sft
from llava_corr.training.callbacks import JsonLinesLog, SaveOnRequest, TimeBudget
from llava_corr.training.checkpointing import Checkpoints
from llava_corr.training.model import build_model
from llava_corr.training.runs import prepare_run
from llava_corr.training.sft import build_trainer, train
from llava_corr.training.trainer import DialogueTrainer


class RuinGradient(TrainerCallback):
    """From its second micro-batch on, the second step has a NaN in one gradient; keeps the weights from before."""

    def __init__(self, model):
        self.model, self.before = model, {}

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 1:
            self.before = {name: value.clone() for name, value in self.model.state_dict().items()}
            calls = iter(range(9))
            weight = self.model.seg_projection.layers[0].weight
            weight.register_hook(lambda gradient: gradient * float("nan") if next(calls) else gradient)


def test_a_gradient_that_is_not_finite_stops_before_the_step_with_its_samples(tmp_path):
    samples = write_toy(tmp_path, 8, images=(1, 2))
    config = small_config(tmp_path, "training.batch_size=2", "training.gradient_accumulation=2",
                          "training.max_steps=3", "training.save_steps=1", "training.logging_steps=1")  # fmt: skip
    parts, processor = build_model(config, samples)
    trainer = build_trainer(config, prepare_run(config), parts, processor, samples)
    ruin = RuinGradient(parts.model)
    trainer.add_callback(ruin)
    with pytest.raises(TrainingError, match="gradient is not finite") as caught:
        trainer.train()
    names = ", ".join(samples[index].id for index in list(trainer.order)[4:8])
    assert caught.value.where == f"step 2, rank 0: {names}"
    assert all(torch.equal(value, ruin.before[name]) for name, value in parts.model.state_dict().items())
    assert [p.name for p in trainer.checkpoints.complete()] == ["checkpoint-1"]


def test_numbers_that_are_not_finite_are_null_in_the_log(tmp_path):
    log = tmp_path / "train_log.jsonl"
    logs = {"loss": float("nan"), "grad_norm": float("inf"), "language": 1.5, "order": "ab"}
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    state = TrainerState(global_step=3, is_world_process_zero=True)
    JsonLinesLog(log).on_log(args, state, TrainerControl(), logs=logs)
    row = json.loads(log.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (row["step"], row["loss"], row["grad_norm"], row["language"], row["order"]) == (3, None, None, 1.5, "ab")


class FourGpus(TrainingArguments):
    def __post_init__(self):
        super().__post_init__()
        self._n_gpu = 4


def test_one_gpu_without_a_launcher(tmp_path, monkeypatch, caplog):
    """The trainer would wrap the model in nn.DataParallel."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(arguments, "TrainingArguments", FourGpus)
    args = arguments.training_arguments(small_config(tmp_path, "training.batch_size=2"), tmp_path)
    assert (args.n_gpu, args.train_batch_size, args.eval_batch_size) == (1, 2, 2)
    assert "one of 4 GPUs is used; for all of them start with deepspeed or torchrun" in caplog.text


class Ask(TrainerCallback):
    """Puts a request into the run folder in the course of a step."""

    def __init__(self, asked):
        self.asked = asked

    def on_step_begin(self, args, state, control, **kwargs):
        for path in self.asked.get(state.global_step + 1, ()):
            path.touch()


def test_files_in_the_run_folder_ask_for_a_checkpoint_or_the_end(tmp_path, monkeypatch):
    write_toy(tmp_path, 4)
    config = small_config(tmp_path, "training.batch_size=2", "training.max_steps=8", "training.save_steps=100")
    save, stop = config.run_dir / "save", config.run_dir / "stop"
    build = sft.build_trainer

    def build_asking(*args):
        trainer = build(*args)
        trainer.add_callback(Ask({2: [save], 5: [save, stop]}))
        return trainer

    monkeypatch.setattr(sft, "build_trainer", build_asking)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert [p.name for p in Checkpoints(config.run_dir).complete()] == ["checkpoint-5", "checkpoint-2"]
    assert not save.exists()
    assert not stop.exists()
    assert not (config.run_dir / "model").exists()
    monkeypatch.undo()
    assert (train(config) / "model").is_dir()


def test_a_request_stays_until_it_is_obeyed(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    (tmp_path / "stop").touch()
    request, control = SaveOnRequest(tmp_path), TrainerControl()
    request.on_step_end(args, TrainerState(is_world_process_zero=True), control)
    assert (control.should_save, control.should_training_stop, request.stopped) == (True, True, True)
    assert (tmp_path / "stop").exists()
    request.on_save()
    assert not (tmp_path / "stop").exists()


def rates(clock, warmup, steps, *, cosine=False):
    """What the scheduler makes of a learning rate of 1 at each of the steps."""
    trainer = DialogueTrainer.__new__(DialogueTrainer)
    trainer.args = TrainingArguments(output_dir="unused", use_cpu=True, report_to=[], warmup_steps=warmup)
    trainer.clock, trainer.cosine, trainer.lr_scheduler = clock, cosine, None
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    (factor,) = trainer.create_scheduler(0, optimizer).lr_lambdas
    return [factor(step) for step in steps]


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_the_rate_reaches_its_full_value_and_falls_from_there_to_zero(warmup):
    steps = range(11)
    for cosine in (False, True):
        found = rates(TimeBudget(10, None), warmup, steps, cosine=cosine)
        for step, rate in zip(steps, found, strict=True):
            left = (10 - step) / (10 - warmup)
            expected = (step + 1) / (warmup + 1) if step < warmup else 0.5 - 0.5 * math.cos(math.pi * left)
            assert rate == pytest.approx(expected if cosine or step < warmup else left)
        assert found[warmup] == 1
        assert found[10] == pytest.approx(0)


def test_the_rate_by_the_clock_goes_on_where_it_stood(tmp_path):
    """The warm-up ends at 20 % of the time; half of what is left is over at 60 %, also after a restart."""
    clock = TimeBudget(1000, minutes=10)
    clock.share_of_time = 0.2
    assert rates(clock, 2, [2]) == [1]
    clock.share_of_time = 0.6
    assert rates(clock, 2, [3]) == [pytest.approx(0.5)]
    (tmp_path / "checkpoint-3").mkdir()
    clock.save(tmp_path / "checkpoint-3")
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    again = TimeBudget(1000, minutes=10)
    again.on_train_begin(args, TrainerState(global_step=3), TrainerControl())
    assert rates(again, 2, [3]) == [pytest.approx(0.5)]
    again.share_of_time = 1.0
    assert rates(again, 2, [4]) == [0]
