"""Imported CoLVAs give what the released weights give, by arithmetic written out under their own names."""

import json

import foreign_colva
import pytest
import reference_colva as reference
import tiny_colva
import torch
import torch.nn.functional as F
from peft import PeftModel
from tiny_colva import QWEN, SIZES, places, run_import, write_json
from transformers import AutoModel, AutoModelForImageTextToText, Qwen2VLForConditionalGeneration

from llava_corr.models.checkpoints.colva import INERT
from llava_corr.models.checkpoints.colva_folder import load_colva
from llava_corr.models.checkpoints.internvl import read_internvl
from llava_corr.models.checkpoints.tensor_files import open_tensors

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def released(place):
    files = open_tensors(place)
    return reference.Named({name: files.tensor(name) for name in files})


@pytest.fixture(scope="module")
def export(colva_releases, tmp_path_factory):
    out = tmp_path_factory.mktemp("colva") / "4b"
    assert run_import(out, f"colva={colva_releases / 'export'}") == 0
    return load_colva(out)


@torch.no_grad()
@pytest.mark.parametrize("layer", [-1, -2])
def test_pictures(export, colva_releases, layer):
    """InternViT, its four neighbours in one token, and the projector."""
    pixels = draw(3, 3, SIZES.image, SIZES.image)
    t = released(colva_releases / "export")
    states = reference.internvit(t, pixels, SIZES.vision_layers, SIZES.vision_heads, SIZES.vision_patch)
    found = export.trunk.model.get_image_features(pixels, vision_feature_layer=layer).pooler_output
    assert torch.allclose(found.flatten(0, -2), reference.project(t, states[layer]).flatten(0, -2), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("length", [9, 4099])
def test_words(export, colva_releases, length):
    """Phi-3's logits, within the length it was first trained for and beyond."""
    ids = torch.randint(3, 300, (1, length), generator=torch.Generator().manual_seed(1))
    config = json.loads((colva_releases / "export" / "config.json").read_text())["llm_config"]
    expected = reference.phi3(released(colva_releases / "export"), ids, config)
    found = export.trunk(input_ids=ids).logits
    assert torch.allclose(found[:, :9], expected[:, :9], **CLOSE)
    assert (found - expected).abs().mean() < 1e-3  # angles of thousands are rounded; wrong factors would give 2


@torch.no_grad()
def test_pictures_among_words(export, colva_releases):
    """The image token's positions are filled in order: as if words had these embeddings."""
    image = export.notes["image_token_id"]
    ids = torch.tensor([[1, 50, *[image] * 4, 60, *[image] * 4, 70]])
    pixels = draw(2, 3, SIZES.image, SIZES.image)
    t = released(colva_releases / "export")
    tokens = reference.project(t, reference.internvit(t, pixels, 2, SIZES.vision_heads, SIZES.vision_patch)[-1])
    rows = torch.cat([t["language_model.model.embed_tokens.weight"], tokens.flatten(0, 1)])
    places_ = ids.clone()
    places_[ids == image] = torch.arange(8) + SIZES.rows
    spliced = reference.Named(t.tensors | {"language_model.model.embed_tokens.weight": rows})
    config = foreign_colva.internvl2_config(SIZES)["llm_config"]
    found = export.trunk(input_ids=ids, pixel_values=pixels).logits
    assert torch.allclose(found, reference.phi3(spliced, places_, config), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("grid", [(4, 4), (8, 8), (6, 3), (5, 11)])
def test_objects(export, colva_releases, grid, align_corners):
    """RADIO by both rules for its positions, at its own grid and others, then the adapter."""
    pixels = draw(2, 3, *(SIZES.radio_patch * length for length in grid))
    t = released(colva_releases / "export")
    expected = reference.radio(t / "object_tokenizer", pixels, SIZES.radio_layers, SIZES.radio_heads,
                               SIZES.radio_patch, SIZES.radio_tokens, align_corners)  # fmt: skip
    expert = export.expert
    assert expert.config.align_corners
    if not align_corners:
        expert = AutoModel.from_pretrained(expert.config._name_or_path)  # RadioModel itself
    found = expert(pixels)
    assert torch.allclose(found.features, expected, **CLOSE)
    assert torch.allclose(export.adapter(found.features), reference.adapter(t, expected), **CLOSE)


@torch.no_grad()
def test_the_rule_for_positions_matters(export):
    """And is one with the other where nothing is resized."""
    plain = AutoModel.from_pretrained(export.expert.config._name_or_path)
    same, other = draw(1, 3, 32, 32), draw(1, 3, 16, 16)
    assert torch.allclose(plain(same).features, export.expert(same).features, atol=1e-5)
    assert (plain(other).features - export.expert(other).features).abs().max() > 0.01
    # a batch in which every picture is packed by itself takes the same table
    packed = F.unfold(other, 4, stride=4)[0].T
    found = export.expert(packed, image_grid_hw=torch.tensor([[4, 4]])).features
    assert torch.allclose(found, export.expert(other).features[0], atol=1e-5)


@pytest.mark.parametrize("kind", ["internvl2", "qwen2-vl"])
@torch.no_grad()
def test_lora_merged_and_kept(colva_releases, tmp_path, kind):
    """Both give the same, and each module is W + alpha / r * B A."""
    assert run_import(tmp_path / "merged", *places(colva_releases, kind)) == 0
    assert run_import(tmp_path / "kept", *places(colva_releases, kind), options=["--keep-lora"]) == 0
    merged, kept = load_colva(tmp_path / "merged"), load_colva(tmp_path / "kept")
    assert merged.notes["lora"]["merged"]
    assert not kept.notes["lora"]["merged"]
    ids = torch.randint(3, 250, (2, 11), generator=torch.Generator().manual_seed(2))
    found = merged.trunk(input_ids=ids).logits
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "kept/trunk")
    assert torch.allclose(kept.trunk(input_ids=ids).logits, found, **CLOSE)
    assert (plain(input_ids=ids).logits - found).abs().max() > 0.01
    by_hand = PeftModel.from_pretrained(plain, str(tmp_path / "kept/lora"))
    assert torch.allclose(by_hand(input_ids=ids).logits, found, **CLOSE)
    base, sft = places(colva_releases, kind)[0].split("=")[1], places(colva_releases, kind)[2].split("=")[1]
    below, scale, old = {
        "internvl2": ("model.language_model.base_model.model.model.", 2.0, "language_model.model."),
        "qwen2-vl": ("model.model.base_model.model.", 0.25, "model."),
    }[kind]
    base, sft = open_tensors(base), open_tensors(sft, INERT)
    name = "layers.1.mlp.down_proj"
    a, b = (sft.tensor(f"{below}{name}.lora_{x}.default.weight") for x in "AB")
    weight = base.tensor(f"{old}{name}.weight").float() + scale * (b @ a)
    assert torch.allclose(merged.trunk.get_parameter(f"model.language_model.{name}.weight"), weight, atol=1e-5)


@torch.no_grad()
def test_qwen_s_old_names_and_new(colva_releases, tmp_path):
    """The same model, which is transformers' own of the release plus the LoRA."""
    tiny_colva.write_qwen2_vl(tmp_path / "new", age="new")
    new = [f"qwen2-vl={tmp_path / 'new'}", *places(colva_releases, "qwen2-vl")[1:]]
    assert run_import(tmp_path / "from_old", *places(colva_releases, "qwen2-vl"), options=["--keep-lora"]) == 0
    assert run_import(tmp_path / "from_new", *new, options=["--keep-lora"]) == 0
    one, other = (load_colva(tmp_path / name) for name in ("from_old", "from_new"))
    image = one.notes["image_token_id"]
    inputs = {
        "input_ids": torch.tensor([[10, image - 3, *[image] * 4, image - 2, 20]]),
        "mm_token_type_ids": torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0]]),
        "pixel_values": draw(16, 3 * 2 * 14**2),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
    }
    found = one.trunk(**inputs).logits
    assert torch.equal(found, other.trunk(**inputs).logits)
    with one.trunk.disable_adapter():
        own = Qwen2VLForConditionalGeneration.from_pretrained(colva_releases / "qwen", dtype=torch.float32)
        assert torch.allclose(one.trunk(**inputs).logits, own(**inputs).logits, atol=1e-5)


@torch.no_grad()
def test_output_layer_of_its_own(colva_releases, tmp_path):
    """The 7B's is not tied to the embedding."""
    untied = foreign_colva.QwenSizes(**{**vars(QWEN), "tied": False})
    tiny_colva.write_qwen2_vl(tmp_path / "seven", untied)
    words = [f"qwen2-vl={tmp_path / 'seven'}", *places(colva_releases, "qwen2-vl")[1:]]
    assert run_import(tmp_path / "out", *words) == 0
    trunk = load_colva(tmp_path / "out").trunk
    files = open_tensors(tmp_path / "seven")
    assert torch.equal(trunk.lm_head.weight, files.tensor("lm_head.weight").float())
    assert not torch.equal(trunk.lm_head.weight, trunk.get_input_embeddings().weight)


def test_settings_of_the_language_model(colva_releases, tmp_path):
    """What shapes do not show reaches the configuration."""
    config = read_internvl(colva_releases / "export").config
    text = config.text_config
    assert (text.rope_parameters["rope_type"], text.sliding_window) == ("longrope", 262144)
    assert (text.max_position_embeddings, text.rms_norm_eps, text.tie_word_embeddings) == (131072, 1e-5, False)
    assert (config.tie_word_embeddings, config.image_seq_length, config.vision_config.attention_bias) == (
        False,
        4,
        True,
    )
    plain = foreign_colva.internvl2_config(SIZES)
    plain["llm_config"]["rope_scaling"] = None
    write_json(tmp_path / "config.json", plain)
    assert read_internvl(tmp_path).config.text_config.rope_parameters["rope_type"] == "default"


def test_what_is_absent_is_as_in_the_authors_classes(tmp_path):
    """Their libraries leave out what is as usual."""
    whole = foreign_colva.internvl2_config()
    write_json(tmp_path / "whole" / "config.json", whole)
    text, vision = whole["llm_config"], whole["vision_config"]
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                 "original_max_position_embeddings", "rms_norm_eps", "rope_theta", "hidden_act"):  # fmt: skip
        del text[name]
    for name in ("patch_size", "num_channels", "hidden_act", "layer_norm_eps"):
        del vision[name]
    for name in ("downsample_ratio", "select_layer", "min_dynamic_patch", "force_image_size"):
        del whole[name]
    write_json(tmp_path / "part" / "config.json", whole)
    one, other = (read_internvl(tmp_path / name) for name in ("whole", "part"))
    assert one.config.to_dict() == other.config.to_dict()
    assert one.tiles == other.tiles == (1, 12, True)
