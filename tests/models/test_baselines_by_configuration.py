"""Multi-Image GLaMM and LISA: the same classes, other switches; against a plain CLIP pass, trained and answering."""

import numpy as np
import pytest
import torch
from toy import small_config, write_toy
from transformers import CLIPImageProcessor

from llava_corr.datasets.collate import Collator
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.training.model import build_model
from llava_corr.training.sft import train

CLIP = "model.vision={kind: clip, image_size: 32, patch_size: 8, feature_layer: -2}"
COMMON = (CLIP, "model.qformer=null", "model.correspondence=null", "model.adaptation=null")
TRAINED = ("training.lora={dropout: 0}", "training.trainable=[trunk.model.embed_tokens, trunk.lm_head, seg_projection, "
           "grounding.sam.mask_decoder]")  # fmt: skip
GLAMM = (*COMMON, *TRAINED, "model.projection=mlp")
LISA = (*COMMON, *TRAINED, "model.projection=linear")


def run(model, batch):
    return model(**{k: v for k, v in batch.items() if k != "sample_ids"})


@torch.no_grad()
@pytest.mark.parametrize("layer", [-1, -2, -3])
def test_patches_are_those_of_the_wanted_layer(tmp_path, layer):
    vision = CLIP.replace("feature_layer: -2", f"num_hidden_layers: 2, feature_layer: {layer}")
    parts, _ = build_model(small_config(tmp_path, *GLAMM, vision), write_toy(tmp_path, 1))
    tokens = parts.model.visual_tokens.eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    hidden = tokens.vision_model(pixels, output_hidden_states=True).hidden_states
    assert torch.equal(tokens.look(pixels), hidden[layer])
    assert not any(module._forward_pre_hooks for module in tokens.vision_model.modules())


def test_the_norm_of_clips_pooled_output_is_never_trained(tmp_path):
    samples = write_toy(tmp_path, 4)
    last = CLIP.replace("feature_layer: -2", "feature_layer: -1")
    overrides = (*COMMON, last, "training.lora=null", "training.trainable=[all]")
    parts, processor = build_model(small_config(tmp_path, *overrides), samples)
    run(parts.model.train(), Collator(processor)(samples)).loss.backward()
    assert [n for n, p in parts.model.named_parameters() if p.requires_grad and p.grad is None] == []
    towers = {n for n, p in parts.model.named_parameters() if not p.requires_grad and "vision_model" in n}
    assert towers == {f"visual_tokens.vision_model.post_layernorm.{kind}" for kind in ("weight", "bias")}


@pytest.mark.parametrize(("overrides", "linears"), [(GLAMM, 2), (LISA, 1)], ids=["glamm", "lisa"])
def test_tokens_are_projected_patches_of_the_layer_before_the_last(tmp_path, overrides, linears):
    samples = write_toy(tmp_path, 3)
    parts, processor = build_model(small_config(tmp_path, *overrides), samples)
    model = parts.model.eval()
    projection = model.visual_tokens.projection
    assert sum(isinstance(m, torch.nn.Linear) for m in projection.modules()) == linears
    batch = Collator(processor)(samples)
    with torch.no_grad():
        tokens = model.visual_tokens(model.look(batch["pixel_values"]))
        mean = torch.tensor(processor.image_processor.image_mean).view(3, 1, 1)
        std = torch.tensor(processor.image_processor.image_std).view(3, 1, 1)
        normal = (batch["pixel_values"] / 255 - mean) / std
        hidden = model.visual_tokens.vision_model(normal, output_hidden_states=True).hidden_states
    layers = len(model.visual_tokens.vision_model.encoder.layers)
    assert len(hidden) == layers + 1
    assert torch.allclose(tokens, projection(hidden[layers - 1][:, 1:]), atol=1e-5)
    assert processor.tokens_per_image == tokens.shape[1] == 16


def test_every_trained_parameter_of_a_baseline_gets_a_gradient(tmp_path):
    samples = write_toy(tmp_path, 4)
    parts, processor = build_model(small_config(tmp_path, *GLAMM), samples)
    run(parts.model.train(), Collator(processor)(samples)).loss.backward()
    assert [n for n, p in parts.model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert [n for n, p in parts.model.named_parameters() if not p.requires_grad and p.grad is not None] == []


def test_a_trained_clip_tower_leaves_out_what_its_layer_does_not_reach(tmp_path):
    samples = write_toy(tmp_path, 4)
    overrides = (*COMMON, "training.lora=null", "training.trainable=[all]")
    parts, processor = build_model(small_config(tmp_path, *overrides), samples)
    run(parts.model.train(), Collator(processor)(samples)).loss.backward()
    assert [n for n, p in parts.model.named_parameters() if p.requires_grad and p.grad is None] == []
    frozen = {n for n, p in parts.model.named_parameters() if not p.requires_grad}
    last = len(parts.model.visual_tokens.vision_model.encoder.layers) - 1
    assert any(n.startswith(f"visual_tokens.vision_model.encoder.layers.{last}.") for n in frozen)
    assert "visual_tokens.vision_model.post_layernorm.weight" in frozen


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (33, 90)])
def test_clip_sees_the_centre_of_the_picture(tmp_path, size):
    """Short side to the tower's, then the middle (facts 1.4), against the library's own processor."""
    _, processor = build_model(small_config(tmp_path, *GLAMM), write_toy(tmp_path, 2))
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    ours = processor._vision([picture])["pixel_values"][0].numpy()
    settings = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    reference = CLIPImageProcessor(**settings, do_rescale=False, do_normalize=False)(picture, return_tensors="np")
    assert np.abs(ours.astype(int) - reference["pixel_values"][0]).max() <= 1


def test_it_trains_is_written_and_answers(tmp_path):
    samples = write_toy(tmp_path, 4)
    steps = ("training.max_steps=2", "training.batch_size=2", "training.gradient_accumulation=1")
    folder = train(small_config(tmp_path, *LISA, *steps))
    model = load_model(folder / "model")
    assert model.config.vision_config.model_type == "clip_vision_model"
    predictions = list(Predictor.from_pretrained(folder / "model", max_new_tokens=5).predict(samples, progress=False))
    assert [p.sample_id for p in predictions] == [s.id for s in samples]
