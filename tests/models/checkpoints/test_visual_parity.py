"""EVA-CLIP and Q-Former from LAVIS's files see what LAVIS's arithmetic sees: written out here under its own names."""

import foreign
import pytest
import torch
import torch.nn.functional as F
from tiny_releases import QFORMER, releases, tiny_config, towers
from transformers import InstructBlipForConditionalGeneration

from llava_corr.models.checkpoints.composing import Release, compose
from llava_corr.models.checkpoints.dinov2 import LAYOUT as DINOV2_LAYOUT
from llava_corr.models.checkpoints.instructblip import LAYOUT
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.models.checkpoints.tensor_files import open_tensors
from llava_corr.models.semantic import resize_positions

HEADS = 2


class Named:
    """Tensors of a file by the end of their names."""

    def __init__(self, files, below=""):
        self.files, self.below = files, below

    def __truediv__(self, name):
        return Named(self.files, f"{self.below}{name}.")

    def __getitem__(self, name):
        return self.files.tensor(f"{self.below}{name}").float()

    def linear(self, x):
        return F.linear(x, self["weight"], self["bias"])

    def norm(self, x, eps):
        return F.layer_norm(x, x.shape[-1:], self["weight"], self["bias"], eps)


def attend(q, k, v, heads=HEADS):
    """B x S x W, W split into heads."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def eva(file, pixels, layers, patch):
    """Pre-norm blocks; keys have no bias."""
    x = F.conv2d(pixels, file["patch_embed.proj.weight"], file["patch_embed.proj.bias"], stride=patch)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([file["cls_token"].expand(len(x), -1, -1), x], 1) + file["pos_embed"]
    for n in range(layers):
        block = file / f"blocks.{n}"
        bias = torch.cat([block["attn.q_bias"], torch.zeros_like(block["attn.q_bias"]), block["attn.v_bias"]])
        seen = F.linear((block / "norm1").norm(x, 1e-6), block["attn.qkv.weight"], bias)
        x = x + (block / "attn.proj").linear(attend(*seen.chunk(3, -1)))
        inner = F.gelu((block / "mlp.fc1").linear((block / "norm2").norm(x, 1e-6)))
        x = x + (block / "mlp.fc2").linear(inner)
    return x


def qformer(file, queries, patches, layers, every):
    """BERT's post-norm layers on the queries alone: self-attention, patches every other layer, the queries' own FFN."""
    x = (file / "Qformer.bert.embeddings.LayerNorm").norm(queries, 1e-12)
    for n in range(layers):
        layer = file / f"Qformer.bert.encoder.layer.{n}"
        for kind, seen in (("attention", None), ("crossattention", patches)):
            if seen is not None and n % every:
                continue
            part, source = layer / kind, x if seen is None else seen
            q, k, v = (
                (part / f"self.{name}").linear(s) for name, s in (("query", x), ("key", source), ("value", source))
            )
            x = (part / "output.LayerNorm").norm((part / "output.dense").linear(attend(q, k, v)) + x, 1e-12)
        inner = F.gelu((layer / "intermediate_query.dense").linear(x))
        x = (layer / "output_query.LayerNorm").norm((layer / "output_query.dense").linear(inner) + x, 1e-12)
    return x


@pytest.fixture(scope="module")
def model(released, config):
    return compose(config, releases(released, config), towers(released, config))[0]


@torch.no_grad()
def test_patches_and_tokens(model, released):
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tower, rest = (Named(open_tensors(released / name)) for name in ("eva_vit_g.pth", "instruct_blip.pth"))
    # LAVIS divides here with an epsilon of 1e-5, transformers' InstructBLIP and ours with the tower's.
    patches = (rest / "ln_vision").norm(eva(tower, pixels, layers=2, patch=8), 1e-6)
    found = model.visual_tokens.look(pixels)
    assert torch.allclose(found, patches, atol=1e-4, rtol=1e-4)
    queries = rest["query_tokens"].expand(2, -1, -1)
    states = qformer(rest, queries, patches, QFORMER.layers, QFORMER.every)
    assert torch.allclose(model.visual_tokens(found, project=False), states, atol=1e-4, rtol=1e-4)
    assert torch.allclose(model.visual_tokens(found), (rest / "llm_proj").linear(states), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_guidance_is_added_to_the_queries(model, released):
    """The CAM's second pass: Q-Former(Q + W1 h, patches), then W2 (Calico eq. 7 to 9)."""
    generator = torch.Generator().manual_seed(1)
    layer = next(iter(model.adaptation))
    cam = model.adaptation[layer]
    for parameter in cam.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    patches = torch.randn(2, 17, 32, generator=generator)
    guides = torch.randn(2, 32, generator=generator)
    rest = Named(open_tensors(released / "instruct_blip.pth"))
    queries = rest["query_tokens"] + F.linear(guides, cam.guidance.weight, cam.guidance.bias)[:, None]
    states = qformer(rest, queries, patches, QFORMER.layers, QFORMER.every)
    expected = F.linear(states, cam.output.weight, cam.output.bias)
    assert torch.allclose(model.enrich(int(layer), guides, patches), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_transformers_instructblip_gives_the_same_tokens(released, config):
    """Its tower by its own forward, its Q-Former, which would want a text, by the arithmetic above."""
    given = [releases(released, config)[0], Release(LAYOUT, open_tensors(released / "instructblip"))]
    model = compose(config, given, towers(released, config))[0]
    reference = InstructBlipForConditionalGeneration.from_pretrained(released / "instructblip").eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    patches = reference.vision_model(pixel_values=pixels).last_hidden_state
    found = model.visual_tokens.look(pixels)
    assert torch.allclose(found, patches, atol=1e-5)
    rest = Named(open_tensors(released / "instructblip"))
    layers = {
        name.replace("qformer.", "Qformer.bert.").replace("attention.attention.", "attention.self."): name
        for name in rest.files
    }
    renamed = Named(Renamed(rest.files, {k.replace("layernorm", "LayerNorm"): v for k, v in layers.items()}))
    states = qformer(renamed, rest["query_tokens"].expand(2, -1, -1), patches, QFORMER.layers, QFORMER.every)
    assert torch.allclose(model.visual_tokens(found, project=False), states, atol=1e-4, rtol=1e-4)
    tokens = reference.language_projection(states)
    assert torch.allclose(model.visual_tokens(found), tokens, atol=1e-4, rtol=1e-4)


class Renamed:
    def __init__(self, files, names):
        self.files, self.names = files, names

    def tensor(self, name):
        return self.files.tensor(self.names.get(name, name))


def dinov2(file, pixels, layers, patch, swiglu):
    """Pre-norm blocks with a scale on every branch; the last norm is part of the output."""
    x = F.conv2d(pixels, file["patch_embed.proj.weight"], file["patch_embed.proj.bias"], stride=patch)
    x, table = x.flatten(2).transpose(1, 2), file["pos_embed"]
    side = round(x.shape[1] ** 0.5)
    places = torch.cat([table[:, :1], resize_positions(table[:, 1:], (side, side), 0.1)], 1)
    x = torch.cat([file["cls_token"].expand(len(x), -1, -1), x], 1) + (places if len(table[0]) > side**2 + 1 else table)
    for n in range(layers):
        block = file / f"blocks.{n}"
        seen = (block / "attn.qkv").linear((block / "norm1").norm(x, 1e-6))
        x = x + block["ls1.gamma"] * (block / "attn.proj").linear(attend(*seen.chunk(3, -1)))
        inner = (block / "norm2").norm(x, 1e-6)
        if swiglu:
            gate, up = (block / "mlp.w12").linear(inner).chunk(2, -1)
            inner = (block / "mlp.w3").linear(F.silu(gate) * up)
        else:
            inner = (block / "mlp.fc2").linear(F.gelu((block / "mlp.fc1").linear(inner)))
        x = x + block["ls2.gamma"] * inner
    return (file / "norm").norm(x, 1e-6)


@pytest.mark.parametrize(("swiglu", "side"), [(False, 4), (True, 4), (True, 7)])
@torch.no_grad()
def test_dinov2_of_its_authors(released, tmp_path, swiglu, side):
    """Also with a table for larger pictures than are looked at, as the released ones are."""
    own = tiny_config(tmp_path, f"model.correspondence.pretrained_size={side * 8}")
    own.semantic_config.use_swiglu_ffn = swiglu
    inner = 48 if not swiglu else 8 * ((48 * 2 // 3 + 7) // 8)
    names = foreign.dinov2(width=24, layers=1, inner=inner, places=side**2 + 1, patch=8, swiglu=swiglu)
    torch.save(foreign.fill(names, seed=9), tmp_path / "dinov2_vitt8_pretrain.pth")
    files = open_tensors(tmp_path / "dinov2_vitt8_pretrain.pth")
    made = compose(own, [*releases(released, own), Release(DINOV2_LAYOUT, files)])[0]
    made.save_pretrained(tmp_path / "model")
    model = load_model(tmp_path / "model")
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = dinov2(Named(files), pixels, layers=1, patch=8, swiglu=swiglu)
    assert torch.allclose(model.correspondence.look(pixels), expected[:, 1:], atol=1e-4, rtol=1e-4)
