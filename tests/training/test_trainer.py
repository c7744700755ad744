"""What the trainer guards: the gradient of every step, the log's numbers, the one GPU it takes without a launcher."""

import json
import logging

import pytest
import torch
from toy import small_config, write_toy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llava_corr.errors import TrainingError
from llava_corr.training import arguments
from llava_corr.training.callbacks import JsonLinesLog
from llava_corr.training.runs import prepare_run
from llava_corr.training.sft import build_model, build_trainer


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
