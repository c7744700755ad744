"""A trunk in 4 bits: only its linears, adapters and parts train on top, what was trained fits the base either way."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file
from toy import small_config, write_toy
from training_runs import comparable

from llava_corr.datasets.collate import Collator
from llava_corr.errors import ConfigError
from llava_corr.models.checkpoints.model_folder import load_config, load_model
from llava_corr.training.model import build_model
from llava_corr.training.sft import train

bnb = pytest.importorskip("bitsandbytes")

TRUNK = ("model.trunk={hidden_size: 64, intermediate_size: 128, num_hidden_layers: 3, num_attention_heads: 2, "
         "max_position_embeddings: 256}")  # fmt: skip
PAPER = (TRUNK, "training.lora={rank: 4, alpha: 8, dropout: 0}", "training.batch_size=2",
         "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]",
         "training.gradient_accumulation=1", "training.learning_rate=0.01")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder, samples, base model folder)."""
    folder = tmp_path_factory.mktemp("four_bits")
    samples = write_toy(folder, 6)
    parts, processor = build_model(small_config(folder, TRUNK), samples)
    parts.model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    return folder, samples, folder / "base"


def config(place, *overrides):
    folder, _, base = place
    return small_config(folder, *PAPER, f"model.weights={base}", "model.quantise_trunk=true", *overrides)


@pytest.fixture(scope="module")
def run(place):
    """A run of three steps."""
    return train(config(place, "training.max_steps=3", "name=whole"))


def batch_of(place, processor):
    batch = Collator(processor)(place[1][:3])
    batch.pop("sample_ids")
    return batch


def quantised(model):
    return {name for name, module in model.named_modules() if isinstance(module, bnb.nn.Linear4bit)}


def test_only_the_trunks_linears_are_in_4_bits(place):
    found = quantised(load_model(place[2], quantise_trunk=True))
    kinds = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
    assert found == {f"trunk.model.layers.{n}.{kind}" for n in range(3) for kind in kinds}
    assert not any(p.quant_type != "nf4" for p in load_model(place[2], quantise_trunk=True).parameters()
                   if hasattr(p, "quant_type"))  # fmt: skip


@torch.no_grad()
def test_4_bits_are_near_to_the_model(place):
    _, processor = build_model(config(place), place[1])
    batch = batch_of(place, processor)
    whole, small = (load_model(place[2], quantise_trunk=q)(**batch).hidden_states for q in (False, True))
    seen = batch["attention_mask"].bool()
    away = (small - whole)[seen].norm() / whole[seen].norm()
    assert 0 < away < 0.5  # narrow layers of noise: a wide, trained layer loses less


def test_gradients_reach_the_adapter_and_the_parts_only(place):
    parts, processor = build_model(config(place), place[1])
    model = parts.model
    assert quantised(model) >= {f"trunk.model.layers.{n}.self_attn.q_proj.base_layer" for n in range(3)}
    before = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    batch = batch_of(place, processor)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model.eval()
        with torch.no_grad():
            model(**batch)  # a validation in between: no layer below may lose its gradient by it
        model.train()
        optimiser.zero_grad()
        model(**batch).loss.backward()
        optimiser.step()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert grads.keys() == set(parts.names())
    assert all(g.any() for n, g in grads.items() if "lora_" in n)
    assert sum("lora_" in n for n in grads) == 3 * 2 * 2
    after = dict(model.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_what_was_trained_goes_onto_a_base_in_fp32_or_in_4_bits(place, run):
    folder = run / "model"
    assert not (folder / "model.safetensors").exists()
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    load_config(folder)
    facts = json.loads((run / "run.json").read_text())
    whole_model = sum(p.numel() for p in load_model(place[2]).parameters())
    assert facts["parameters"] == whole_model + sum(v.numel() for v in load_file(
        folder / "adapter_model.safetensors").values())  # fmt: skip
    adapter, base = load_file(folder / "adapter_model.safetensors"), load_file(place[2] / "model.safetensors")
    whole = load_model(folder).state_dict()
    name = "trunk.model.layers.1.self_attn.v_proj"
    low = {x: adapter[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB"}
    assert low["B"].any()
    assert torch.allclose(whole[f"{name}.weight"], base[f"{name}.weight"] + 2 * low["B"] @ low["A"], atol=1e-6)
    again = load_model(folder, quantise_trunk=True)
    assert not again.training
    parts, processor = build_model(config(place), place[1])
    parts.read(run / "checkpoints" / "checkpoint-3")
    with torch.no_grad():
        ours, theirs = parts.model.eval()(**batch_of(place, processor)), again(**batch_of(place, processor))
    assert torch.allclose(ours.hidden_states, theirs.hidden_states, atol=1e-5)
    assert torch.allclose(ours.mask_logits, theirs.mask_logits, atol=1e-5)


def test_a_run_that_was_cut_off_continues_as_if_it_had_not_been(place, run):
    two = config(place, "training.max_steps=3", "training.save_steps=2", "training.logging_steps=1", "name=again")
    again = train(two)
    shutil.rmtree(again / "checkpoints" / "checkpoint-3")
    shutil.rmtree(again / "model")
    facts = json.loads((again / "run.json").read_text())
    facts.pop("steps")
    (again / "run.json").write_text(json.dumps(facts))
    train(two)
    for name in ("adapter_model.safetensors", "trained.safetensors"):
        one, other = load_file(run / "model" / name), load_file(again / "model" / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(v, other[n]) for n, v in one.items())
    assert [row["step"] for row in comparable(again)] == [1, 2, 3]


def test_parts_train_without_an_adapter(place):
    folder = train(config(place, "training.lora=null", "training.max_steps=1", "name=parts"))
    assert not (folder / "model" / "adapter_config.json").exists()
    assert load_model(folder / "model", quantise_trunk=True)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("model.weights=null",), "needs weights to load"),
        (("training.lora=null", "training.trainable=[all]"), "4 bits"),
    ],
)
def test_what_4_bits_cannot_do_is_refused(place, overrides, reason):
    with pytest.raises(ConfigError) as caught:
        build_model(config(place, *overrides), place[1])
    assert reason in str(caught.value)


def test_a_missing_bitsandbytes_is_named(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match=r"llava-corr\[quant\]"):
        load_model(place[2], quantise_trunk=True)
