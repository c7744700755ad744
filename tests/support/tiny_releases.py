"""Calico's releases at tiny sizes, each in its real layout, and how they go together."""

from dataclasses import replace

import foreign
import torch
from slow_llama import write_tokenizer
from toy import SMALL, small_config
from transformers import Dinov2Model, InstructBlipConfig, InstructBlipForConditionalGeneration, LlamaConfig

from llava_corr.cli import main
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.models.checkpoints.composing import Release
from llava_corr.models.checkpoints.glamm import glamm_layout
from llava_corr.models.checkpoints.lavis import QFORMER_LAYOUT, eva_layout
from llava_corr.models.checkpoints.tensor_files import open_tensors
from llava_corr.models.checkpoints.towers import load_semantic

ROWS = 337  # of slow_llama's tokenizer
SAM = foreign.SamSizes(width=32, layers=2, heads=2, image=64, patch=8, window=3, global_layers=(1,), prompt=32, mlp=64,
                       encoder_mlp=4)  # fmt: skip
TRUNK = foreign.TrunkSizes(width=32, inner=64, layers=3, rows=ROWS, head=16)
QFORMER = foreign.QFormerSizes(width=32, inner=64, layers=2, every=2, tower=32, queries=4, words=20, places=8, trunk=32)
GROUNDING = (
    "model.grounding={image_size: 64, patch_size: 8, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "window_size: 3, global_attn_indexes: [1], use_rel_pos: true, prompt_size: 32, decoder_mlp: 64, decoder_heads: 2}"
)


def tiny_config(folder, *words):
    section = small_config(folder, GROUNDING, *words).model
    return build_config(section, Vocabulary(ROWS, bos=1, eos=2, pad=0, image=ROWS, seg=334))


def instructblip(config):
    """transformers' own, with a text branch and a language model, which are not wanted."""
    qformer = config.qformer_config.to_dict() | {"vocab_size": 20, "max_position_embeddings": 8}
    text = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    whole = InstructBlipConfig(vision_config=config.vision_config.to_dict(), qformer_config=qformer,
                               text_config=text.to_dict(), num_query_tokens=config.num_query_tokens)  # fmt: skip
    torch.manual_seed(5)
    model = InstructBlipForConditionalGeneration(whole).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def write_releases(folder, config):
    """GLaMM in shards of mixed precision, LAVIS's two files, SAM's, and DINOv2."""
    glamm = foreign.fill(foreign.glamm(TRUNK, SAM, vision=16), seed=1)
    whole = ("grounding_encoder", "text_hidden_fcs")
    mixed = {name: value if any(w in name for w in whole) else value.bfloat16() for name, value in glamm.items()}
    foreign.write_sharded(folder / "glamm", mixed)
    assert write_tokenizer(folder / "glamm") == ROWS
    torch.save({"model": foreign.fill(foreign.lavis_qformer(QFORMER), seed=2)}, folder / "instruct_blip.pth")
    eva = foreign.fill(foreign.eva(width=32, inner=64, layers=3, places=17, patch=8), seed=3)
    torch.save({name: value.half() for name, value in eva.items()}, folder / "eva_vit_g.pth")
    torch.save(foreign.fill(foreign.sam(SAM), seed=4), folder / "sam.pth")
    foreign.write_sharded(folder / "vicuna", foreign.fill(foreign.trunk(replace(TRUNK, rows=330)), seed=6))
    write_tokenizer(folder / "vicuna", ())
    instructblip(config).save_pretrained(folder / "instructblip")
    Dinov2Model(config.semantic_config).save_pretrained(folder / "dinov2")


def releases(folder, config):
    return [
        Release(glamm_layout(config), open_tensors(folder / "glamm")),
        Release(QFORMER_LAYOUT, open_tensors(folder / "instruct_blip.pth")),
        Release(eva_layout(2), open_tensors(folder / "eva_vit_g.pth")),
    ]


def towers(folder, config, dtype=torch.float32):
    return {"correspondence.semantic_model": load_semantic(folder / "dinov2", config, dtype)}


SETS = [word for value in (*SMALL, GROUNDING) for word in ("--set", value)]


def run_import(out, *releases, **more):
    options = [word for name, value in more.items() for word in (f"--{name}", str(value))]
    return main(["import", "--config", "tiny/calico.yaml", *SETS, "--out", str(out), *options, "--from", *releases])
