"""CoLVA's releases that are corrupted, hostile or swapped: refused by name, and nothing is changed."""

import json
import shutil

import foreign_colva
import pytest
import torch
from safetensors.torch import load_file, save_file
from slow_phi3 import write_phi3_tokenizer
from tiny_colva import (
    ADAPTER,
    QWEN,
    SIZES,
    change,
    drop,
    places,
    run_import,
    tensor,
    values,
    words,
    write_json,
    write_training,
)

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.colva_folder import load_colva


def retrain(name, tensors):
    return lambda folder: write_training(folder / name, values(tensors, 9, torch.float32))


def swap(one, other):
    def write(folder):
        (folder / one).rename(folder / "x")
        (folder / other).rename(folder / one)
        (folder / "x").rename(folder / other)

    return write


def add(kind, name, value):
    """A tensor more, in the file and its index."""

    def write(folder):
        path = folder / kind / "model-00001-of-00002.safetensors"
        save_file(load_file(path) | {name: value}, path)
        index = path.with_name("model.safetensors.index.json")
        content = json.loads(index.read_text())
        content["weight_map"][name] = path.name
        write_json(index, content)

    return write


class Hostile:
    def __reduce__(self):
        return exec, ("raise SystemExit('code has run')",)


def hostile(folder):
    torch.save({"state_dict": {}, "meta": Hostile()}, folder / "4b_sft.pth")


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def damaged(folder):
    file = folder / "4b_adapter.pth"
    tensors = values(ADAPTER, 6, torch.float32)
    torch.save(tensors, file)
    content = bytearray(file.read_bytes())
    at = content.find(tensors["ot_mlp1.1.weight"].numpy().tobytes()[:64])
    content[at + 8] ^= 1
    file.write_bytes(bytes(content))


def more_tokens(folder):
    write_phi3_tokenizer(folder / "export")
    file = folder / "export" / "tokenizer_config.json"
    content = json.loads(file.read_text())
    content["added_tokens_decoder"]["350"] = content["added_tokens_decoder"]["349"] | {"content": "<more>"}
    write_json(file, content)


def lora(**more):
    return foreign_colva.sft_internvl2(SIZES) | more


BAD_RANK = {name: ((64, *shape[1:]) if ".lora_A." in name else (shape[0], 64)) for name, shape in lora().items()}
A_NAME = "model.language_model.base_model.model.model.layers.1.mlp.down_proj.lora_A.default.weight"
BLOCK = "object_tokenizer.radio_model.model.blocks.0"
WIDER = foreign_colva.adapter(24, 48)
E, B, Q, R = "export/config.json", "internvl2/config.json", "qwen/config.json", "radio/config.json"
REFUSED = {
    "a name nobody knows": (
        "export", add("export", "vision_model.extra.weight", torch.ones(2)), "no rule knows vision_model.extra.weight"),
    "a weight less": ("export", tensor("export", "mlp1.3.bias", lambda _: None), "nothing fills trunk.model.m"),
    "another shape": ("export", tensor("export", "ot_mlp1.1.bias", lambda v: v[:-1].clone()), "of another shape"),
    "not a number": ("export", tensor("export", "mlp1.3.bias", lambda v: v * float("nan")), "not finite"),
    "other summary tokens": (
        "export",
        tensor("export", "object_tokenizer.radio_model.summary_idxs", lambda v: v + 1),
        "the summary tokens are [1, 2, 3]",
    ),
    "layer scales": (
        "export", add("export", f"{BLOCK}.ls1.gamma", torch.ones(24)), f"no rule knows {BLOCK}.ls1.gamma"),
    "a cut shard": ("export", cut("export/model-00002-of-00002.safetensors"), "cannot be read"),
    "a base named as an export": ("export", swap("export", "internvl2"), "this is an InternVL2 without CoLVA's expert"),
    "an export named as a base": ("internvl2", swap("export", "internvl2"), "this is CoLVA's export, not its base"),
    "another kind of base": ("internvl2", swap("internvl2", "qwen"), "of type 'qwen2_vl', not 'internvl_chat'"),
    "another language model": (
        "export", change(E, "llm_config", "architectures", value=["InternLM2ForCausalLM"]), "InternLM2ForCausalLM"),
    "pictures turned over": ("export", change(E, "ps_version", value="v1"), "ps_version is 'v1'"),
    "another template": ("internvl2", change(B, "template", value="internlm2-chat"), "template is 'internlm2-chat'"),
    "rotary angles of another kind": (
        "export", change(E, "llm_config", "rope_scaling", "type", value="yarn"), "type is 'yarn'"),
    "settings nobody knows": ("export", change(E, "llm_config", "qk_clip", value=3), "not understood: qk_clip: 3"),
    "a size of no sense": ("export", change(E, "vision_config", "hidden_size", value="32"), "hidden_size is '32'"),
    "heads that do not divide": (
        "export", change(E, "vision_config", "num_attention_heads", value=5), "there are 5 attention heads"),
    "factors of another length": (
        "export", change(E, "llm_config", "rope_scaling", "long_factor", value=[1.0]), "long_factor field must have"),
    "special ids beyond the rows": (
        "export", change(E, "llm_config", "pad_token_id", value=32000), "pad_token_id is 32000"),
    "no section": ("export", change(E, "llm_config", value=None), "the section is missing"),
    "another size": ("internvl2", change(B, "llm_config", "intermediate_size", value=48), "of another shape"),
    "config.json of no sense": ("export", lambda folder: (folder / E).write_text("{"), "broken JSON"),
    "no tokenizer": ("export", lambda folder: (folder / "export/tokenizer.model").unlink(), "there is no tokenizer"),
    "another tokenizer": ("export", more_tokens, "which must be 350"),
    "another RADIO": ("internvl2", change(R, "version", value="radio_v2.5-h"), "RADIO of version radio_v2.5-h"),
    "RADIO with windows": ("internvl2", change(R, "vitdet_window_size", value=16), "vitdet_window_size is 16"),
    "RADIO with a last norm": ("internvl2", change(R, "args", "model_norm", value=True), "model_norm is True"),
    "no RADIO": ("internvl2", swap("radio", "internvl2"), "of type None"),
    "the adapter as SFT": (
        "internvl2", swap("4b_sft.pth", "4b_adapter.pth"), "this is a file of the pretraining, not of the SFT"),
    "the SFT as adapter": (
        "internvl2",
        lambda folder: shutil.copy(folder / "4b_sft.pth", folder / "4b_adapter.pth"),
        "this is a file of the SFT",
    ),
    "no adapter": ("internvl2", retrain("4b_adapter.pth", {"a.weight": (2, 2)}), "it holds no adapter"),
    "an adapter of another trunk": ("internvl2", retrain("4b_adapter.pth", WIDER), "of another shape"),
    "another family's LoRA": (
        "internvl2",
        lambda folder: shutil.copy(folder / "2b_sft.pth", folder / "4b_sft.pth"),
        "this is the LoRA of a CoLVA on qwen2-vl, and the base is internvl2",
    ),
    "another rank": ("internvl2", retrain("4b_sft.pth", BAD_RANK), "of rank 64, and the release's has 128"),
    "ranks that differ": ("internvl2", retrain("4b_sft.pth", lora(**{A_NAME: (64, 40)})), "of another shape"),
    "a LoRA of a layer too many": (
        "internvl2", retrain("4b_sft.pth", lora(**{A_NAME.replace(".1.", ".2."): (128, 40)})), "no rule knows"),
    "a trained connector": ("internvl2", retrain("4b_sft.pth", lora(**{"model.mlp1.1.bias": (32,)})), "no rule knows"),
    "code in a file": ("internvl2", hostile, "asks for exec, and only tensors are loaded"),
    "a damaged file": ("internvl2", damaged, "checksum"),
    "a cut file": ("internvl2", cut("4b_sft.pth"), "cannot be read"),
    "an image token of another id": ("qwen2-vl", change(Q, "image_token_id", value=5), "<|image_pad|> is 268 for"),
    "an output layer that is not the embedding": (
        "qwen2-vl", add("qwen", "lm_head.weight", torch.ones(QWEN.rows, 32)), "differ, and config.json"),
    "no Qwen2-VL": ("qwen2-vl", change(Q, "model_type", value="qwen2_5_vl"), "of type 'qwen2_5_vl'"),
    "another Qwen2-VL": ("qwen2-vl", change(Q, "num_key_value_heads", value=2), "of another shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_releases_leave_the_folder_as_it_was(colva_releases, tmp_path, capsys, case):
    form, spoil, fault = REFUSED[case]
    copy = tmp_path / "copy"
    shutil.copytree(colva_releases, copy)
    spoil(copy)
    out = tmp_path / "out"
    out.mkdir()
    (out / "import.json").write_text("{}")
    assert run_import(out, *words(copy, form)) == 2
    assert fault in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["import.json"]
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "out"}


FORMATS = {
    "int8": lambda v: (v * 50).to(torch.int8),
    "uint8": lambda v: (v * 50).abs().to(torch.uint8),
    "int64": lambda v: v.to(torch.int64),
    "bool": lambda v: v > 0,
    "complex64": lambda v: torch.complex(v, v),
    "float8_e4m3fn": lambda v: v.to(torch.float8_e4m3fn),
    "sparse_coo": lambda v: v.to_sparse(),
    "sparse_csr": lambda v: v.to_sparse_csr(),
    "qint8": lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8),
    "meta": lambda v: v.to("meta"),
}
TRAINED = {"4b_adapter.pth": "ot_mlp1.3.weight", "4b_sft.pth": A_NAME}


@pytest.mark.parametrize("file", TRAINED)
@pytest.mark.parametrize("kind", FORMATS)
def test_number_formats_of_no_weights(colva_releases, tmp_path, capsys, file, kind):
    """Named before anything is written, whatever kind of tensors a file holds."""
    shapes = ADAPTER if file == "4b_adapter.pth" else lora()
    tensors = values(shapes, 6, torch.float32)
    spoilt = tmp_path / file
    torch.save(tensors | {TRAINED[file]: FORMATS[kind](tensors[TRAINED[file]])}, spoilt)
    releases = [f"{each.split('=')[0]}={spoilt}" if file in each else each for each in places(colva_releases)]
    assert run_import(tmp_path / "out", *releases) == 2
    found = capsys.readouterr().err
    assert f"{TRAINED[file]} is " in found or "the file cannot be read" in found
    assert kind in found
    assert {path.name for path in tmp_path.iterdir()} == {file}


@pytest.mark.parametrize("kind", ["int8", "bool", "float8_e4m3fn"])
def test_number_formats_of_no_weights_in_safetensors(colva_releases, tmp_path, capsys, kind):
    copy = tmp_path / "copy"
    shutil.copytree(colva_releases, copy)
    tensor("internvl2", "mlp1.1.weight", FORMATS[kind])(copy)
    assert run_import(tmp_path / "out", *words(copy, "internvl2")) == 2
    assert "no weights of these number formats: mlp1.1.weight is" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["int8", "float8_e4m3fn"])
def test_an_embedding_s_copy_of_another_format(colva_releases, tmp_path, capsys, kind):
    """It is left out where it is tied, and compared before."""
    copy = tmp_path / "copy"
    shutil.copytree(colva_releases, copy)
    add("qwen", "lm_head.weight", FORMATS[kind](torch.ones(QWEN.rows, 32)))(copy)
    assert run_import(tmp_path / "out", *words(copy, "qwen2-vl")) == 2
    assert "differ, and config.json ties them" in capsys.readouterr().err


@pytest.mark.parametrize("edit", [lambda v: v.to(torch.float32), lambda v: v[:2]])
def test_numbers_of_summary_tokens_are_whole_and_all_there(colva_releases, tmp_path, capsys, edit):
    copy = tmp_path / "copy"
    shutil.copytree(colva_releases, copy)
    tensor("radio", "radio_model.summary_idxs", lambda v: edit(v).clone())(copy)
    assert run_import(tmp_path / "out", *words(copy, "internvl2")) == 2
    assert "the summary tokens are" in capsys.readouterr().err


@pytest.fixture
def imported(colva_releases, tmp_path):
    assert run_import(tmp_path / "out", *places(colva_releases), options=["--keep-lora"]) == 0
    return tmp_path / "out"


def drop_first(file):
    def spoil(folder):
        tensors = load_file(folder / file)
        tensors.pop(min(tensors))
        save_file(tensors, folder / file)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (drop_first("adapter.safetensors"), "inner.bias"),
        (drop_first("trunk/model.safetensors"), "missing: lm_head.weight"),
        (drop_first("expert/model.safetensors"), "missing"),
        (drop_first("lora/adapter_model.safetensors"), "1 weights do not fit"),
        (change("import.json", "colva", "vpt_id", value=3), "vpt_id is 350, and 3 in import.json"),
        (change("import.json", "colva", "image_token_id", value=3), "image_token_id is 343, and 3"),
        (change("import.json", "colva", value=[]), "no imported CoLVA"),
        (change("import.json", "colva", "kind", value=[]), "no imported CoLVA"),
        (lambda folder: write_json(folder / "import.json", []), "no imported CoLVA"),
        *(
            (drop("import.json", "colva", key), f"{key} is missing or of no sense\n  where: .*import.json, colva")
            for key in ("vpt_id", "align_corners", "stop_token", "mask_threshold")
        ),
        (drop("import.json", "colva", "lora"), "rank is missing or of no sense\n  where: .*import.json, colva, lora"),
        (change("import.json", "colva", "lora", value=[1]), "rank is missing"),
        (change("import.json", "colva", "lora", "merged", value=None), "merged is missing"),
        (change("import.json", "colva", "lora", "alpha", value=7), "lora_alpha is 256, and not as import.json says"),
        (change("import.json", "colva", "lora", "alpha", value=float("nan")), "alpha is missing or of no sense"),
        (change("lora/adapter_config.json", "r", value=3), "r is 3, and not as import.json says"),
        (lambda folder: (folder / "lora/adapter_config.json").unlink(), "does not exist"),
        (lambda folder: (folder / "lora/adapter_model.safetensors").unlink(), "no model can be loaded"),
        (drop("expert/config.json", "align_corners"), "align_corners is None, and True in import.json"),
        (change("trunk/config.json", "quantization_config", value={"quant_method": "gptq"}), "quantization_config is"),
        (
            change("trunk/config.json", "text_config", "attn_implementation", value="me/kernel"),
            "attn_implementation is",
        ),
        (change("expert/config.json", "auto_map", value={"AutoModel": "evil.M"}), "auto_map is set"),
        (change("expert/config.json", "dtype", value="float99"), "no model can be loaded"),
        (change("import.json", "colva", "align_corners", value=False), "align_corners"),
        (change("import.json", "colva", "kind", value="x"), "no imported CoLVA"),
        (lambda folder: (folder / "import.json").unlink(), "does not exist"),
    ],
)
def test_a_spoilt_folder_is_not_loaded(imported, spoil, fault):
    load_colva(imported)
    spoil(imported)
    with pytest.raises(CheckpointError, match=fault):
        load_colva(imported)


EVIL = "raise SystemExit('code of a release has run')\n"


@pytest.mark.parametrize("form", ["export", "internvl2", "qwen2-vl"])
def test_no_code_of_a_release_runs(colva_releases, tmp_path, form):
    """Whatever classes its files name for models, configurations and tokenizers."""
    copy = tmp_path / "copy"
    shutil.copytree(colva_releases, copy)
    for name in ("export", "internvl2", "qwen", "radio"):
        (copy / name / "evil.py").write_text(EVIL)
        for file in ("config.json", "tokenizer_config.json"):
            if (copy / name / file).is_file():
                classes = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", "evil.F"]}
                change(f"{name}/{file}", "auto_map", value=classes)(copy)
    assert run_import(tmp_path / "out", *words(copy, form)) == 0
    load_colva(tmp_path / "out")
