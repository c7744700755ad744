"""Settings of CoLVA's releases that another model would have, or that make no sense: each is refused by its name."""

import copy
import math
import shutil

import foreign_colva
import pytest
from tiny_colva import QWEN, change, drop, run_import, tensor, words, write_json
from transformers import Qwen2VLConfig

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.foreign_settings import Settings
from llava_corr.models.checkpoints.internvl import read_internvl
from llava_corr.models.checkpoints.qwen2_vl import read_qwen2_vl
from llava_corr.models.checkpoints.radio import radio_config

NAN, INFINITE = math.nan, math.inf


@pytest.fixture
def colva_copy(colva_releases, tmp_path):
    """Folder with the releases, to be spoilt."""
    return shutil.copytree(colva_releases, tmp_path / "copy")


@pytest.fixture
def refused(tmp_path):
    """A function that reads a config.json with one setting changed, and gives the error."""

    def read(reader, values, path, value):
        values = copy.deepcopy(values)
        inner = values
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        write_json(tmp_path / "config.json", values)
        with pytest.raises(CheckpointError) as caught:
            reader(tmp_path)
        return str(caught.value)

    return read


MROPE = {"type": "mrope", "mrope_section": [2, 3, 3]}


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["rope_scaling"], {**MROPE, "type": "yarn", "factor": 4.0}, "type is 'yarn'"),
        (["rope_scaling"], {"type": "linear", "factor": 3.0}, "type is 'linear'"),
        (["rope_scaling"], {**MROPE, "factor": 3.0}, "not understood: factor: 3.0"),
        (["rope_scaling"], {"mrope_section": [2, 3, 3]}, "there is no type"),
        (["rope_scaling"], None, "there are 0, not one"),
        (["rope_scaling", "mrope_section"], [100, 1, 1], "must be 3 numbers that make 8"),
        (["rope_scaling", "mrope_section"], [2, 3, "3"], "must be 3 numbers"),
        (["rope_parameters"], MROPE, "there are 2, not one"),
        (["rope_theta"], 0, "rope_theta is 0.0, and must be above zero"),
        (["rope_theta"], NAN, "rope_theta is nan, and must be finite"),
        (["rms_norm_eps"], "x", "rms_norm_eps is 'x', not of kind float"),
        (["rms_norm_eps"], -1e-6, "must be above zero"),
        (["use_sliding_window"], True, "use_sliding_window is True"),
        (["layer_types"], ["sliding_attention"] * 2, "layer_types"),
        (["hidden_act"], "gelu", "hidden_act is 'gelu'"),
        (["eos_token_id"], 10**6, "eos_token_id is 1000000, and there are 300 rows"),
        (["image_token_id"], -1, "image_token_id is -1"),
        (["quantization_config"], {"quant_method": "gptq", "bits": 4}, "its weights are quantised (gptq)"),
        (["unknown_setting"], 3, "not understood: unknown_setting: 3"),
        (["partial_rotary_factor"], 0.5, "not understood: partial_rotary_factor"),
        (["num_attention_heads"], 5, "there are 5 attention heads"),
        (["num_hidden_layers"], 0, "num_hidden_layers is 0"),
        (["num_hidden_layers"], 10**40, "num_hidden_layers is 1"),
        (["vision_config", "hidden_size"], 48, "hidden_size is 32, and 48 in vision_config"),
        (["vision_config"], None, "the section is missing"),
        (["vision_config", "num_heads"], 3, "there are 3 attention heads"),
        (["vision_config", "hidden_act"], "silu", "hidden_act is 'silu'"),
        (["vision_config", "in_chans"], 1, "in_chans is 1"),
        (["vision_config", "fullatt_block_indexes"], [7], "not understood: fullatt_block_indexes"),
        (["text_config"], {"hidden_size": 48}, "there are 64 attention heads"),
    ],
)
def test_another_qwen(refused, path, value, fault):
    assert fault in refused(read_qwen2_vl, foreign_colva.qwen2_vl_config(QWEN), path, value)


def test_a_qwen_is_as_transformers_reads_it(tmp_path):
    """At full size and tiny, in the form of the release and those written since; attention is not of a model."""
    for sizes in (QWEN, foreign_colva.QwenSizes(), foreign_colva.SEVEN):
        released = foreign_colva.qwen2_vl_config(sizes)
        theirs = Qwen2VLConfig.from_dict(copy.deepcopy(released))
        now = theirs.to_dict() | {"attn_implementation": "flash_attention_2"}
        both = released | {"text_config": now["text_config"]}
        found = []
        ids = {name: released[name] for name in ("image_token_id", "vision_start_token_id", "vision_end_token_id")}
        between = both | {"text_config": now["text_config"] | ids | {"vision_token_id": 151654}}  # 4.52 to 4.57
        for n, form in enumerate((released, now, both, between)):
            write_json(tmp_path / str(n) / "config.json", form)
            found.append(read_qwen2_vl(tmp_path / str(n)).to_dict())
        assert found[0] == found[1] == found[2] == found[3]
        for part, extra in (("text_config", {"dtype"}), ("vision_config", {"in_chans", "spatial_patch_size"})):
            expected = theirs.to_dict()[part]
            expected["rope_parameters"].pop("type", None)
            wanted = {name: value for name, value in expected.items() if name not in extra}
            assert {name: found[0][part][name] for name in wanted} == wanted
        ids = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        for name in (*ids, "tie_word_embeddings"):
            assert found[0][name] == released[name]


def test_both_places_of_a_qwen_s_settings_must_agree(refused):
    released = foreign_colva.qwen2_vl_config(QWEN)
    both = released | {"text_config": Qwen2VLConfig.from_dict(copy.deepcopy(released)).to_dict()["text_config"]}
    assert "at the top and in text_config differ" in refused(read_qwen2_vl, both, ["rms_norm_eps"], 1e-5)


def test_what_transformers_leaves_out_is_as_in_its_class(tmp_path):
    values = foreign_colva.qwen2_vl_config(foreign_colva.SEVEN)
    write_json(tmp_path / "whole" / "config.json", values)
    for name in ("vocab_size", "rope_theta", "hidden_act", "max_position_embeddings", "bos_token_id"):
        del values[name]
    values["vision_config"] = {"model_type": "qwen2_vl", "in_chans": 3, "spatial_patch_size": 14}
    write_json(tmp_path / "part" / "config.json", values)
    assert read_qwen2_vl(tmp_path / "whole").to_dict() == read_qwen2_vl(tmp_path / "part").to_dict()


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["llm_config", "rope_theta"], 0, "rope_theta is 0.0, and must be above zero"),
        (["llm_config", "rope_theta"], -5, "rope_theta is -5.0"),
        (["llm_config", "rope_theta"], NAN, "rope_theta is nan, and must be finite"),
        (["llm_config", "rms_norm_eps"], -1.0, "rms_norm_eps is -1.0"),
        (["llm_config", "rms_norm_eps"], INFINITE, "rms_norm_eps is inf"),
        (["vision_config", "layer_norm_eps"], 0, "layer_norm_eps is 0.0"),
        (["llm_config", "rope_scaling", "short_factor"], [NAN] * 8, "short_factor[0] is nan"),
        (["llm_config", "rope_scaling", "long_factor", 3], "x", "long_factor[3] is 'x'"),
        (["llm_config", "rope_scaling", "long_factor", 3], 0, "long_factor[3] is 0.0"),
        (["llm_config", "original_max_position_embeddings"], 10**7, "original_max_position_embeddings is 10000000"),
        (["llm_config", "sliding_window"], 0, "sliding_window is 0"),
        (["min_dynamic_patch"], 99, "min_dynamic_patch is 99, and max_dynamic_patch 12"),
        (["hidden_size"], 48, "hidden_size is 48, and only 3072 can be expressed"),
        (["quantization_config"], {"quant_method": "awq"}, "its weights are quantised (awq)"),
        (["llm_config", "quantization_config"], {"quant_method": "awq"}, "its weights are quantised (awq)"),
    ],
)
def test_an_internvl_of_no_sense(refused, path, value, fault):
    assert fault in refused(read_internvl, foreign_colva.internvl2_config(), path, value)


def test_an_internvl_by_later_code_of_its_authors(tmp_path):
    """Since October 2024 that also writes the language model's width at the top."""
    values = foreign_colva.internvl2_config()
    for name, form in (("july", values), ("october", values | {"hidden_size": values["llm_config"]["hidden_size"]})):
        write_json(tmp_path / name / "config.json", form)
    july, october = (read_internvl(tmp_path / name).config.to_dict() for name in ("july", "october"))
    assert july == october


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"spectral_reparam": True}, "spectral_reparam is True"),
        ({"damp": 0.1}, "damp is 0.1"),
        ({"cpe_num_registers": 4}, "cpe_num_registers is 4"),
        ({"input_size": [1, 224, 224]}, "in_chans is 1"),
        ({"teachers": []}, "teachers is empty"),
        ({"teachers": [{"use_summary": True}]}, "name is None"),
        ({"register_multiple": -8}, "register_multiple is -8"),
    ],
)
def test_another_radio(more, fault):
    values = foreign_colva.radio_config()
    values["args"] |= more
    with pytest.raises(CheckpointError, match=fault):
        radio_config(Settings(values, "config.json"), align_corners=True)


def test_a_radio_s_teachers():
    """Two of one name share a token; what else its training was given has no effect, nor a rule for absent names."""
    values = foreign_colva.radio_config() | {"rename_gamma_to_weight": True}
    values["args"]["teachers"] += [{"name": "clip", "use_summary": False}]
    values["args"] |= {"batch_size": 64, "loss_of_ours": "cosine", "input_size": [3, 432, 432]}
    config, _ = radio_config(Settings(values, "config.json"), align_corners=True)
    assert (config.num_cls_tokens, config.num_registers, config.summary_idxs) == (4, 4, [0, 1, 2])


SPOILT = {
    "deviations of zero": (
        "internvl2",
        tensor("radio", "radio_model.input_conditioner.norm_std", lambda v: v * 0),
        "the deviations of pixels are [0.0, 0.0, 0.0]",
    ),
    "no type of rotary angles": ("qwen2-vl", drop("qwen/config.json", "rope_scaling", "type"), "there is no type"),
    "a quantised base": (
        "qwen2-vl",
        change("qwen/config.json", "quantization_config", value={"quant_method": "gptq"}),
        "its weights are quantised (gptq)",
    ),
    "a beginning of pictures of another id": (
        "qwen2-vl", change("qwen/config.json", "vision_start_token_id", value=7), "<|vision_start|> is 265 for"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_the_command_refuses_them(colva_copy, tmp_path, capsys, case):
    form, spoil, fault = SPOILT[case]
    spoil(colva_copy)
    assert run_import(tmp_path / "out", *words(colva_copy, form)) == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_attention_of_a_release_is_not_taken_over(colva_copy, tmp_path):
    change("qwen/config.json", "attn_implementation", value="flash_attention_2")(colva_copy)
    change("qwen/config.json", "_attn_implementation", value="me/kernels")(colva_copy)
    assert run_import(tmp_path / "out", *words(colva_copy, "qwen2-vl")) == 0
    assert "flash" not in (tmp_path / "out/trunk/config.json").read_text()
