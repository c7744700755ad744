"""What is trained: exactly the named parts and the adapter; written without the frozen rest, put back strictly."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from toy import small_config, write_toy

from llava_corr.datasets.collate import Collator
from llava_corr.errors import CheckpointError, ConfigError
from llava_corr.models.adapters import lora_pattern
from llava_corr.models.checkpoints.model_folder import identify, load_model
from llava_corr.training.model import build_model, save_release
from llava_corr.training.sft import train

PAPER = ("training.lora={rank: 4, alpha: 8, dropout: 0}",
         "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]")  # fmt: skip


@pytest.fixture
def samples(tmp_path):
    return write_toy(tmp_path, 6)


@pytest.fixture
def base(tmp_path, samples):
    """A whole model folder to start from."""
    parts, processor = build_model(small_config(tmp_path), samples)
    parts.model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def step(model, processor, samples, lr=0.1):
    """One plain step of what is trained."""
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    model(**batch).loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= lr * p.grad
                p.grad = None


def test_exactly_the_papers_parts_are_trained(tmp_path, samples):
    parts, _ = build_model(small_config(tmp_path, *PAPER), samples)
    names = parts.names()
    model = parts.model
    assert sum("lora_" in n for n in names) == model.config.text_config.num_hidden_layers * 2 * 2
    assert all(".self_attn.q_proj.lora" in n or ".self_attn.v_proj.lora" in n for n in names if "lora_" in n)
    rest = {n for n in names if "lora_" not in n}
    whole = ("correspondence.attention.", "adaptation.", "grounding.sam.mask_decoder.")
    expected = {n for n, _ in model.named_parameters() if n.startswith(whole)}
    assert rest == expected
    model.train()
    assert model.training
    assert not model.visual_tokens.training
    assert not model.correspondence.semantic_model.training
    assert model.adaptation.training


def test_gradients_reach_what_is_trained_and_nothing_else(tmp_path, samples):
    parts, processor = build_model(small_config(tmp_path, *PAPER), samples)
    for _ in range(2):
        step(parts.model, processor, samples)  # after two steps nothing stands at zero any more
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    parts.model(**batch).loss.backward()
    grads = {n: p.grad for n, p in parts.model.named_parameters()}
    trained = set(parts.names())
    assert {n for n, g in grads.items() if g is not None} == trained
    assert all(grads[n].any() for n in trained if "lora_" in n or n.startswith("adaptation"))


def test_names_alone_do_not_catch_other_projections(tmp_path, samples):
    """SAM's and CLIP's attention have a q_proj, too."""
    import re

    model, _ = build_model(small_config(tmp_path), samples)
    names = [n.removesuffix(".weight") for n, _ in model.model.named_parameters()]
    assert any(re.search("q_proj$", n) for n in names if n.startswith("grounding"))
    matched = [n for n in names if re.fullmatch(lora_pattern(["q_proj", "v_proj"]), n)]
    assert len(matched) == 6
    assert all(n.startswith("trunk.") for n in matched)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("training.trainable=[adaptatoin]",), "did you mean 'adaptation'"),
        (("training.trainable=[]", "training.lora=null"), "nothing is left to train"),
        (("training.trainable=[all]", "training.lora={}"), "lora as well"),
        (("training.trainable=[grounding.sam.prompt_encoder.mask_embed]",), "nothing is left to train"),
        (
            ("training.trainable=[seg_projection]", "training.losses.mask=0", "training.losses.dice=0"),
            "nothing is left",
        ),
        (("training.trainable=[]", "training.lora={token_rows: ['<nothing>']}"), "does not know <nothing>"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, samples, overrides, reason):
    with pytest.raises(ConfigError, match=reason):
        build_model(small_config(tmp_path, *overrides), samples)


def test_parts_that_an_ablation_lacks_may_be_named(tmp_path, samples):
    parts, _ = build_model(
        small_config(tmp_path, *PAPER, "model.correspondence=null", "model.adaptation=null"), samples
    )
    assert not any(n.startswith("adaptation") for n in parts.names())


def test_a_release_is_the_base_with_the_trained_parts(tmp_path, samples, base):
    """Merged, it answers like the trained model; the base is untouched, and the folder holds no frozen weight."""
    config = small_config(tmp_path, *PAPER, f"model.weights={base}")
    parts, processor = build_model(config, samples)
    before = identify(base)
    for _ in range(3):
        step(parts.model, processor, samples)
    folder = tmp_path / "release"
    save_release(config, parts, folder, parts.tensors())
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    with torch.no_grad():
        trained = parts.model.eval()(**batch)
        again = load_model(folder)(**batch)
        start = load_model(base)(**batch)
    assert torch.allclose(trained.hidden_states, again.hidden_states, atol=1e-4)
    assert torch.allclose(trained.mask_logits, again.mask_logits, atol=1e-3)
    assert (trained.mask_logits - start.mask_logits).abs().max() > 0.02
    assert identify(base) == before
    held = load_file(folder / "trained.safetensors").keys() | load_file(folder / "adapter_model.safetensors").keys()
    assert not any("base_layer" in n or "vision" in n or "semantic" in n for n in held)


def test_the_adapter_is_pefts_own(tmp_path, samples, base):
    config = small_config(tmp_path, *PAPER, f"model.weights={base}")
    parts, processor = build_model(config, samples)
    step(parts.model, processor, samples)
    folder = tmp_path / "release"
    save_release(config, parts, folder, parts.tensors())
    wrapped = PeftModel.from_pretrained(load_model(base), str(folder))
    ours = {n: p for n, p in parts.model.named_parameters() if "lora_" in n}
    theirs = {n.removeprefix("base_model.model."): p for n, p in wrapped.named_parameters() if "lora_" in n}
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)


ADAPTERS = ("rank: 2, alpha: 4, dropout: 0", "targets: []")  # rows beside LoRA, and rows alone


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_rows_of_special_tokens_are_trained_and_come_back(tmp_path, samples, base, adapter):
    rows = f"training.lora={{{adapter}, token_rows: ['[SEG]', '<p>', '</p>']}}"
    config = small_config(tmp_path, f"model.weights={base}", rows, "training.trainable=[seg_projection]")
    parts, processor = build_model(config, samples)
    ids = processor.tokenizer.convert_tokens_to_ids(["[SEG]", "<p>", "</p>"])
    width = parts.model.config.hidden_size
    deltas = [p for n, p in parts.model.named_parameters() if "trainable_tokens_delta" in n]
    assert [tuple(d.shape) for d in deltas] == [(3, width), (3, width)]
    assert all(d.requires_grad for d in deltas)
    assert any(".lora_" in name for name in parts.names()) == ("rank" in adapter)
    for _ in range(2):
        step(parts.model, processor, samples)
    folder = tmp_path / "release"
    save_release(config, parts, folder, parts.tensors())
    start, again = load_model(base).trunk, load_model(folder).trunk
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        moved = (start.get_parameter(name) - again.get_parameter(name)).abs().amax(1) > 0
        assert moved.nonzero()[:, 0].tolist() == sorted(ids)
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    with torch.no_grad():
        ours, theirs = parts.model.eval()(**batch), load_model(folder)(**batch)
    assert ours.loss_sums[0].item() == pytest.approx(theirs.loss_sums[0].item(), rel=1e-4)


def test_a_base_with_other_weights_is_refused(tmp_path, samples, base):
    config = small_config(tmp_path, *PAPER, f"model.weights={base}")
    parts, _ = build_model(config, samples)
    folder = tmp_path / "release"
    save_release(config, parts, folder, parts.tensors())
    moved = tmp_path / "moved"
    base.rename(moved)
    with pytest.raises(CheckpointError, match="base of these trained parts is missing") as caught:
        load_model(folder)
    assert str(base) in caught.value.where
    assert "--base" in caught.value.mend
    load_model(folder, base=moved)
    weights = load_file(moved / "model.safetensors")
    weights["seg_projection.layers.0.bias"] += 1
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="other weights"):
        load_model(folder, base=moved)


@pytest.mark.parametrize("fault", ["missing", "left over", "shape", "manifest", "truncated"])
def test_trained_parts_that_do_not_fit_are_named(tmp_path, samples, base, fault):
    config = small_config(tmp_path, *PAPER, f"model.weights={base}")
    parts, _ = build_model(config, samples)
    folder = tmp_path / "checkpoint"
    parts.write(folder)
    tensors = load_file(folder / "trained.safetensors")
    manifest = json.loads((folder / "trained.json").read_text())
    name = "adaptation.1.output.bias"
    if fault == "missing":
        del tensors[name], manifest["tensors"][name]
    elif fault == "left over":
        tensors["stray"] = torch.zeros(2)
        manifest["tensors"]["stray"] = [2]
    elif fault == "shape":
        tensors[name] = torch.zeros(3)
        manifest["tensors"][name] = [3]
    elif fault == "manifest":
        del manifest["tensors"][name]
    save_file(tensors, folder / "trained.safetensors")
    (folder / "trained.json").write_text(json.dumps(manifest))
    if fault == "truncated":
        path = folder / "trained.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    words = {"missing": name, "left over": "stray", "shape": name, "manifest": "disagree", "truncated": "unreadable"}
    with pytest.raises(CheckpointError, match=words[fault]):
        parts.read(folder)


def test_lora_training_from_weights_and_from_none(tmp_path, samples, base):
    """A run folder's model answers whichever way it was written: parts beside a base, or merged whole."""
    steps = ("training.max_steps=3", "training.batch_size=2", "training.gradient_accumulation=1")
    beside = train(small_config(tmp_path, *PAPER, *steps, f"model.weights={base}", "name=beside"))
    whole = train(small_config(tmp_path, *PAPER, *steps, "name=whole"))
    assert not (beside / "model" / "model.safetensors").exists()
    assert (whole / "model" / "model.safetensors").is_file()
    assert not (whole / "model" / "trained.json").exists()
    # the base is what the second run started from, too: same seed, same fresh weights, same steps
    one, other = load_model(beside / "model").state_dict(), load_model(whole / "model").state_dict()
    assert one.keys() == other.keys()
    assert all(torch.allclose(v, other[n], atol=1e-5) for n, v in one.items())
    held = load_file(beside / "checkpoints" / "checkpoint-3" / "trained.safetensors")
    assert not any(n.startswith(("visual_tokens", "correspondence.semantic", "trunk.model.embed")) for n in held)


def test_frozen_weights_in_half_precision(tmp_path, samples, base):
    config = small_config(tmp_path, *PAPER, f"model.weights={base}", "model.frozen_dtype=bfloat16",
                          "training.bf16=true", "training.max_steps=2", "training.batch_size=2",
                          "training.gradient_accumulation=1")  # fmt: skip
    parts, _ = build_model(config, samples)
    kinds = {(p.requires_grad, p.dtype) for p in parts.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    folder = train(config)
    assert load_model(folder / "model").dtype == torch.float32


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_training_in_half_precision_starts_from_every_bit_of_what_is_trained(tmp_path, samples, base, adapter):
    """Loaded in bfloat16 at once, the model is the one that was loaded whole and then halved; on trained parts, too."""
    rows = (f"training.lora={{{adapter}, token_rows: ['[SEG]']}}",)
    first = small_config(tmp_path, *PAPER, *rows, f"model.weights={base}")
    parts, processor = build_model(first, samples)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in parts.model.parameters():
            if p.requires_grad:
                p.add_(0.05 * torch.randn(p.shape, generator=generator))
    save_release(first, parts, tmp_path / "parts", parts.tensors())
    processor.save_pretrained(tmp_path / "parts")
    for weights in (base, tmp_path / "parts"):
        halved = ("model.frozen_dtype=bfloat16", "training.bf16=true")
        found = build_model(small_config(tmp_path, *PAPER, *rows, *halved, f"model.weights={weights}"), samples)[
            0
        ].model
        whole = build_model(small_config(tmp_path, *PAPER, *rows, f"model.weights={weights}"), samples)[0].model
        theirs = dict(whole.named_parameters())
        for name, p in found.named_parameters():
            assert p.dtype == (torch.float32 if p.requires_grad else torch.bfloat16), name
            drawn = ".lora_A." in name  # by PEFT, in the number format of the layer it is for
            assert torch.allclose(p, theirs[name].to(p.dtype), rtol=0.01 if drawn else 0, atol=0), name
        buffers = dict(whole.named_buffers())
        assert all(torch.equal(v, buffers[n]) and v.dtype == buffers[n].dtype for n, v in found.named_buffers())


def test_an_adapter_of_other_shapes_is_named(tmp_path, samples, base):
    config = small_config(tmp_path, *PAPER, f"model.weights={base}")
    parts, _ = build_model(config, samples)
    save_release(config, parts, tmp_path / "release", parts.tensors())
    file = tmp_path / "release" / "adapter_model.safetensors"
    tensors = {name: value[..., :-1].contiguous() for name, value in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="adapter and base do not fit"):
        load_model(tmp_path / "release")
