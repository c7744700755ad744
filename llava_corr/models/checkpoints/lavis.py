"""InstructBLIP as LAVIS has it (facts 4.1): Q-Former, queries and f_V in one file, EVA-CLIP-g in another.

The first is "trimmed": without the frozen tower, which is meant. Its text branch is left out: no token depends on it.
"""

from __future__ import annotations

from .layouts import Ignore, Layout, Rename

TOWER = "visual_tokens.vision_model."
QFORMER = "visual_tokens.qformer."
BERT = r"Qformer\.bert\.encoder\.layer\.(\d+)\."
TEXT = "Calico's Q-Former sees no text"

QFORMER_LAYOUT = Layout(
    "InstructBLIP's Q-Former (LAVIS)",
    [
        Rename(r"query_tokens", ("visual_tokens.query_tokens",)),
        Rename(r"llm_proj\.(weight|bias)", (r"visual_tokens.projection.\1",)),
        Rename(r"ln_vision\.(weight|bias)", (rf"{TOWER}post_layernorm.\1",)),
        Rename(r"Qformer\.bert\.embeddings\.LayerNorm\.(weight|bias)", (rf"{QFORMER}embeddings.layernorm.\1",)),
        Rename(rf"{BERT}((?:cross)?attention)\.self\.(.+)", (rf"{QFORMER}encoder.layer.\1.\2.attention.\3",)),
        Rename(
            rf"{BERT}((?:(?:cross)?attention\.output|intermediate_query|output_query)\..+)",
            (rf"{QFORMER}encoder.layer.\1.\2",),
        ),
        Ignore(rf"{BERT}(?:intermediate|output)\..+", TEXT),
        Ignore(
            r"Qformer\.bert\.embeddings\.(?:word_embeddings\.weight|position_embeddings\.weight|position_ids)", TEXT
        ),
        # LAVIS leaves frozen parameters out of what it saves, and buffers in it.
        Ignore(r"llm_model\.model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq", "of a trunk that is not in the file"),
    ],
    [QFORMER, "visual_tokens.query_tokens", "visual_tokens.projection.", f"{TOWER}post_layernorm."],
)


def eva_layout(layers: int) -> Layout:
    """EVA-CLIP-g; ``layers`` of its blocks are used: LAVIS builds 39, and takes what comes out of the last of them."""
    block = r"blocks\.(\d+)\."
    ours = rf"{TOWER}encoder.layers.\1."
    return Layout(
        "EVA-CLIP-g (LAVIS)",
        [
            *(
                Ignore(rf"blocks\.{index}\..+", f"behind the {layers} blocks that InstructBLIP builds")
                for index in range(layers, layers + 4)
            ),
            Rename(r"cls_token", (f"{TOWER}embeddings.class_embedding",)),
            Rename(r"pos_embed", (f"{TOWER}embeddings.position_embedding",)),
            Rename(r"patch_embed\.proj\.(weight|bias)", (rf"{TOWER}embeddings.patch_embedding.\1",)),
            Rename(rf"{block}norm([12])\.(weight|bias)", (rf"{ours}layer_norm\2.\3",)),
            Rename(rf"{block}attn\.qkv\.weight", (f"{ours}self_attn.qkv.weight",)),
            Rename(rf"{block}attn\.q_bias", (f"{ours}self_attn.qkv.bias",), rows=(0, 3), zero=(1,)),
            Rename(rf"{block}attn\.v_bias", (f"{ours}self_attn.qkv.bias",), rows=(2, 3), zero=(1,)),
            Rename(rf"{block}attn\.proj\.(weight|bias)", (rf"{ours}self_attn.projection.\2",)),
            Rename(rf"{block}mlp\.(fc[12]\.(?:weight|bias))", (rf"{ours}mlp.\2",)),
            Ignore(r"(?:norm|fc_norm|head)\.(?:weight|bias)", "InstructBLIP normalises by a layer of its own"),
        ],
        [f"{TOWER}embeddings.", f"{TOWER}encoder."],
    )
