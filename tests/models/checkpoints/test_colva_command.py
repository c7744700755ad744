"""``llava-corr import`` for CoLVA: released files to a folder of parts that plain transformers loads."""

import json
import shutil
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file
from tiny_colva import QWEN, SIZES, places, run_import, words, write_json
from transformers import AutoModel, AutoModelForImageTextToText, AutoTokenizer, GenerationConfig

from llava_corr.cli import main
from llava_corr.models.checkpoints import colva, colva_folder
from llava_corr.models.checkpoints import places as checkpoint_places
from llava_corr.models.checkpoints.colva_folder import load_colva
from llava_corr.models.checkpoints.tensor_files import open_tensors

FORMS = ("export", "internvl2", "qwen2-vl")


@pytest.fixture
def colva_copy(colva_releases, tmp_path):
    """Folder with the releases, to be changed."""
    return shutil.copytree(colva_releases, tmp_path / "copy")


@pytest.fixture(scope="module", params=FORMS)
def form(request):
    return request.param


@pytest.fixture(scope="module")
def out(form, colva_releases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / form
    assert run_import(folder, *words(colva_releases, form), dtype="bfloat16") == 0
    return folder


def test_its_parts_load_with_plain_transformers(out, form):
    trunk, info = AutoModelForImageTextToText.from_pretrained(out / "trunk", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    kind = "Qwen2VLForConditionalGeneration" if form == "qwen2-vl" else "InternVLForConditionalGeneration"
    assert (type(trunk).__name__, trunk.dtype) == (kind, torch.bfloat16)
    expert, info = AutoModel.from_pretrained(out / "expert", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (type(expert).__name__, expert.dtype) == ("RadioModel", torch.bfloat16)
    assert all((value == 1).all() for name, value in expert.named_parameters() if "layer_scale" in name)
    adapter = load_file(out / "adapter.safetensors")
    assert {value.dtype for value in adapter.values()} == {torch.float32}
    tokenizer = AutoTokenizer.from_pretrained(out / "trunk")
    notes = json.loads((out / "import.json").read_text())["colva"]
    assert tokenizer("<VPT_CONTEXT>", add_special_tokens=False)["input_ids"] == [notes["vpt_id"]]
    rows = trunk.get_input_embeddings().weight.shape[0]
    assert rows == (QWEN.rows if form == "qwen2-vl" else notes["vpt_id"] == SIZES.rows and SIZES.rows)
    generation = GenerationConfig.from_pretrained(out / "trunk")
    assert generation.eos_token_id[0] == tokenizer.get_vocab()[notes["stop_token"]]


def test_the_table_accounts_for_every_name(out, form, colva_releases):
    table = json.loads((out / "import.json").read_text())
    filled = {ours for part in table["tables"] for ours in part["filled"]}
    loaded = load_colva(out)
    trunk = {f"trunk.{name}" for name in loaded.trunk.state_dict()} - {
        "trunk.lm_head.weight" if form == "qwen2-vl" else ""
    }
    expert = {f"expert.{name}" for name in loaded.expert.state_dict() if "layer_scale" not in name}
    expert -= {"expert.summary_idxs"}
    adapter = {f"adapter.{name}" for name in loaded.adapter.state_dict()}
    assert {name for name in filled if not name.startswith("lora.")} == trunk | expert | adapter
    foreign = {name for part in table["tables"] for names in part["filled"].values() for name in names}
    foreign |= {name for part in table["tables"] for names in part["ignored"].values() for name in names}
    theirs = {name for word in words(colva_releases, form) for name in open_tensors(word.split("=")[1], colva.INERT)}
    assert foreign == theirs
    assert list(table["made"].values()) == ["1, and in no file: CoLVA's RADIO has none", "from config.json"]
    notes = table["colva"]
    assert (notes["align_corners"], notes["mask_threshold"], notes["radio_version"]) == (True, 0.55, "radio_v2.1")
    assert notes["positions"] == ("1-D on all three axes" if form == "qwen2-vl" else "as usual")
    assert (notes["lora"] is None) == (form == "export")


def test_constants_of_pixels_are_not_rounded(out):
    stored = load_file(out / "expert" / "model.safetensors")
    assert stored["input_conditioner.norm_mean"].dtype == torch.float32
    assert abs(stored["input_conditioner.norm_mean"][0].item() - 0.48145466) < 1e-7
    assert stored["summary_idxs"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16, torch.float32])
def test_they_are_not_rounded_on_loading(out, dtype):
    """Whatever the weights are loaded as; transformers' own class rounds them unless it is told float32."""
    expert = load_colva(out, dtype=dtype).expert
    assert expert.dtype == expert.encoder.layer[0].mlp.fc1.weight.dtype == (dtype or torch.bfloat16)
    stored = load_file(out / "expert" / "model.safetensors")
    for name in ("norm_mean", "norm_std"):
        held = expert.input_conditioner.get_buffer(name)
        assert held.dtype == torch.float32
        assert torch.equal(held, stored[f"input_conditioner.{name}"])
    assert expert.summary_idxs.tolist() == [0, 1, 2]
    found = expert(torch.ones(1, 3, 32, 32, dtype=expert.dtype)).features
    assert (found.dtype, bool(found.isfinite().all())) == (expert.dtype, True)
    plain = AutoModel.from_pretrained(out / "expert", dtype=torch.float32)
    assert torch.equal(plain.input_conditioner.norm_mean, stored["input_conditioner.norm_mean"])


def test_weights_go_into_shards(colva_releases, tmp_path, monkeypatch):
    """Of a size, with the index that transformers reads; the same weights."""
    monkeypatch.setattr(colva_folder.write_colva, "__defaults__", (20_000,))
    assert run_import(tmp_path / "out", *places(colva_releases)) == 0
    assert run_import(tmp_path / "kept", *places(colva_releases), options=["--keep-lora"]) == 0
    files = sorted((tmp_path / "out" / "trunk").glob("model-*.safetensors"))
    assert len(files) > 5
    assert max(sum(v.nbytes for v in load_file(f).values()) for f in files if len(load_file(f)) > 1) <= 20_000
    monkeypatch.undo()
    assert run_import(tmp_path / "whole", *places(colva_releases)) == 0
    one, other = (load_colva(tmp_path / name).trunk.state_dict() for name in ("out", "whole"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_sft_s_adapter_on_demand(colva_releases, tmp_path, capsys):
    asked = ["--sft-adapter"]
    assert run_import(tmp_path / "out", *places(colva_releases), options=asked) == 2
    assert "two adapters" in capsys.readouterr().err
    assert run_import(tmp_path / "out", *places(colva_releases)[:3], options=asked) == 0
    theirs = open_tensors(colva_releases / "4b_sft.pth", colva.INERT)
    assert torch.equal(load_colva(tmp_path / "out").adapter.inner.weight, theirs.tensor("ot_mlp1.1.weight"))
    assert run_import(tmp_path / "two", *places(colva_releases, "qwen2-vl")[:3], options=asked) == 2
    assert "nothing fills adapter." in capsys.readouterr().err  # that one has none


def test_a_kept_lora_is_as_its_file_has_it(colva_releases, tmp_path):
    """Trunk and expert are rounded, it is not."""
    assert run_import(tmp_path / "out", *places(colva_releases), options=["--keep-lora"], dtype="bfloat16") == 0
    stored = load_file(tmp_path / "out/lora/adapter_model.safetensors")
    sft = open_tensors(colva_releases / "4b_sft.pth", colva.INERT)
    for name, value in stored.items():
        theirs = name.replace("base_model.model.model.language_model.", "").replace("_A.", "_A.default.")
        theirs = f"model.language_model.base_model.model.model.{theirs.replace('_B.', '_B.default.')}"
        assert torch.equal(value, sft.tensor(theirs))
    assert len(stored) == 16
    assert load_colva(tmp_path / "out").trunk.dtype == torch.bfloat16


def test_tensors_may_lie_in_memory_in_any_order(colva_copy, tmp_path):
    """A transposed one is no other."""

    def turned(name, change):
        tensors = open_tensors(colva_copy / name, colva.INERT)
        found = {key: tensors.tensor(key).clone() for key in tensors}
        found |= {key: value.T.contiguous().T for key, value in found.items() if change in key}
        assert any(not value.is_contiguous() for value in found.values())
        torch.save(found, colva_copy / name)

    assert run_import(tmp_path / "plain", *places(colva_copy), options=["--keep-lora"]) == 0
    turned("4b_adapter.pth", "3.weight")
    turned("4b_sft.pth", "lora_A")
    assert run_import(tmp_path / "turned", *places(colva_copy), options=["--keep-lora"]) == 0
    assert run_import(tmp_path / "merged", *places(colva_copy)) == 0
    for file in ("adapter.safetensors", "lora/adapter_model.safetensors"):
        one, other = (load_file(tmp_path / name / file) for name in ("plain", "turned"))
        assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, ValueError, AssertionError])
def test_nothing_half_written_stays(colva_releases, tmp_path, monkeypatch, kind):
    """Whatever breaks off the writing."""

    def breaks(values, file, _):
        assert file.parent.is_dir()
        raise kind

    monkeypatch.setattr(colva_folder, "save_file", breaks)
    with suppress(kind):  # the command ends by itself where it is interrupted
        assert run_import(tmp_path / "out", *places(colva_releases)) != 0
    assert not list(tmp_path.iterdir())


def test_another_alpha(colva_releases, tmp_path):
    assert run_import(tmp_path / "out", *places(colva_releases), options=["--lora-alpha", "64"]) == 0
    assert load_colva(tmp_path / "out").notes["lora"] == {"rank": 128, "alpha": 64.0, "scale": 0.5, "merged": True}


def test_settings_of_a_qwen_s_processor_go_along(colva_releases, tmp_path):
    copy = tmp_path / "qwen"
    shutil.copytree(colva_releases / "qwen", copy)
    written = {"image_processor_type": "Qwen2VLImageProcessor"}
    write_json(copy / "preprocessor_config.json", written)
    write_json(copy / "generation_config.json", {"top_k": 1, "eos_token_id": [258]})
    assert run_import(tmp_path / "out", f"qwen2-vl={copy}", *places(colva_releases, "qwen2-vl")[1:]) == 0
    assert (tmp_path / "out/trunk/preprocessor_config.json").read_text() == (
        copy / "preprocessor_config.json"
    ).read_text()


FETCHED = ["internvl2=OpenGVLab/InternVL2-4B", "radio=nvidia/RADIO", "colva-sft=https://x.org/sft.pth"]


@pytest.mark.parametrize(
    ("releases", "options", "fault"),
    [
        ([*FETCHED, "colva-adapter=/nowhere/adapter.pth"], [], "no such file or folder"),
        ([*FETCHED, "colva-adapter=nowhere.pth"], [], "no such file or folder"),
        (FETCHED, ["--sft-adapter", "--tokenizer", "/nowhere"], "there is no such folder"),
        (FETCHED, ["--sft-adapter", "--out", "."], "this folder is in use"),
        (["colva=zhouyik/colva_internvl2_4b"], ["--out", "/proc/version/x"], "cannot be written to"),
        (["colva=zhouyik/colva_internvl2_4b"], ["--lora-alpha", "0"], "--lora-alpha is for colva-sft="),
        *(
            (
                FETCHED,
                ["--sft-adapter", f"--lora-alpha={alpha}"],
                f"alpha is {float(alpha)}, and must be a number above",
            )
            for alpha in ("0", "-256", "nan", "inf", "1e39")
        ),
    ],
)
def test_nothing_is_fetched_where_something_is_wrong_here(tmp_path, capsys, monkeypatch, releases, options, fault):
    def fetch(*_, **__):
        raise AssertionError("something was fetched")

    monkeypatch.setattr(checkpoint_places, "snapshot_download", fetch)
    monkeypatch.setattr(checkpoint_places, "urlopen", fetch)
    assert main(["import", "--out", str(tmp_path / "out"), *options, "--from", *releases]) == 2
    assert fault in capsys.readouterr().err


def test_a_release_is_not_written_over(colva_copy, capsys):
    for out in (colva_copy / "internvl2", colva_copy):
        assert run_import(out, *places(colva_copy)) == 2
        assert "it would replace the release internvl2=" in capsys.readouterr().err
    assert (colva_copy / "internvl2/config.json").is_file()


CALICO = ["--config", "tiny/calico.yaml"]


@pytest.mark.parametrize(
    ("releases", "options", "fault"),
    [
        (["colva=x", "radio=x"], [], "is whole by itself"),
        (["colva=x", "glamm=x"], [], "make no model together"),
        (["colva=x"], CALICO, "--config is for"),
        (["colva=x"], ["--set", "a=b"], "--set is for"),
        (["radio=x"], ["--fresh", "a"], "--fresh is for"),
        (["glamm=x"], [], "need a composition"),
        (["glamm=x"], [*CALICO, "--keep-lora"], "--keep-lora is for CoLVA's"),
        (["internvl2=x", "qwen2-vl=x"], [], "two bases"),
        (["radio=x", "colva-sft=x"], [], "nothing gives the trunk"),
        (["internvl2=x", "radio=x"], [], "there must be colva-sft=, colva-adapter="),
        (["colva=/nowhere/at/all"], [], "no such file or folder"),
        (["colva=x", "colva=y"], [], "named twice"),
    ],
)
def test_what_cannot_be_asked(tmp_path, capsys, releases, options, fault):
    assert main(["import", "--out", str(tmp_path / "out"), *options, "--from", *releases]) == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_export_has_no_lora_to_keep(colva_releases, tmp_path, capsys):
    assert run_import(tmp_path / "out", f"colva={colva_releases / 'export'}", options=["--keep-lora"]) == 2
    assert "--keep-lora is for colva-sft=" in capsys.readouterr().err
