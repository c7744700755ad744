"""A release whose names are guessed: what is known is read, the rest is reported, and a user's rules fill the gap."""

import json

import foreign
import pytest
import tiny_releases
import torch
from slow_llama import write_tokenizer
from tiny_releases import run_import
from toy import write_toy

from llava_corr.cli import main
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.models.checkpoints.tensor_files import open_tensors

WIDTH = 32
CAMS = {f"model.cams.{k}.{name}.{end}": shape for k in range(2) for name in ("down", "up")
        for end, shape in (("weight", (WIDTH, WIDTH)), ("bias", (WIDTH,)))}  # fmt: skip
"""Names that no rule knows."""


def names(semantic):
    out = foreign.glamm(tiny_releases.TRUNK, tiny_releases.SAM, vision=16)
    out = {name: shape for name, shape in out.items() if "region_encoder" not in name and "mm_projector" not in name}
    out |= {f"model.{name}": shape for name, shape in foreign.lavis_qformer(tiny_releases.QFORMER).items()}
    eva = foreign.eva(width=32, inner=64, layers=2, places=17, patch=8)
    out |= {
        f"model.visual_encoder.{name}": shape for name, shape in eva.items() if not name.startswith(("norm.", "head."))
    }
    out |= {f"model.dinov2.{name}": tuple(value) for name, value in semantic.items()}
    return out | CAMS


@pytest.fixture(scope="module", params=["transformers", "authors"])
def folder(request, released, tmp_path_factory):
    path = tmp_path_factory.mktemp("calico")
    theirs = open_tensors(released / "dinov2")
    semantic = {name: theirs.shape(name) for name in theirs}
    if request.param == "authors":
        semantic = foreign.dinov2(width=24, layers=1, inner=48, places=17, patch=8, swiglu=False)
    foreign.write_sharded(path, foreign.fill(names(semantic), seed=11), kind="safetensors")
    write_tokenizer(path)
    return path


def test_what_is_known_is_read_and_the_rest_reported(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    assert run_import(tmp_path / "out", f"calico={folder}", dtype="float32") == 0
    assert (
        f"{len(CAMS)} NOT READ, no rule knows them or the model has no such part: model.cams.*.down.weight (2)"
        in caplog.text
    )
    assert "new, from no release: correspondence.attention.q_proj_weight" in caplog.text
    table = json.loads((tmp_path / "out" / "import.json").read_text())["tables"][0]
    assert set(table["unknown"]) == set(CAMS)
    model = load_model(tmp_path / "out")
    filled = set(table["filled"])
    assert {n for n in model.state_dict() if n not in filled} == {
        n for n in model.state_dict() if n.startswith(("correspondence.attention.", "adaptation."))
    }
    assert model.config.adaptation_layers == [1, 2]


def test_a_user_s_rules_fill_the_gap(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "".join(
            f"- {{pattern: 'model\\.cams\\.{k}\\.{theirs}\\.(weight|bias)', name: 'adaptation.{k + 1}.{ours}.\\1'}}\n"
            for k in range(2)
            for theirs, ours in (("down", "guidance"), ("up", "output"))
        )
    )
    assert run_import(tmp_path / "out", f"calico={folder}", dtype="float32", rules=rules) == 0
    assert "NOT READ" not in caplog.text
    model, files = load_model(tmp_path / "out"), open_tensors(folder)
    assert torch.equal(model.adaptation["2"].output.weight, files.tensor("model.cams.1.up.weight"))
    samples = write_toy(tmp_path, 1)
    assert list(Predictor.from_pretrained(tmp_path / "out", max_new_tokens=3).predict(samples, progress=False))


@pytest.mark.parametrize(
    "missing", ["text_hidden_fcs", "mask_decoder", "lm_head", "Qformer", "visual_encoder", "llm_proj"]
)
def test_what_matters_must_be_whole(folder, tmp_path, capsys, missing):
    theirs = open_tensors(folder)
    part = {name: theirs.tensor(name) for name in theirs if missing not in name}
    foreign.write_sharded(tmp_path / "part", part, kind="safetensors")
    write_tokenizer(tmp_path / "part")
    assert run_import(tmp_path / "out", f"calico={tmp_path / 'part'}") == 2
    assert "nothing fills" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {pattern: '(', name: x}", "no rule"),
        ("- {pattern: a}", "needs a pattern"),
        ("- {pattern: a, name: 3}", "text"),
        ("- {pattern: a, name: 'b.\\1'}", "0 groups"),
        ("- {pattern: '(a)', name: 'b.\\2'}", "1 groups"),
        ("- {pattern: '(?P<x>a)', name: 'b.\\g<y>'}", "nothing else"),
        ("- {pattern: a, name: 'b\\'}", "nothing else"),
        ("- {pattern: a, name: b, ignore: c}", "needs a pattern"),
        ("a: b", "needs a pattern"),
        ("[", "cannot be read"),
    ],
)
def test_rules_of_no_sense(folder, tmp_path, capsys, text, words):
    (tmp_path / "rules.yaml").write_text(text)
    assert run_import(tmp_path / "out", f"calico={folder}", rules=tmp_path / "rules.yaml") == 2
    assert words in capsys.readouterr().err


def test_it_takes_the_place_of_all_configured_releases(folder, tmp_path, caplog):
    """The composition names others, which are not even looked for."""
    others = "model.releases={glamm: /no/such, lavis: /no/such.pth, eva: /no/such.pth, dinov2: /no/such}"
    words = ["import", "--config", "tiny/calico.yaml", *tiny_releases.SETS, "--set", others]
    assert main([*words, "--out", str(tmp_path / "out"), "--from", f"calico={folder}"]) == 0
    assert json.loads((tmp_path / "out" / "import.json").read_text())["releases"] == {"calico": str(folder)}
    assert "this is NOT the released Calico" in caplog.text


def test_rules_are_read_before_anything_else(released, tmp_path, capsys):
    assert run_import(tmp_path / "out", f"glamm={released / 'glamm'}", rules=tmp_path / "none.yaml") == 2
    assert "the rules cannot be read" in capsys.readouterr().err
