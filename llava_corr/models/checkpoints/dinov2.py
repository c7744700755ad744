"""DINOv2 as its authors' files have it (dinov2_vit*14_pretrain.pth and _reg4_pretrain.pth)."""

from __future__ import annotations

from .layouts import Layout, Rename

TOWER = "correspondence.semantic_model."
BLOCK = r"blocks\.(\d+)\."
OURS = rf"{TOWER}encoder.layer.\1."


def _cut(pattern: str, *ours: str) -> Rename:
    return Rename(rf"{BLOCK}{pattern}\.(weight|bias)", tuple(rf"{OURS}{name}.\2" for name in ours), split=len(ours) > 1)


LAYOUT = Layout(
    "DINOv2",
    [
        Rename(r"(cls_token|mask_token|register_tokens)", (rf"{TOWER}embeddings.\1",)),
        Rename(r"pos_embed", (f"{TOWER}embeddings.position_embeddings",)),
        Rename(r"patch_embed\.proj\.(weight|bias)", (rf"{TOWER}embeddings.patch_embeddings.projection.\1",)),
        Rename(r"norm\.(weight|bias)", (rf"{TOWER}layernorm.\1",)),
        Rename(rf"{BLOCK}norm([12])\.(weight|bias)", (rf"{OURS}norm\2.\3",)),
        Rename(rf"{BLOCK}ls([12])\.gamma", (rf"{OURS}layer_scale\2.lambda1",)),
        _cut(r"attn\.qkv", *(f"attention.{name}_proj" for name in "qkv")),
        _cut(r"attn\.proj", "attention.o_proj"),
        _cut(r"mlp\.fc1", "mlp.fc1"),
        _cut(r"mlp\.fc2", "mlp.fc2"),
        _cut(r"mlp\.w12", "mlp.gate_proj", "mlp.up_proj"),  # SwiGLU: SiLU of the first half times the second
        _cut(r"mlp\.w3", "mlp.down_proj"),
    ],
    [TOWER],
    critical="register",  # without them the model of the others gives other features
)
