"""Export: a whole model from a run, with its card; from trained parts or whole ones; nothing is written over."""

import json

import pytest
import torch
from safetensors.torch import load_file
from toy import small_config, write_toy

from llava_corr.cli import main
from llava_corr.datasets.collate import Collator
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import load_model, load_processor
from llava_corr.training.model import build_model
from llava_corr.training.sft import train

PAPER = ("training.lora={rank: 4, alpha: 8, dropout: 0, token_rows: ['[SEG]']}", "training.max_steps=2",
         "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]",
         "training.batch_size=2", "training.gradient_accumulation=1", "training.learning_rate=0.01")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder with base/ and a run of trained parts, samples)."""
    folder = tmp_path_factory.mktemp("export")
    samples = write_toy(folder, 4)
    parts, processor = build_model(small_config(folder), samples)
    parts.model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    train(small_config(folder, *PAPER, f"model.weights={folder / 'base'}", "name=parts"))
    return folder, samples


def states(model, processor, samples):
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    with torch.no_grad():
        return model(**batch).hidden_states


def test_the_folder_is_the_merged_model(place, tmp_path, capsys):
    folder, _ = place
    run, out = folder / "runs" / "parts", tmp_path / "whole"
    assert main(["export", "--run", str(run), "--out", str(out)]) == 0
    assert {p.name for p in out.iterdir()} >= {"config.json", "model.safetensors", "README.md", "tokenizer.json"}
    assert not (out / "trained.json").exists()
    merged, again = load_model(run / "model").state_dict(), load_model(out).state_dict()
    assert merged.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in merged.items())
    start = load_model(folder / "base").state_dict()
    assert not torch.equal(start["trunk.model.layers.0.self_attn.q_proj.weight"],
                           again["trunk.model.layers.0.self_attn.q_proj.weight"])  # fmt: skip
    assert Predictor.from_pretrained(out).processor.tokens_per_image == 4
    assert str(folder) not in "".join(p.read_text() for p in out.glob("*.json"))


def test_half_precision_is_that_of_the_same_weights(place, tmp_path):
    folder, samples = place
    out = tmp_path / "half"
    main(["export", "--run", str(folder / "runs" / "parts"), "--out", str(out), "--dtype", "bfloat16"])
    held = load_file(out / "model.safetensors")
    assert {v.dtype for v in held.values() if v.is_floating_point()} == {torch.bfloat16}
    processor = load_processor(out)
    ours, theirs = (states(load_model(p), processor, samples) for p in (folder / "runs" / "parts" / "model", out))
    assert torch.allclose(ours, theirs, atol=0.1)
    assert not torch.equal(ours, theirs)


def test_the_card_says_what_it_is(place, tmp_path):
    folder, _ = place
    scores = tmp_path / "scores.json"
    score = {"name": "mIoU", "value": 0.25, "interval": [0.2, 0.3], "n": 4, "convention": "c"}
    scores.write_text(json.dumps({
        "schema_version": 1, "name": "toy", "truth": "t", "samples": {"path": "/x/test.jsonl"},
        "predictions": {"path": "p"}, "columns": {"common_parts": {"mIoU": score}},
        "metrics": {"mIoU": {"direction": 1, "percent": True}},
    }))  # fmt: skip
    out = tmp_path / "whole"
    main(["export", "--run", str(folder / "runs" / "parts"), "--out", str(out), "--scores", str(scores)])
    card = (out / "README.md").read_text()
    for words in (
        "library_name: transformers", "# parts", "instructblip_vision_model, 2 layers of width 32", "dinov2",
        "before layers 1 and 2", "LoRA of rank 4 on q_proj, v_proj", "adaptation", "export", "fingerprint",
        json.loads((folder / "runs" / "parts" / "run.json").read_text())["commit"], "2 of 2 dialogues",
        "| common parts | 25.0 [20.0, 30.0] |", "on test.jsonl",
    ):  # fmt: skip
        assert words in card, words
    assert str(folder.parent) not in card


def test_a_base_that_was_moved_is_named(place, tmp_path, capsys):
    folder, _ = place
    run, moved = folder / "runs" / "parts", tmp_path / "elsewhere"
    (folder / "base").rename(moved)
    try:
        assert main(["export", "--run", str(run), "--out", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists()
        assert main(["export", "--run", str(run), "--out", str(tmp_path / "out"), "--base", str(moved)]) == 0
    finally:
        moved.rename(folder / "base")


def test_a_run_that_is_whole_already(place, tmp_path):
    folder, _ = place
    run = train(small_config(folder, *PAPER, "name=whole"))
    assert main(["export", "--run", str(run), "--out", str(tmp_path / "out")]) == 0
    again = load_model(tmp_path / "out").state_dict()
    assert all(torch.equal(v, again[n]) for n, v in load_model(run / "model").state_dict().items())
    assert "none: from scratch" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--run", "nowhere", "--out", "out"], "no finished run"),
        (["--run", "{run}", "--out", "{full}"], "not empty"),
        (["--run", "{run}", "--out", "out", "--scores", "nothing.json"], "nothing.json"),
        (["--run", "{run}", "--out", "out", "--base", "{full}"], "no model can be"),
    ],
)
def test_errors_leave_nothing_behind(place, tmp_path, monkeypatch, capsys, words, fault):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    named = {"run": place[0] / "runs" / "parts", "full": tmp_path / "full"}
    assert main(["export", *(w.format(**named) for w in words)]) == 2
    assert fault in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["full"]
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
