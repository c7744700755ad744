"""CoLVA's releases at tiny sizes, each in its real layout, and ways to spoil them."""

import json
import re
import sys
from contextlib import contextmanager
from types import FunctionType, ModuleType

import foreign
import foreign_colva
import numpy as np
import torch
from foreign_colva import QwenSizes, Sizes
from safetensors.torch import load_file, save_file
from slow_phi3 import ROWS, write_phi3_tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llava_corr.cli import main

SIZES = Sizes(vision=32, vision_inner=48, vision_layers=2, vision_heads=2, image=56, width=32, inner=40, layers=2,
              heads=2, rows=ROWS, radio=24, radio_layers=2, radio_heads=2, radio_patch=4, radio_largest=32)  # fmt: skip
QWEN_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
IMAGE_TOKEN = 256 + QWEN_SPECIAL.index("<|image_pad|>")
QWEN = QwenSizes(vision=32, vision_layers=2, vision_heads=2, width=32, inner=40, layers=2, heads=2, key_heads=1,
                 rows=300, image_token=IMAGE_TOKEN)  # fmt: skip
ADAPTER = foreign_colva.adapter(SIZES.radio, 32)


def values(shapes, seed, dtype=torch.bfloat16):
    """Values of a release, large enough for every weight to show in what comes out; what is no weight as it must be."""
    out = {name: value * 3 for name, value in foreign.fill(shapes, seed, dtype).items()}
    for name in shapes:
        if re.search(r"norm\w*\.weight|mlp1\.0\.weight|\.ls[12]|ln_q\.weight", name):
            out[name] = out[name] + 1
        if name.endswith("summary_idxs"):
            out[name] = torch.tensor([0, 1, 2])
        elif name.endswith("norm_mean"):
            out[name] = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
        elif name.endswith("norm_std"):
            out[name] = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    return out


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write_internvl2(folder):
    write_json(folder / "config.json", foreign_colva.internvl2_config(SIZES))
    foreign.write_sharded(folder, values(foreign_colva.internvl2(SIZES), 1), kind="safetensors")
    write_phi3_tokenizer(folder)


def write_export(folder):
    write_json(folder / "config.json", foreign_colva.export_config(SIZES))
    foreign.write_sharded(folder, values(foreign_colva.export(SIZES), 2), kind="safetensors")
    write_phi3_tokenizer(folder)


def write_radio(folder):
    write_json(folder / "config.json", foreign_colva.radio_config(SIZES))
    foreign.write_sharded(folder, values(foreign_colva.radio(SIZES), 3), shards=1, kind="safetensors")


def write_qwen2_vl(folder, sizes=QWEN, age="old"):
    """Values are the same whatever the names' age."""
    write_json(folder / "config.json", foreign_colva.qwen2_vl_config(sizes))
    old = values(foreign_colva.qwen2_vl(sizes), 4)
    names = foreign_colva.qwen2_vl(sizes, age)
    foreign.write_sharded(folder, dict(zip(names, old.values(), strict=True)), kind="safetensors")
    bytes_ = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(sorted(bytes_))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+|\S+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(QWEN_SPECIAL))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    ).save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", config | {"tokenizer_class": "Qwen2Tokenizer"})


@contextmanager
def mmengine():
    """Its history of losses, which is pickled beside the weights."""
    names = (
        "mmengine",
        "mmengine.logging",
        "mmengine.logging.history_buffer",
        "mmengine.config",
        "mmengine.config.config",
    )
    modules = {name: ModuleType(name) for name in names}
    least = FunctionType((lambda self: None).__code__, {}, "min")
    least.__module__, least.__qualname__ = names[2], "HistoryBuffer.min"
    history = type("HistoryBuffer", (), {"__module__": names[2], "__qualname__": "HistoryBuffer", "min": least})
    config = type("ConfigDict", (dict,), {"__module__": names[4], "__qualname__": "ConfigDict",
                                          "__reduce_ex__": lambda self, _: (type(self), (dict(self),))})  # fmt: skip
    modules[names[2]].HistoryBuffer, modules[names[4]].ConfigDict = history, config
    sys.modules |= modules
    try:
        yield history, config
    finally:
        for name in names:
            del sys.modules[name]


def write_training(file, tensors):
    """As mmengine writes a checkpoint: weights below state_dict, and much beside them."""
    with mmengine() as (history, config):
        losses = history()
        losses.__dict__.update(_log_history=np.array([1.0, 0.5]), _count_history=np.array([1, 1]), max_length=1000)
        losses.__dict__["_statistics_methods"] = {"min": history.min}
        content = {
            "meta": {"epoch": 0, "iter": 18252, "cfg": "model = dict()", "dataset_meta": config(a=1)},
            "state_dict": dict(tensors),
            "message_hub": {"log_scalars": {"train/loss": losses}, "runtime_info": {"lr": np.float64(2e-4)}},
            "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4}]},
            "param_schedulers": [{"last_step": 3, "_last_lr": [np.float64(1e-4)]}],
        }  # fmt: skip
        torch.save(content, file)


def write_releases(folder):
    write_export(folder / "export")
    write_internvl2(folder / "internvl2")
    write_radio(folder / "radio")
    write_qwen2_vl(folder / "qwen")
    sft = foreign_colva.sft_internvl2(SIZES) | ADAPTER  # the release's may hold an adapter, too
    write_training(folder / "4b_sft.pth", values(sft, 5, torch.float32))
    write_training(folder / "4b_adapter.pth", values(ADAPTER, 6, torch.float32))
    torch.save(values(foreign_colva.sft_qwen(QWEN), 7, torch.float32), folder / "2b_sft.pth")  # without a wrapper
    deepspeed = folder / "2b_adapter.pth"
    deepspeed.mkdir()
    write = {
        "module": values(ADAPTER, 8, torch.float32),
        "ds_version": "0.16.2",
        "param_shapes": [{"a": torch.Size([1])}],
    }
    torch.save(write, deepspeed / "mp_rank_00_model_states.pt")


def places(folder, kind="internvl2"):
    size = {"internvl2": "4b", "qwen2-vl": "2b"}[kind]
    base = folder / {"internvl2": "internvl2", "qwen2-vl": "qwen"}[kind]
    return [f"{kind}={base}", f"radio={folder / 'radio'}", f"colva-sft={folder / f'{size}_sft.pth'}",
            f"colva-adapter={folder / f'{size}_adapter.pth'}"]  # fmt: skip


def words(folder, form):
    """What --from takes for a form: the export, or a kind of base."""
    return [f"colva={folder / 'export'}"] if form == "export" else places(folder, form)


def run_import(out, *releases, options=(), dtype="float32"):
    return main(["import", "--out", str(out), "--dtype", dtype, *map(str, options), "--from", *releases])


def change(file, *path, value):
    """A setting of a config.json."""

    def write(folder):
        content = json.loads((folder / file).read_text())
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        write_json(folder / file, content)

    return write


def drop(file, *path):
    def write(folder):
        content = json.loads((folder / file).read_text())
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        write_json(folder / file, content)

    return write


def tensor(file, name, edit):
    """A tensor of a file, None to take it out."""

    def write(folder):
        path = next(p for p in sorted((folder / file).glob("*.safetensors")) if name in load_file(p))
        tensors = load_file(path)
        found = edit(tensors.pop(name))
        save_file(tensors | ({} if found is None else {name: found}), path)
        index = folder / file / "model.safetensors.index.json"
        if found is None:
            content = json.loads(index.read_text())
            del content["weight_map"][name]
            write_json(index, content)

    return write
