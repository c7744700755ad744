"""CoLVA's parts as plain arithmetic on the names of its releases: InternViT and its projector, Phi-3, RADIO."""

import math

import torch
import torch.nn.functional as F


class Named:
    """Tensors by the end of their names."""

    def __init__(self, tensors, below=""):
        self.tensors, self.below = tensors, below

    def __truediv__(self, name):
        return Named(self.tensors, f"{self.below}{name}.")

    def __getitem__(self, name):
        return self.tensors[f"{self.below}{name}"].float()

    def linear(self, x):
        bias = self["bias"] if f"{self.below}bias" in self.tensors else None
        return F.linear(x, self["weight"], bias)

    def norm(self, x, eps):
        return F.layer_norm(x, x.shape[-1:], self["weight"], self["bias"], eps)

    def rms(self, x, eps):
        return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * self["weight"]


def attend(q, k, v, heads, causal=False, turn=lambda x: x):
    """B x S x W, W split into heads."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = turn(q) @ turn(k).transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf).triu(1)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def internvit(t, pixels, layers, heads, patch):
    """Every layer's states, the embeddings first; each branch has a scale of its own."""
    e = t / "vision_model.embeddings"
    x = (
        F.conv2d(pixels, e["patch_embedding.weight"], e["patch_embedding.bias"], stride=patch)
        .flatten(2)
        .transpose(1, 2)
    )
    x = torch.cat([e["class_embedding"].expand(len(x), -1, -1), x], 1) + e["position_embedding"]
    states = [x]
    for n in range(layers):
        b = t / f"vision_model.encoder.layers.{n}"
        seen = (b / "attn.qkv").linear((b / "norm1").norm(x, 1e-6))
        x = x + b["ls1"] * (b / "attn.proj").linear(attend(*seen.chunk(3, -1), heads))
        inner = F.gelu((b / "mlp.fc1").linear((b / "norm2").norm(x, 1e-6)))
        x = x + b["ls2"] * (b / "mlp.fc2").linear(inner)
        states.append(x)
    return states


def project(t, states):
    """Four neighbours become one token: upper left, upper right, lower left, lower right."""
    side = math.isqrt(states.shape[1] - 1)
    x = states[:, 1:].unflatten(1, (side, side))
    x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1).flatten(1, 2)
    return (t / "mlp1.3").linear(F.gelu((t / "mlp1.1").linear((t / "mlp1.0").norm(x, 1e-5))))


def phi3(t, ids, config, layers=None):
    """Logits; "su" divides the frequencies by the short or, behind the original length, the long factors."""
    heads, width = config["num_attention_heads"], config["hidden_size"]
    half, length = width // heads // 2, ids.shape[1]
    original = config["original_max_position_embeddings"]
    factors = config["rope_scaling"]["long_factor" if length > original else "short_factor"]
    powers = config["rope_theta"] ** (torch.arange(half) / half)
    angles = torch.arange(length)[:, None] / (torch.tensor(factors) * powers)
    stretch = config["max_position_embeddings"] / original
    cos, sin = ((f(angles) * math.sqrt(1 + math.log(stretch) / math.log(original))) for f in (torch.cos, torch.sin))

    def turn(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    m = t / "language_model.model"
    x = m["embed_tokens.weight"][ids]
    for n in range(config["num_hidden_layers"]):
        b = m / f"layers.{n}"
        q, k, v = (b / "self_attn.qkv_proj").linear((b / "input_layernorm").rms(x, 1e-5)).chunk(3, -1)
        x = x + (b / "self_attn.o_proj").linear(attend(q, k, v, heads, causal=True, turn=turn))
        gate, up = (b / "mlp.gate_up_proj").linear((b / "post_attention_layernorm").rms(x, 1e-5)).chunk(2, -1)
        x = x + (b / "mlp.down_proj").linear(F.silu(gate) * up)
    return (t / "language_model.lm_head").linear((m / "norm").rms(x, 1e-5))


def radio(t, pixels, layers, heads, patch, tokens, align_corners):
    """Features of the patches; the position table is looked up bilinearly at the patches' places."""
    t = t / "radio_model"
    x = (pixels - t["input_conditioner.norm_mean"]) / t["input_conditioner.norm_std"]
    x = F.unfold(x, patch, stride=patch).transpose(1, 2) @ t["model.patch_generator.embedder.weight"].T
    rows, columns = (length // patch for length in pixels.shape[2:])
    table = t["model.patch_generator.pos_embed"]
    side, longer = math.isqrt(table.shape[1]), max(rows, columns)
    steps = torch.linspace(-1, 1, longer) if align_corners else (torch.arange(longer) + 0.5) * 2 / longer - 1
    places = torch.stack(torch.meshgrid(steps[:columns], steps[:rows], indexing="xy"), -1)
    positions = F.grid_sample(table.mT.unflatten(2, (side, side)), places[None], padding_mode="border",
                              align_corners=align_corners)  # fmt: skip
    x = x + positions.flatten(2).mT
    x = torch.cat([t["model.patch_generator.cls_token.token"].expand(len(x), -1, -1), x], 1)
    for n in range(layers):
        b = t / f"model.blocks.{n}"
        seen = (b / "attn.qkv").linear((b / "norm1").norm(x, 1e-6))
        x = x + (b / "attn.proj").linear(attend(*seen.chunk(3, -1), heads))
        x = x + (b / "mlp.fc2").linear(F.gelu((b / "mlp.fc1").linear((b / "norm2").norm(x, 1e-6))))
    return x[:, tokens:]


def adapter(t, x):
    return (t / "ot_mlp1.3").linear(F.gelu((t / "ot_mlp1.1").linear((t / "ot_mlp1.0").norm(x, 1e-5))))
