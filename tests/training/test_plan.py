"""Before the first step: every faulty sample named at once; the plan; what the logs hold; overfitting on purpose."""

import json
import logging
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy import small_config, toy_samples, write_toy
from training_runs import arguments, finish, log_of

from llava_corr.datasets.collate import to_dialogue
from llava_corr.errors import ConfigError, SampleError
from llava_corr.inference.predictor import Predictor
from llava_corr.record_files import write_samples
from llava_corr.training.checking import check_samples
from llava_corr.training.command import main
from llava_corr.training.sft import train


def with_question(sample, words):
    turn = sample.turns[0]
    return sample.model_copy(update={"turns": (turn.model_copy(update={"user": turn.user + words}),)})


def test_every_faulty_sample_is_named_before_the_first_step(tmp_path, toy):
    _, processor, samples = toy
    tokens, name = check_samples(samples, processor)
    assert tokens == max(len(processor.encode(to_dialogue(s, with_answers=True))[0]) for s in samples)
    assert name in {s.id for s in samples}
    broken = [*samples, with_question(samples[0], " <image>").model_copy(update={"id": "marker"})]
    broken += [with_question(samples[1], " red" * 400).model_copy(update={"id": f"long{k}"}) for k in range(12)]
    with pytest.raises(SampleError) as caught:
        check_samples(broken, processor)
    message = str(caught.value)
    assert f"13 of {len(broken)} samples cannot be trained on" in message
    assert "marker: <image> markers and pictures differ: 3 and 2" in message
    assert "long8: " in message
    assert "the context holds 256" in message
    assert "long9" not in message
    assert "and 3 more" in message
    write_samples(tmp_path / "train.jsonl", broken[-3:])
    with pytest.raises(SampleError, match="3 of 3"):
        train(small_config(tmp_path), dry_run=True)


def test_dry_run_prints_the_plan(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    write_toy(tmp_path, 8)
    train(small_config(tmp_path, "training.batch_size=2", "training.gradient_accumulation=3", "training.max_steps=40",
                       "training.save_steps=7"), dry_run=True)  # fmt: skip
    text = " ".join(caplog.text.split())
    for words in ("samples: 8, the longest", "of 256 tokens", "M trained of", "steps: 40; 30.00 epochs",
                  "6 dialogues a step = 2 a micro-batch x 3 accumulated x 1 rank", "every 7 steps",
                  "output: " + str(tmp_path / "runs" / "tiny-calico"), "zero2.json otherwise"):  # fmt: skip
        assert words in text


def test_log_rows_and_tensorboard_hold_the_same_numbers(tmp_path):
    write_toy(tmp_path, 4)
    folder = train(small_config(tmp_path, "training.max_steps=4", "training.batch_size=2", "training.logging_steps=2"))
    rows = [row for row in log_of(folder) if "loss" in row]
    assert {"step", "time", "epoch", "loss", "language", "mask", "dice", "tokens", "masks", "learning_rate",
            "grad_norm", "seconds_per_step", "order"} <= set(rows[0])  # fmt: skip
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[0]["masks"] == 2 * 2 * 2
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    for name in ("language", "grad_norm", "learning_rate", "seconds_per_step", "tokens"):
        assert [(e.step, e.value) for e in events.Scalars(name)] == [
            (row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows
        ]


def test_overfit_trains_on_the_first_samples_and_validates_on_them(tmp_path):
    write_toy(tmp_path, 6)
    steps = ["training.max_steps=2", "training.batch_size=3", "training.logging_steps=1", "training.save_steps=1"]
    assert main([*arguments(tmp_path, *steps)[1:], "--overfit", "3"]) == 0
    rows = log_of(tmp_path / "tiny-calico-overfit3")
    assert [row["epoch"] for row in rows if "loss" in row] == [1, 2]
    trained = [row for row in rows if "loss" in row]
    validated = [row for row in rows if "validation_language" in row]
    assert [row["validation_tokens"] for row in validated] == [row["tokens"] for row in trained]


def test_overfit_on_nothing_is_refused(tmp_path, capsys):
    assert main([*arguments(tmp_path)[1:], "--overfit", "0"]) == 2
    assert "nothing to train on" in capsys.readouterr().err


WIDER = [
    "model.trunk={hidden_size: 64, intermediate_size: 128, num_hidden_layers: 3, num_attention_heads: 2, "
    "max_position_embeddings: 256}",
    "model.grounding={image_size: 64, patch_size: 4, hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2, "
    "window_size: 0, global_attn_indexes: [], use_rel_pos: false, prompt_size: 64, decoder_mlp: 128, decoder_heads: 2}",
    "training.losses.mask_size=64",
]


@pytest.mark.slow
def test_a_tiny_model_memorises_eight_samples_of_one_to_four_images(tmp_path):
    samples = toy_samples(tmp_path, 10, images=(1, 2, 3, 4))
    write_samples(tmp_path / "train.jsonl", samples)
    steps = ["training.max_steps=200", "training.batch_size=8", "training.learning_rate=3e-3"]
    finish([sys.executable, *arguments(tmp_path, *WIDER, *steps), "--overfit", "8"])
    folder = tmp_path / "tiny-calico-overfit8"
    predictor = Predictor.from_pretrained(folder / "model", max_new_tokens=80)
    overlaps = []
    for sample, prediction in zip(samples[:8], predictor.predict(samples[:8], progress=False), strict=True):
        assert prediction.text == sample.turns[-1].assistant
        for target, segment in zip(sample.targets, prediction.segments, strict=True):
            true, drawn = target.mask.to_array(), segment.mask.to_array()
            overlaps.append((true & drawn).sum() / (true | drawn).sum())
    assert len(overlaps) > 8
    assert np.mean(overlaps) >= 0.95
    assert json.loads((folder / "run.json").read_text())["validation_language"] < 0.01


def test_a_deepspeed_file_that_is_not_there_is_named_without_a_launcher(tmp_path):
    write_toy(tmp_path, 2)
    with pytest.raises(ConfigError, match=r"training\.deepspeed: there is no file 'zero22\.json'\n.*'zero2\.json'"):
        train(small_config(tmp_path, "training.deepspeed=zero22.json"), dry_run=True)
