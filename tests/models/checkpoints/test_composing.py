"""Tiny releases in their real layouts make one model: every weight where it belongs, what is new at its start."""

import pytest
import torch
from safetensors.torch import save_file
from tiny_releases import releases, towers
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.composing import Release, compose
from llava_corr.models.checkpoints.lavis import eva_layout
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.models.checkpoints.segment_anything import LAYOUT as SAM_LAYOUT
from llava_corr.models.checkpoints.tensor_files import open_tensors
from llava_corr.models.checkpoints.towers import load_semantic


def test_calico_from_its_releases(released, config):
    model, plans = compose(config, releases(released, config), towers(released, config))
    assert [plan.title for plan in plans] == ["GLaMM", "InstructBLIP's Q-Former (LAVIS)", "EVA-CLIP-g (LAVIS)"]
    state, glamm = model.state_dict(), open_tensors(released / "glamm")
    qformer, eva = (open_tensors(released / name) for name in ("instruct_blip.pth", "eva_vit_g.pth"))
    for ours, files, theirs in (
        ("trunk.lm_head.weight", glamm, "lm_head.weight"),
        ("trunk.model.layers.2.mlp.down_proj.weight", glamm, "model.layers.2.mlp.down_proj.weight"),
        ("seg_projection.layers.2.bias", glamm, "model.text_hidden_fcs.0.2.bias"),
        ("grounding.sam.vision_encoder.layers.1.attn.rel_pos_w", glamm,
         "model.grounding_encoder.image_encoder.blocks.1.attn.rel_pos_w"),
        ("grounding.sam.mask_decoder.output_hypernetworks_mlps.3.layers.0.weight", glamm,
         "model.grounding_encoder.mask_decoder.output_hypernetworks_mlps.3.layers.1.weight"),
        ("visual_tokens.projection.weight", qformer, "llm_proj.weight"),
        ("visual_tokens.vision_model.post_layernorm.bias", qformer, "ln_vision.bias"),
        ("visual_tokens.qformer.encoder.layer.0.crossattention.attention.key.weight", qformer,
         "Qformer.bert.encoder.layer.0.crossattention.self.key.weight"),
        ("visual_tokens.qformer.encoder.layer.1.output_query.LayerNorm.weight", qformer,
         "Qformer.bert.encoder.layer.1.output_query.LayerNorm.weight"),
        ("visual_tokens.vision_model.encoder.layers.1.layer_norm2.weight", eva, "blocks.1.norm2.weight"),
    ):  # fmt: skip
        assert torch.equal(state[ours], files.tensor(theirs).float()), ours
    bias = state["visual_tokens.vision_model.encoder.layers.0.self_attn.qkv.bias"]
    parts = (eva.tensor("blocks.0.attn.q_bias"), torch.zeros(32), eva.tensor("blocks.0.attn.v_bias"))
    assert torch.equal(bias, torch.cat([part.float() for part in parts]))
    code = glamm.tensor("model.grounding_encoder.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix")
    assert torch.equal(state["grounding.sam.shared_image_embedding.positional_embedding"], code)
    assert torch.equal(state["grounding.sam.prompt_encoder.shared_embedding.positional_embedding"], code)


def test_what_is_new_starts_at_zero(released, config):
    model, _ = compose(config, releases(released, config), towers(released, config))
    assert not any(parameter.is_meta for parameter in model.parameters())
    attention = model.correspondence.attention
    assert not attention.out_proj.weight.any()
    assert not attention.in_proj_bias.any()
    assert 0.01 < attention.q_proj_weight.std() < 1
    for cam in model.adaptation.values():
        assert not any(parameter.any() for parameter in cam.parameters())
    assert all(not module.training for module in model.modules())


def test_number_format_and_own_memory(released, config):
    """Weights are copies: the files may go."""
    dtype = torch.bfloat16
    model, _ = compose(config, releases(released, config), towers(released, config, dtype), dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    own = {parameter.untyped_storage().nbytes() == parameter.nbytes for parameter in model.trunk.parameters()}
    assert own == {True}


def test_it_is_saved_and_loaded_again(released, config, tmp_path):
    model, _ = compose(config, releases(released, config), towers(released, config))
    model.save_pretrained(tmp_path / "whole")
    again = load_model(tmp_path / "whole")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    buffers, others = dict(model.named_buffers()), dict(again.named_buffers())
    assert buffers.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in buffers.items())  # the computed ones, too


def test_a_part_from_two_releases_or_none(released, config):
    two = [*releases(released, config), Release(SAM_LAYOUT, open_tensors(released / "sam.pth"))]
    with pytest.raises(CheckpointError, match=r"grounding.sam comes from GLaMM and segment-anything"):
        compose(config, two, towers(released, config))
    with pytest.raises(CheckpointError, match=r"visual_tokens.vision_model comes from nowhere"):
        compose(config, releases(released, config)[:2], towers(released, config))
    with pytest.raises(CheckpointError, match=r"correspondence.semantic_model comes from nowhere"):
        compose(config, releases(released, config))


def test_numbers_that_are_not_finite_are_refused(released, config, tmp_path):
    tensors = dict(torch.load(released / "eva_vit_g.pth"))
    tensors["blocks.1.mlp.fc1.weight"][3, 4] = float("inf")
    save_file(tensors, tmp_path / "eva.safetensors")
    given = [*releases(released, config)[:2], Release(eva_layout(2), open_tensors(tmp_path / "eva.safetensors"))]
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mlp\.fc1\.weight .* not finite"):
        compose(config, given, towers(released, config))


def test_numbers_of_a_tower_are_looked_at_too(released, config):
    broken = towers(released, config)
    broken["correspondence.semantic_model"].layernorm.weight.data[3] = float("nan")
    with pytest.raises(CheckpointError, match=r"semantic_model\.layernorm\.weight holds numbers that are not finite"):
        compose(config, releases(released, config), broken)


@pytest.mark.parametrize(
    ("change", "words"),
    [("num_attention_heads", "num_attention_heads is 4"), ("layer_norm_eps", "layer_norm_eps is 0.1"),
     ("num_hidden_layers", "unexpected"), ("model_type", "type 'clip_vision_model'")],
)  # fmt: skip
def test_a_tower_of_another_kind(released, config, tmp_path, change, words):
    values = {"num_attention_heads": 4, "layer_norm_eps": 0.1, "num_hidden_layers": 2}
    if change == "model_type":
        small = CLIPVisionConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
        CLIPVisionModel(small).save_pretrained(tmp_path)
    else:
        Dinov2Model(Dinov2Config(**(config.semantic_config.to_dict() | {change: values[change]}))).save_pretrained(
            tmp_path
        )
    with pytest.raises(CheckpointError, match=words):
        load_semantic(tmp_path, config, torch.float32)
