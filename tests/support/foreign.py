"""Names and shapes of released files, written down from their fact sheets, at any size; and files that hold them."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file


@dataclass(frozen=True)
class SamSizes:
    width: int = 1280
    layers: int = 32
    heads: int = 16
    image: int = 1024
    patch: int = 16
    window: int = 14
    global_layers: tuple = (7, 15, 23, 31)
    prompt: int = 256
    mlp: int = 2048
    depth_ratio: int = 2  # cross-attention is this much narrower
    encoder_mlp: int = 4


@dataclass(frozen=True)
class TrunkSizes:
    width: int = 4096
    inner: int = 11008
    layers: int = 32
    rows: int = 32007
    head: int = 128


def linear(name, out, inner):
    return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def sam(s=SamSizes()):
    """segment-anything's names."""
    side, head, w, p = s.image // s.patch, s.width // s.heads, s.width, s.prompt
    out = {"image_encoder.pos_embed": (1, side, side, w),
           "image_encoder.patch_embed.proj.weight": (w, 3, s.patch, s.patch),
           "image_encoder.patch_embed.proj.bias": (w,)}  # fmt: skip
    for i in range(s.layers):
        b = f"image_encoder.blocks.{i}"
        reach = 2 * (side if i in s.global_layers else s.window) - 1
        out |= norm(f"{b}.norm1", w) | norm(f"{b}.norm2", w)
        out |= linear(f"{b}.attn.qkv", 3 * w, w) | linear(f"{b}.attn.proj", w, w)
        out |= {f"{b}.attn.rel_pos_h": (reach, head), f"{b}.attn.rel_pos_w": (reach, head)}
        out |= linear(f"{b}.mlp.lin1", s.encoder_mlp * w, w) | linear(f"{b}.mlp.lin2", w, s.encoder_mlp * w)
    out |= {"image_encoder.neck.0.weight": (p, w, 1, 1)} | norm("image_encoder.neck.1", p)
    out |= {"image_encoder.neck.2.weight": (p, p, 3, 3)} | norm("image_encoder.neck.3", p)
    e = "prompt_encoder"
    out |= {f"{e}.pe_layer.positional_encoding_gaussian_matrix": (2, p // 2)}
    out |= {f"{e}.point_embeddings.{k}.weight": (1, p) for k in range(4)}
    out |= {f"{e}.not_a_point_embed.weight": (1, p), f"{e}.no_mask_embed.weight": (1, p)}
    out |= {f"{e}.mask_downscaling.0.weight": (4, 1, 2, 2), f"{e}.mask_downscaling.0.bias": (4,)}
    out |= norm(f"{e}.mask_downscaling.1", 4)
    out |= {f"{e}.mask_downscaling.3.weight": (16, 4, 2, 2), f"{e}.mask_downscaling.3.bias": (16,)}
    out |= norm(f"{e}.mask_downscaling.4", 16)
    out |= {f"{e}.mask_downscaling.6.weight": (p, 16, 1, 1), f"{e}.mask_downscaling.6.bias": (p,)}
    t, narrow = "mask_decoder.transformer", p // s.depth_ratio

    def attention(name, inner):
        return {k: v for q in "qkv" for k, v in linear(f"{name}.{q}_proj", inner, p).items()} | linear(
            f"{name}.out_proj", p, inner
        )

    for i in range(2):
        layer = f"{t}.layers.{i}"
        out |= attention(f"{layer}.self_attn", p) | norm(f"{layer}.norm1", p)
        out |= attention(f"{layer}.cross_attn_token_to_image", narrow) | norm(f"{layer}.norm2", p)
        out |= linear(f"{layer}.mlp.lin1", s.mlp, p) | linear(f"{layer}.mlp.lin2", p, s.mlp)
        out |= norm(f"{layer}.norm3", p) | norm(f"{layer}.norm4", p)
        out |= attention(f"{layer}.cross_attn_image_to_token", narrow)
    out |= attention(f"{t}.final_attn_token_to_image", narrow) | norm(f"{t}.norm_final_attn", p)
    d = "mask_decoder"
    out |= {f"{d}.iou_token.weight": (1, p), f"{d}.mask_tokens.weight": (4, p)}
    out |= {f"{d}.output_upscaling.0.weight": (p, p // 4, 2, 2), f"{d}.output_upscaling.0.bias": (p // 4,)}
    out |= norm(f"{d}.output_upscaling.1", p // 4)
    out |= {f"{d}.output_upscaling.3.weight": (p // 4, p // 8, 2, 2), f"{d}.output_upscaling.3.bias": (p // 8,)}
    for k in range(4):
        h = f"{d}.output_hypernetworks_mlps.{k}.layers"
        out |= linear(f"{h}.0", p, p) | linear(f"{h}.1", p, p) | linear(f"{h}.2", p // 8, p)
    q = f"{d}.iou_prediction_head.layers"
    return out | linear(f"{q}.0", p, p) | linear(f"{q}.1", p, p) | linear(f"{q}.2", 4, p)


def trunk(s=TrunkSizes(), rotary=True):
    out = {"model.embed_tokens.weight": (s.rows, s.width)}
    for i in range(s.layers):
        b = f"model.layers.{i}"
        out |= {f"{b}.self_attn.{q}_proj.weight": (s.width, s.width) for q in "qkvo"}
        out |= {f"{b}.self_attn.rotary_emb.inv_freq": (s.head // 2,)} if rotary else {}
        out |= {f"{b}.mlp.{n}_proj.weight": (s.inner, s.width) for n in ("gate", "up")}
        out |= {f"{b}.mlp.down_proj.weight": (s.width, s.inner)}
        out |= {f"{b}.{n}_layernorm.weight": (s.width,) for n in ("input", "post_attention")}
    return out | {"model.norm.weight": (s.width,), "lm_head.weight": (s.rows, s.width)}


def region_encoder(width, vision=1024):
    r, v = "model.region_encoder", vision
    out = {}
    for k in range(4):
        out |= {f"{r}.mlvl_fuse.input_conv.{k}.weight": (v, v + 2, 1, 1), f"{r}.mlvl_fuse.input_conv.{k}.bias": (v,)}
        out |= {f"{r}.roi_align.pconvs.{k}.weight": (v, v, 3, 3), f"{r}.roi_align.pconvs.{k}.bias": (v,)}
    for k in range(5):
        out |= {f"{r}.mlvl_fuse.fuse_convs.{k}.conv.weight": (v, v, 3, 3)} | norm(f"{r}.mlvl_fuse.fuse_convs.{k}.gn", v)
    p = f"{r}.roi_align.pos_embedd"
    out |= linear(f"{p}.0", v // 4, 4) | norm(f"{p}.2", v // 4) | linear(f"{p}.3", v, v // 4) | norm(f"{p}.5", v)
    out |= linear(f"{r}.roi_align.flatten_linear", v, v * 196)
    return out | linear(f"{r}.roi_align.updims", width, v)


def glamm(t=TrunkSizes(), s=SamSizes(), vision=1024, age="new"):
    """GLaMM's; ``age`` "old" has the names of the code base before it."""
    out = trunk(t)
    out |= linear("model.mm_projector.0", t.width, vision) | linear("model.mm_projector.2", t.width, t.width)
    out |= linear("model.text_hidden_fcs.0.0", t.width, t.width) | linear(
        "model.text_hidden_fcs.0.2", s.prompt, t.width
    )
    out |= region_encoder(t.width, vision)
    out |= {f"model.grounding_encoder.{name}": shape for name, shape in sam(s).items()}
    if age == "old":
        older = (("grounding_encoder", "visual_model"), ("region_encoder", "spi_module"))
        for new, old in older:
            out = {name.replace(f"model.{new}.", f"model.{old}."): shape for name, shape in out.items()}
    return out


def lisa(t=TrunkSizes(rows=32004), s=SamSizes(), vision=1024):
    out = trunk(t) | linear("model.mm_projector", t.width, vision)
    out |= linear("model.text_hidden_fcs.0.0", t.width, t.width) | linear(
        "model.text_hidden_fcs.0.2", s.prompt, t.width
    )
    return out | {f"model.visual_model.{name}": shape for name, shape in sam(s).items()}


@dataclass(frozen=True)
class QFormerSizes:
    width: int = 768
    inner: int = 3072
    layers: int = 12
    every: int = 2
    tower: int = 1408
    queries: int = 32
    words: int = 30523
    places: int = 512
    trunk: int = 4096


def lavis_qformer(s=QFormerSizes()):
    w = s.width
    out = {"query_tokens": (1, s.queries, w)} | linear("llm_proj", s.trunk, w) | norm("ln_vision", s.tower)
    e = "Qformer.bert.embeddings"
    out |= {f"{e}.word_embeddings.weight": (s.words, w), f"{e}.position_embeddings.weight": (s.places, w)}
    out |= {f"{e}.position_ids": (1, s.places)} | norm(f"{e}.LayerNorm", w)
    for n in range(s.layers):
        b = f"Qformer.bert.encoder.layer.{n}"
        for kind, seen in (("attention", w), ("crossattention", s.tower)):
            if kind == "crossattention" and n % s.every:
                continue
            out |= linear(f"{b}.{kind}.self.query", w, w)
            out |= linear(f"{b}.{kind}.self.key", w, seen) | linear(f"{b}.{kind}.self.value", w, seen)
            out |= linear(f"{b}.{kind}.output.dense", w, w) | norm(f"{b}.{kind}.output.LayerNorm", w)
        for end in ("", "_query"):
            out |= linear(f"{b}.intermediate{end}.dense", s.inner, w) | linear(f"{b}.output{end}.dense", w, s.inner)
            out |= norm(f"{b}.output{end}.LayerNorm", w)
    return out


def eva(width=1408, inner=6144, layers=40, places=257, patch=14):
    """EVA-CLIP-g as one file: a block more than is used, and a norm and a head behind it."""
    out = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, places, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
    }
    out |= {"patch_embed.proj.bias": (width,)}
    for n in range(layers):
        b = f"blocks.{n}"
        out |= norm(f"{b}.norm1", width) | norm(f"{b}.norm2", width)
        out |= {f"{b}.attn.qkv.weight": (3 * width, width), f"{b}.attn.q_bias": (width,), f"{b}.attn.v_bias": (width,)}
        out |= linear(f"{b}.attn.proj", width, width)
        out |= linear(f"{b}.mlp.fc1", inner, width) | linear(f"{b}.mlp.fc2", width, inner)
    return out | norm("norm", width) | linear("head", 1024, width)


def dinov2(width=1536, layers=40, inner=4096, places=1370, patch=14, swiglu=True, registers=0):
    """The authors' names; ViT-g by default."""
    out = {"cls_token": (1, 1, width), "pos_embed": (1, places, width), "mask_token": (1, width)}
    out |= {"register_tokens": (1, registers, width)} if registers else {}
    out |= {"patch_embed.proj.weight": (width, 3, patch, patch), "patch_embed.proj.bias": (width,)}
    for n in range(layers):
        b = f"blocks.{n}"
        out |= norm(f"{b}.norm1", width) | norm(f"{b}.norm2", width)
        out |= linear(f"{b}.attn.qkv", 3 * width, width) | linear(f"{b}.attn.proj", width, width)
        out |= {f"{b}.ls1.gamma": (width,), f"{b}.ls2.gamma": (width,)}
        if swiglu:
            out |= linear(f"{b}.mlp.w12", 2 * inner, width) | linear(f"{b}.mlp.w3", width, inner)
        else:
            out |= linear(f"{b}.mlp.fc1", inner, width) | linear(f"{b}.mlp.fc2", width, inner)
    return out | norm("norm", width)


class Shapes:
    """A file of which only names and shapes are known."""

    def __init__(self, shapes):
        self.shapes = shapes

    def names(self):
        return list(self.shapes)

    def shape(self, name):
        return torch.Size(self.shapes[name])

    def dtype(self, name):
        return "bfloat16"

    def tensor(self, name):
        raise AssertionError("it has no values")

    def verify(self):
        pass


def fill(shapes, seed=0, dtype=torch.float32):
    """Values, as large as weights are."""
    generator = torch.Generator().manual_seed(seed)
    return {name: (torch.randn(shape, generator=generator) * 0.1).to(dtype) for name, shape in shapes.items()}


def write_sharded(folder: Path, tensors, shards=2, kind="bin"):
    """As transformers wrote them: numbered files and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, index = {"bin": ("pytorch_model", "pytorch_model.bin.index.json"),
                   "safetensors": ("model", "model.safetensors.index.json")}[kind]  # fmt: skip
    names, home = list(tensors), {}
    for k in range(shards):
        file = f"{stem}-{k + 1:05d}-of-{shards:05d}.{kind}"
        part = {name: tensors[name].contiguous() for name in names[k::shards]}
        torch.save(part, folder / file) if kind == "bin" else save_file(part, folder / file)
        home |= dict.fromkeys(part, file)
    size = sum(v.nbytes for v in tensors.values())
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": home}, indent=2, sort_keys=True)
    (folder / index).write_text(text + "\n")
    return folder
