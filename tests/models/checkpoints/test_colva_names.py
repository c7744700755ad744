"""CoLVA's releases at full size by names and shapes: nothing is left over, nothing is missing, and counts are known."""

import foreign
import foreign_colva
import pytest
import torch
from foreign_colva import SEVEN, QwenSizes
from tiny_colva import write_json
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints import colva
from llava_corr.models.checkpoints.tensor_files import TensorFiles


class Names(foreign.Shapes):
    """Of their values two are looked at before anything is written."""

    def tensor(self, name):
        known = {"summary_idxs": torch.tensor([0, 1, 2]), "norm_std": torch.ones(3, 1, 1)}
        found = known.get(name.rpartition(".")[2])
        return super().tensor(name) if found is None else found


@pytest.fixture
def full_size(monkeypatch, tmp_path):
    """A function that writes config.json and has names stand for the weights of a place."""
    files = {}
    monkeypatch.setattr(colva, "open_tensors", lambda place, *_: files[place])
    for name, special in (("load_phi3_tokenizer", PHI), ("load_qwen_tokenizer", QWEN)):
        monkeypatch.setattr(colva, name, lambda _, special=special: words(special))

    def put(kind, shapes, config=None):
        place = tmp_path / kind
        files[place] = TensorFiles(place, {place: Names(shapes)})
        if config is not None:
            write_json(place / "config.json", config)
        return place

    return put


PHI = {"<IMG_CONTEXT>": 32013, "<|end|>": 32007, "</box>": 32019}
QWEN = {
    "<|vision_start|>": 151652,
    "<|vision_end|>": 151653,
    "<|image_pad|>": 151655,
    "<|video_pad|>": 151656,
    "<|im_end|>": 151645,
}


def words(special):
    count = 1 + max(special.values())
    taken = {number: token for token, number in special.items()}
    vocab = {taken.get(n, f"w{n}"): n for n in range(count)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocab, unk_token="w0")))


def numbers(plan, part):
    return sum(value.numel() for name, value in plan.weights.wanted.items() if name.startswith(part))


def check(plan, tied=0):
    """Every name of ours is filled once, every foreign one is used, and the parts have the sizes of the facts."""
    assert set(plan.weights.wanted) - {"expert.summary_idxs"} == set(plan.weights.sources)
    assert not any(table.unknown for table in plan.weights.plans)
    state = set(plan.trunk.state_dict())
    assert len(state) - tied == len(plan.weights.names("trunk."))
    buffers = 3 + 3 + 3  # the summary tokens' numbers, mean and deviation of pixels
    assert numbers(plan, "expert.") - buffers == 651_642_880


def test_the_export(full_size):
    place = full_size("export", foreign_colva.export(), foreign_colva.export_config())
    plan = colva.plan_export(place, None)
    check(plan)
    assert numbers(plan, "adapter.") == 13_378_048  # 13.38 M
    assert numbers(plan, "trunk.") == 4_146_855_936
    assert (plan.notes["vpt_id"], plan.notes["image_token_id"], plan.stop) == (32020, 32013, 32007)
    assert plan.weights.plans[0].renamed == len(foreign_colva.export()) - 1  # the summary tokens' numbers
    config = plan.trunk.config
    assert (config.image_seq_length, config.text_config.num_hidden_layers) == (256, 32)


@pytest.mark.parametrize(("size", "keep_lora"), [("4b", False), ("2b", False), ("7b", True)])
def test_files_of_training(full_size, size, keep_lora):
    width = {"4b": 3072, "2b": 1536, "7b": 3584}[size]
    places = {
        "radio": full_size("radio", foreign_colva.radio(), foreign_colva.radio_config()),
        "colva-adapter": full_size("adapter", foreign_colva.adapter(1280, width)),
    }
    if size == "4b":
        places["internvl2"] = full_size("base", foreign_colva.internvl2(), foreign_colva.internvl2_config())
        places["colva-sft"] = full_size("sft", foreign_colva.sft_internvl2() | foreign_colva.adapter())
    else:
        sizes = QwenSizes() if size == "2b" else SEVEN
        places["qwen2-vl"] = full_size("base", foreign_colva.qwen2_vl(sizes), foreign_colva.qwen2_vl_config(sizes))
        places["colva-sft"] = full_size("sft", foreign_colva.sft_qwen(sizes))
    plan = colva.plan_training_files(places, None, keep_lora=keep_lora)
    check(plan, tied=size == "2b")
    found = {part: numbers(plan, f"{part}.") for part in ("trunk", "lora", "adapter")}
    assert (
        found
        == {
            "4b": {"trunk": 4_146_855_936, "lora": 201_326_592, "adapter": 13_378_048},
            "2b": {"trunk": 2_208_985_600, "lora": 73_859_072, "adapter": 4_331_008},
            "7b": {"trunk": 8_291_375_616, "lora": 161_480_704, "adapter": 17_442_304},
        }[size]
    )
    lora = plan.notes["lora"]
    assert (lora["scale"], lora["merged"]) == (2.0 if size == "4b" else 0.25, not keep_lora)
    assert plan.notes["vpt_id"] == (32020 if size == "4b" else 151657)
    ignored = {why for table in plan.weights.plans for why in table.ignored}
    assert len(ignored) == 1 + (size == "4b")  # the summary tokens' numbers, and the adapter of its SFT file


@pytest.mark.parametrize("missing", ["lora_B.default", "layers.31.", "self_attn.o_proj"])
def test_a_lora_must_be_whole(full_size, missing):
    names = foreign_colva.sft_internvl2()
    if missing == "lora_B.default":
        names.pop(next(name for name in names if missing in name))
    names = {name: shape for name, shape in names.items() if missing == "lora_B.default" or missing not in name}
    places = {
        "internvl2": full_size("base", foreign_colva.internvl2(), foreign_colva.internvl2_config()),
        "radio": full_size("radio", foreign_colva.radio(), foreign_colva.radio_config()),
        "colva-adapter": full_size("adapter", foreign_colva.adapter()),
        "colva-sft": full_size("sft", names),
    }
    with pytest.raises(CheckpointError, match=r"nothing fills lora\.model\.language_model"):
        colva.plan_training_files(places, None)
