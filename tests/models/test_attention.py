"""The chosen attention reaches every part; flash attention goes where it is offered, and is refused in time."""

import json

import pytest
from toy import small_config, write_toy

from llava_corr.errors import ConfigError
from llava_corr.models import attention
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.training.model import build_model, start_model

VOCABULARY = Vocabulary(400, bos=1, eos=2, pad=0, image=5, seg=6)
PARTS = ("visual_tokens.vision_model", "visual_tokens.qformer", "correspondence.semantic_model", "trunk",
         "grounding.sam", "grounding.sam.mask_decoder.transformer.layers.0.self_attn")  # fmt: skip


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_every_part_runs_the_chosen_attention(tmp_path, kind):
    samples = write_toy(tmp_path, 2)
    parts, processor = build_model(small_config(tmp_path, f"model.attention={kind}"), samples)
    parts.model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    config = small_config(tmp_path, f"model.attention={kind}", f"model.weights={tmp_path / 'base'}")
    for model in (parts.model, build_model(config, samples)[0].model):
        found = {n: m.config._attn_implementation for n, m in model.named_modules() if hasattr(m, "config")}
        assert set(found) >= set(PARTS)
        assert set(found.values()) == {kind}
        classes = {type(layer.attn).__name__ for layer in model.grounding.sam.vision_encoder.layers}
        assert classes == {"SamVisionSdpaAttention" if kind == "sdpa" else "SamVisionAttention"}
    assert "attn_implementation" not in json.dumps(json.loads((tmp_path / "base" / "config.json").read_text()))


def test_flash_attention_without_its_package_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    section = small_config(tmp_path, "model.attention=flash_attention_2", "model.weights=nowhere").model
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"(?s)flash-attn package.*model\.attention.*llava-corr\[gpu\]"):
        build_config(section, VOCABULARY)
    plain = build_config(small_config(tmp_path).model, VOCABULARY)
    with pytest.raises(ConfigError, match="flash-attn package"):
        start_model(section, plain)
    monkeypatch.setattr(attention, "find_spec", lambda _: True)
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: False)
    with pytest.raises(ConfigError, match="needs a GPU"):
        build_config(section, VOCABULARY)


def test_flash_attention_goes_to_the_parts_that_offer_it(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "find_spec", lambda _: True)
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: True)
    config = build_config(small_config(tmp_path, "model.attention=flash_attention_2").model, VOCABULARY)
    kinds = {name: getattr(config, name)._attn_implementation for name in config.sub_configs}
    assert kinds.pop("grounding_config") == "sdpa"
    assert set(kinds.values()) == {"flash_attention_2"}
    sam = config.grounding_config
    assert {sam.vision_config._attn_implementation, sam.mask_decoder_config._attn_implementation} == {"sdpa"}
    bare = small_config(
        tmp_path, "model.attention=flash_attention_2", "model.correspondence=null", "model.adaptation=null",
        "model.qformer=null",
    )  # fmt: skip
    assert build_config(bare.model, VOCABULARY).text_config._attn_implementation == "flash_attention_2"
