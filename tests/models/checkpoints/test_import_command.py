"""``llava-corr import``: released files to a model folder that answers and trains; refused input changes nothing."""

import json
import shutil
from dataclasses import replace

import foreign
import numpy as np
import pytest
import tiny_releases
import torch
from file_server import serve_files
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from slow_llama import LISA, slow_ids, write_tokenizer
from tiny_releases import GROUNDING, SETS, run_import
from toy import small_config, write_toy
from transformers import CLIPConfig, CLIPModel

from llava_corr.cli import main
from llava_corr.datasets.collate import to_dialogue
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import load_model, load_processor
from llava_corr.models.checkpoints.tensor_files import open_tensors
from llava_corr.training.sft import train


def places(folder):
    return [f"glamm={folder / 'glamm'}", f"lavis={folder / 'instruct_blip.pth'}", f"eva={folder / 'eva_vit_g.pth'}",
            f"dinov2={folder / 'dinov2'}"]  # fmt: skip


@pytest.fixture(scope="module")
def start(released, tmp_path_factory):
    out = tmp_path_factory.mktemp("weights") / "calico-start"
    assert run_import(out, *places(released), dtype="float32") == 0
    return out


@pytest.fixture
def configured(released, tmp_path, monkeypatch):
    """A configuration that names its releases, EVA-CLIP by address, and the folder that it starts from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serve_files(released) as (address, _):
        lines = [
            "base: tiny/calico.yaml",
            "model:",
            "  weights: weights/start",
            f"  releases: {{glamm: {released / 'glamm'}, lavis: {released / 'instruct_blip.pth'},",
            f"    eva: '{address}/eva_vit_g.pth', dinov2: {released / 'dinov2'}}}",
        ]
        (tmp_path / "own.yaml").write_text("\n".join(lines))
        yield tmp_path


def import_own(*words):
    return main(["import", "--config", "own.yaml", *OWN_SETS, *words])


OWN_SETS = [word for k, word in enumerate(SETS) if "model.weights=null" not in SETS[k : k + 2]]


def test_releases_and_folder_as_configured(configured, start):
    assert import_own("--dtype", "float32") == 0
    state = load_model(configured / "weights/start").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in load_model(start).state_dict().items())


def test_named_releases_take_the_place_of_configured_ones(configured, released):
    """Of a trunk the other kinds of trunk go, of InstructBLIP LAVIS's two files."""
    words = [f"vicuna={released / 'vicuna'}", f"instructblip={released / 'instructblip'}"]
    words.append(f"sam={released / 'sam.pth'}")
    assert import_own("--out", "other", "--fresh", "seg_projection", "--from", *words) == 0
    table = json.loads((configured / "other" / "import.json").read_text())
    assert set(table["releases"]) == {"vicuna", "instructblip", "sam", "dinov2"}


def test_a_tower_that_the_composition_lacks_is_left_out_where_it_is_only_configured(configured, released):
    words = ["--set", "model.correspondence=null", "--out", "other"]
    assert import_own(*words) == 0
    assert "dinov2" not in json.loads((configured / "other" / "import.json").read_text())["releases"]
    assert import_own(*words, "--from", f"dinov2={released / 'dinov2'}") == 2


@pytest.mark.parametrize("weights", ["null", "runs/other/model", "data/zoo"])
def test_a_folder_that_import_would_not_write_by_itself(configured, weights, capsys):
    assert import_own("--set", f"model.weights={weights}") == 2
    assert "name a folder with --out" in capsys.readouterr().err


def test_a_release_of_an_unknown_kind_in_the_configuration(configured, capsys):
    assert import_own("--set", "model.releases.glam=x") == 2
    assert "glamm" in capsys.readouterr().err


def test_the_folder_loads_strictly_and_holds_the_table(start, released):
    model = load_model(start)
    assert model.config.seg_token_id == 334
    table = json.loads((start / "import.json").read_text())
    filled = {name for part in table["tables"] for name in part["filled"]}
    state = set(model.state_dict())
    rest = {name for name in state if name.startswith(("correspondence.", "adaptation."))}
    assert filled | rest == state
    assert table["releases"]["eva"] == str(released / "eva_vit_g.pth")
    reasons = [why for part in table["tables"] for why in part["ignored"]]
    assert "regions are not asked about" in reasons


def test_dialogues_have_the_ids_of_the_release(start, released, tmp_path):
    """Ids are the slow tokenizer's, with four of <image> a picture; labels are the answer's words and its end."""
    samples = write_toy(tmp_path, 3)
    processor = load_processor(start)
    for sample in samples:
        encoded = processor.encode(to_dialogue(sample, with_answers=True))
        trained = [label for label in encoded.labels if label != -100]
        assert trained == slow_ids(released / "glamm", f" {sample.turns[0].assistant}</s>")[-len(trained) :]
        assert processor.tokenizer.decode(trained).replace(" ", "").startswith("Thecommonobjects")
        text = processor._layout(to_dialogue(sample, with_answers=True))[0]
        expected = [1]
        for k, piece in enumerate(text.split("<image>")):
            expected += [337] * 4 if k else []
            piece = piece if k == 0 else piece.lstrip()
            expected += slow_ids(released / "glamm", piece.rstrip() if k < 2 else piece)
        assert encoded.ids == expected


def test_it_answers(start, tmp_path):
    samples = write_toy(tmp_path, 2)
    predictor = Predictor.from_pretrained(start, max_new_tokens=5)
    answers = list(predictor.predict(samples, progress=False))
    assert [answer.sample_id for answer in answers] == [sample.id for sample in samples]
    drawn = list(predictor.predict(samples, true_answers=True, progress=False))
    assert [len(answer.segments) for answer in drawn] == [len(sample.targets) for sample in samples]


def test_the_paper_s_trainable_set_trains_on_it(start, tmp_path):
    write_toy(tmp_path, 4)
    config = small_config(
        tmp_path, GROUNDING, f"model.weights={start}", "model.random_frozen=false", "training.max_steps=2",
        "training.batch_size=2", "training.lora={rank: 2, alpha: 4, dropout: 0, targets: [q_proj, v_proj]}",
        "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]",
    )  # fmt: skip
    model = load_model(train(config) / "model")
    before = load_model(start).state_dict()
    same = {name: torch.equal(value, before[name]) for name, value in model.state_dict().items()}
    assert not same["adaptation.2.output.weight"]
    assert not same["grounding.sam.mask_decoder.mask_tokens.weight"]
    assert same["visual_tokens.projection.weight"]
    assert same["trunk.lm_head.weight"]


def test_another_trunk_gets_rows_for_the_special_tokens(released, tmp_path, capsys):
    """Vicuna knows neither [SEG] nor <p>, and has no [SEG] projection: that one is asked for as new."""
    rest = [place for place in places(released) if not place.startswith("glamm")]
    releases = [f"vicuna={released / 'vicuna'}", f"sam={released / 'sam.pth'}", *rest]
    assert run_import(tmp_path / "out", *releases, dtype="float32") == 2
    assert "seg_projection.layers comes from nowhere" in capsys.readouterr().err
    assert run_import(tmp_path / "out", *releases, dtype="float32", fresh="seg_projektion") == 2
    assert "the model has no part seg_projektion" in capsys.readouterr().err
    assert run_import(tmp_path / "out", *releases, dtype="float32", fresh="seg_projection") == 0
    model, processor = load_model(tmp_path / "out"), load_processor(tmp_path / "out")
    rows, theirs = model.trunk.model.embed_tokens.weight, open_tensors(released / "vicuna")
    assert torch.equal(rows[:330], theirs.tensor("model.embed_tokens.weight"))
    assert torch.allclose(rows[330:], rows[:330].mean(0).expand(3, -1))
    assert len(model.trunk.lm_head.weight) == 333
    assert processor.tokenizer.convert_tokens_to_ids(["[SEG]", "<p>", "</p>", "<image>"]) == [330, 331, 332, 333]
    assert model.seg_projection.layers[0].weight.std() > 0
    assert json.loads((tmp_path / "out" / "import.json").read_text())["fresh"] == ["seg_projection"]


def test_half_precision_is_the_default(released, tmp_path):
    assert run_import(tmp_path / "half", *places(released)) == 0
    model = load_model(tmp_path / "half", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def without(name):
    def change(folder):
        file = folder / "instruct_blip.pth"
        tensors = torch.load(file)["model"]
        del tensors[name]
        torch.save({"model": tensors}, file)

    return change


def cut(name):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:-50])

    return change


def other_tokenizer(folder):
    write_tokenizer(folder / "glamm", LISA)


def swap(folder):
    first, second = folder / "instruct_blip.pth", folder / "eva_vit_g.pth"
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)


def no_decoder(folder):
    index = folder / "glamm" / "pytorch_model.bin.index.json"
    home = json.loads(index.read_text())["weight_map"]
    for file in sorted(set(home.values())):
        tensors = torch.load(folder / "glamm" / file)
        torch.save({n: v for n, v in tensors.items() if ".mask_decoder." not in n}, folder / "glamm" / file)
    index.write_text(json.dumps({"weight_map": {n: f for n, f in home.items() if ".mask_decoder." not in n}}))


def settings(**changes):
    def change(folder):
        for kind, values in changes.items():
            file = folder / kind / "config.json"
            known = json.loads(file.read_text()) if file.exists() else {}
            file.write_text(json.dumps(known | LLAMA | values))

    return change


LLAMA = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
         "rms_norm_eps": 1e-5, "architectures": ["LISAForCausalLM"], "model_type": "llava"}  # fmt: skip


def permuted(folder):
    """Rows of [SEG] and <p> exchanged."""
    file = folder / "glamm" / "added_tokens.json"
    ids = json.loads(file.read_text())
    file.write_text(json.dumps(ids | {"[SEG]": ids["<p>"], "<p>": ids["[SEG]"]}))


def code(folder):
    config = {"model_type": "own", "auto_map": {"AutoConfig": "evil.Own"}}
    (folder / "dinov2" / "config.json").write_text(json.dumps(config))
    (folder / "dinov2" / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")


def tower(changed):
    def change(folder):
        file = folder / "dinov2" / "model.safetensors"
        save_file(load_file(file) | changed, file, metadata={"format": "pt"})

    return change


def pickled_tower(folder):
    file = folder / "dinov2" / "model.safetensors"
    torch.save(load_file(file), folder / "dinov2" / "pytorch_model.bin")
    file.unlink()
    return folder / "dinov2" / "pytorch_model.bin"


def flipped(folder):
    file = pickled_tower(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def elsewhere(folder):
    file = pickled_tower(folder)
    index = {"weight_map": dict.fromkeys(torch.load(file), "../../outside.bin")}
    (folder.parent / "outside.bin").write_bytes(file.read_bytes())
    file.with_name("pytorch_model.bin.index.json").write_text(json.dumps(index))
    file.unlink()


class Hostile:
    def __reduce__(self):
        return (open, ("ran", "w"))


def hostile(folder):
    torch.save({"a": Hostile()}, pickled_tower(folder))


REFUSED = {
    "a name is missing": (without("Qformer.bert.encoder.layer.0.crossattention.self.key.weight"), "nothing fills"),
    "a cut file": (cut("eva_vit_g.pth"), "cannot be read"),
    "a cut shard": (cut("glamm/pytorch_model-00002-of-00002.bin"), "cannot be read"),
    "another tokenizer": (other_tokenizer, "ids for 334 rows, the embedding has 337"),
    "no tokenizer": (lambda folder: (folder / "glamm" / "tokenizer.model").unlink(), "no tokenizer"),
    "a cut tokenizer": (cut("glamm/tokenizer.model"), "the file is damaged"),
    "files swapped": (swap, "no rule knows"),
    "no mask decoder": (no_decoder, "nothing fills grounding.sam.mask_decoder"),
    "no such file": (lambda folder: (folder / "eva_vit_g.pth").unlink(), "no such file"),
    "no DINOv2": (lambda folder: shutil.rmtree(folder / "dinov2"), "no such file or folder"),
    "another epsilon": (settings(glamm={"rms_norm_eps": 1e-6}), "rms_norm_eps is 1e-06"),
    "another rotary base": (settings(glamm={"rope_theta": 5e5}), "rope_parameters is {'rope_theta': 500000.0"),
    "stretched positions": (settings(glamm={"rope_scaling": {"type": "linear", "factor": 2.0}}), "rope_parameters"),
    "another activation": (settings(glamm={"hidden_act": "gelu"}), "hidden_act is 'gelu'"),
    "fewer heads for keys": (settings(glamm={"num_key_value_heads": 1}), "num_key_value_heads is 1"),
    "other heads": (settings(glamm={"num_attention_heads": 4}), "num_attention_heads is 4"),
    "quantised": (settings(glamm={"quantization_config": {"quant_method": "gptq"}}), "weights are quantised"),
    "no configuration": (lambda folder: (folder / "glamm" / "config.json").write_text("[]"), "no configuration"),
    "other special tokens": (permuted, "but by the tokenizer"),
    "a tower that brings code": (code, "a model of type 'own'"),
    "a tower of whole numbers": (tower({"embeddings.cls_token": torch.ones(1, 1, 24).int()}), "number formats"),
    "a tower with a changed bit": (flipped, "cannot be read"),
    "a tower's index leads elsewhere": (elsewhere, "which is no file of its folder"),
    "a tower's hostile file": (hostile, "only tensors are loaded"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_releases_leave_the_folder_as_it_was(released, tmp_path, capsys, case):
    change, words = REFUSED[case]
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    change(copy)
    out = tmp_path / "out"
    out.mkdir()
    (out / "import.json").write_text("{}")
    assert run_import(out, *places(copy)) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["import.json"]
    assert not list(tmp_path.glob("out.*"))
    assert not list(tmp_path.rglob("ran"))


def test_settings_that_are_the_composition_s(released, tmp_path):
    shutil.copytree(released, tmp_path / "copy")
    settings(glamm={})(tmp_path / "copy")
    assert run_import(tmp_path / "out", *places(tmp_path / "copy")) == 0


def test_settings_of_instructblip(released, tmp_path, capsys):
    shutil.copytree(released, tmp_path / "copy")
    file = tmp_path / "copy" / "instructblip" / "config.json"
    config = json.loads(file.read_text())
    config["vision_config"]["layer_norm_eps"] = 1e-3
    config["qformer_config"]["num_attention_heads"] = 4
    file.write_text(json.dumps(config))
    kinds = [f"{kind}={tmp_path / 'copy' / kind}" for kind in ("glamm", "instructblip", "dinov2")]
    assert run_import(tmp_path / "out", *kinds) == 2
    error = capsys.readouterr().err
    assert "vision: layer_norm_eps is 0.001" in error
    assert "qformer: num_attention_heads is 4" in error


@pytest.mark.parametrize("where", ["glamm", "", "glamm/inside", "thesis", "file", "here"])
def test_nothing_but_an_import_is_ever_replaced(released, tmp_path, monkeypatch, capsys, where):
    """A release, the folder above it, one inside it, a folder of other things, a file, the folder one is in."""
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("words")
    (tmp_path / "file").write_text("words")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    out = tmp_path / where if where in ("thesis", "file", "here") else copy / where
    assert run_import(out, *places(copy)) == 2
    assert "--out" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_import_of_before_is_replaced_also_through_a_link(released, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "weights").symlink_to(tmp_path / "scratch")
    for _ in range(2):
        assert run_import(tmp_path / "weights", *places(released)) == 0
        assert (tmp_path / "weights").is_symlink()
        assert (tmp_path / "scratch" / "import.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "weights"]


def test_what_lies_here_is_looked_at_before_anything_is_fetched(released, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serve_files(released) as (address, handler):
        web = [f"lavis={address}/instruct_blip.pth", f"eva={address}/eva_vit_g.pth"]
        rest = [f"glamm={released / 'glamm'}", f"dinov2={released / 'dinov2'}"]
        for words in (
            (tmp_path / "out", "glamm=/no/such/folder", *web),
            (released / "glamm", *rest, *web),
        ):
            assert run_import(*words) == 2
        assert run_import(tmp_path / "out", *rest, *web, rules="/no/such/rules.yaml") == 2
        assert run_import(tmp_path / "out", *rest, *web, fresh="seg_projektion") == 2
        assert not handler.requests
    assert "seg_projektion" in capsys.readouterr().err


def test_a_user_s_rules_and_names_let_go_unread(released, tmp_path, caplog):
    shutil.copytree(released / "glamm", tmp_path / "glamm")
    shard = tmp_path / "glamm" / "pytorch_model-00001-of-00002.bin"
    index = tmp_path / "glamm" / "pytorch_model.bin.index.json"
    more = {f"model.pointer.{k}.weight": torch.ones(3) for k in range(4)}
    torch.save(torch.load(shard) | more, shard)
    home = json.loads(index.read_text())
    index.write_text(json.dumps(home | {"weight_map": home["weight_map"] | dict.fromkeys(more, shard.name)}))
    kinds = [f"glamm={tmp_path / 'glamm'}", *places(released)[1:]]
    assert run_import(tmp_path / "refused", *kinds) == 2
    composition = ["--config", "tiny/calico.yaml", *SETS]
    assert main(["import", *composition, "--allow-unread", "--out", str(tmp_path / "a"), "--from", *kinds]) == 0
    assert "model.pointer.*.weight (4)" in caplog.text
    (tmp_path / "rules.yaml").write_text("- {pattern: 'model\\.pointer\\..+', ignore: nobody points}")
    assert run_import(tmp_path / "b", *kinds, rules=tmp_path / "rules.yaml") == 0
    assert len(json.loads((tmp_path / "b" / "import.json").read_text())["tables"][0]["ignored"]["nobody points"]) == 4


def test_numbers_as_the_file_holds_them(released, tmp_path):
    """Halves, doubles and turned tensors are read; whole, complex and sparse ones are no weights."""
    tensors = torch.load(released / "eva_vit_g.pth")
    name = "blocks.0.mlp.fc1.weight"
    value = tensors[name]
    for number, other in enumerate((value.half(), value.double(), value.T.contiguous().T)):
        torch.save(tensors | {name: other}, tmp_path / "eva.pth")
        kinds = [word for word in places(released) if not word.startswith("eva")]
        assert run_import(tmp_path / str(number), *kinds, f"eva={tmp_path / 'eva.pth'}", dtype="float32") == 0
        read = load_model(tmp_path / str(number)).state_dict()
        assert torch.equal(read["visual_tokens.vision_model.encoder.layers.0.mlp.fc1.weight"], other.float())


@pytest.mark.parametrize("change", ["int", "bool", "cfloat", "to_sparse"])
def test_what_are_no_weights(released, tmp_path, capsys, change):
    tensors = torch.load(released / "eva_vit_g.pth")
    name = "blocks.0.mlp.fc1.weight"
    torch.save(tensors | {name: getattr(tensors[name], change)()}, tmp_path / "eva.pth")
    kinds = [word for word in places(released) if not word.startswith("eva")]
    assert run_import(tmp_path / "out", *kinds, f"eva={tmp_path / 'eva.pth'}") == 2
    error = capsys.readouterr().err
    assert name in error or "no tensors" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("releases", "words"),
    [(["lavis=x"], "nothing gives the trunk"), (["glamm"], "no KIND=PLACE"), (["glamm=a", "glamm=b"], "named twice"),
     (["gpt=x"], "no KIND=PLACE")],
)  # fmt: skip
def test_what_cannot_be_asked(tmp_path, capsys, releases, words):
    assert run_import(tmp_path / "out", *releases) == 2
    assert words in capsys.readouterr().err


def test_a_place_that_the_composition_has_not(released, tmp_path, capsys):
    assert run_import(tmp_path / "out", *places(released), f"clip={released / 'dinov2'}") == 2
    assert "no place for clip" in capsys.readouterr().err


def test_pictures_of_any_shape_are_seen(start):
    predictor = Predictor.from_pretrained(start, max_new_tokens=3)
    predictor.set_images([np.zeros((20, 70, 3), np.uint8), np.zeros((65, 9, 3), np.uint8)])
    assert predictor.ask("common_objects").image_sizes == ((20, 70), (65, 9))


CLIP = "model.vision={kind: clip, image_size: 32, patch_size: 8, hidden_size: 16, num_hidden_layers: 3, " \
       "num_attention_heads: 2, intermediate_size: 32, feature_layer: -2}"  # fmt: skip
PATCHES = ["model.qformer=null", "model.correspondence=null", "model.adaptation=null", CLIP]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A whole CLIP, as on the hub: its text half is left alone."""
    folder = tmp_path_factory.mktemp("clip")
    vision = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
            "vocab_size": 40}  # fmt: skip
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["glamm", "lisa"])
def test_the_baselines_with_their_clip(released, clip, tmp_path, name):
    folder = released / "glamm"
    if name == "lisa":
        folder = tmp_path / "lisa"
        rows = write_tokenizer(folder, LISA)
        lisa = foreign.lisa(replace(tiny_releases.TRUNK, rows=rows), tiny_releases.SAM, vision=16)
        foreign.write_sharded(folder, foreign.fill(lisa))
    kind = f"model.projection={'mlp' if name == 'glamm' else 'linear'}"
    sets = [word for value in (*PATCHES, kind) for word in ("--set", value)]
    out = tmp_path / "out"
    words = ["--config", "tiny/calico.yaml", *SETS, *sets, "--out", str(out), "--dtype", "float32"]
    assert main(["import", *words, "--from", f"{name}={folder}", f"clip={clip}"]) == 0
    model = load_model(out)
    reference = CLIPModel.from_pretrained(clip).vision_model
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = reference(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
        assert torch.allclose(model.visual_tokens.look(pixels), expected, atol=1e-5)
    theirs = "model.mm_projector.2.weight" if name == "glamm" else "model.mm_projector.weight"
    ours = model.visual_tokens.projection[2] if name == "glamm" else model.visual_tokens.projection
    assert torch.equal(ours.weight, open_tensors(folder).tensor(theirs).float())
    answers = list(Predictor.from_pretrained(out, max_new_tokens=3).predict(write_toy(tmp_path, 1), progress=False))
    assert len(answers) == 1
