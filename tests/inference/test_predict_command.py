"""The predict command's errors."""

from __future__ import annotations

import argparse

import pytest

from llava_corr.errors import CheckpointError
from llava_corr.inference import command


def arguments(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_model_folder_points_to_its_run(tmp_path):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    words = ("--samples", tmp_path / "s.jsonl", "--out", tmp_path / "p.jsonl")
    with pytest.raises(CheckpointError, match="name a run of training"):
        command.run(arguments("--run", run, *words))
    (run / "config.yaml").write_text("name: x\n")
    with pytest.raises(CheckpointError) as fault:
        command.run(arguments("--run", run / "model", *words))
    assert f"--run {run}" in str(fault.value)
