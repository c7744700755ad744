"""InstructBLIP as transformers has it (facts 4.1, last column): tower, Q-Former, queries and f_V in one folder."""

from __future__ import annotations

from .lavis import QFORMER, TEXT, TOWER
from .layouts import Ignore, Layout, Rename

LAYOUT = Layout(
    "InstructBLIP (transformers)",
    [
        Rename(r"query_tokens", ("visual_tokens.query_tokens",)),
        Rename(r"language_projection\.(weight|bias)", (r"visual_tokens.projection.\1",)),
        Ignore(r"vision_model\.embeddings\.position_ids", "made anew from the configuration"),
        Rename(r"vision_model\.(.+)", (rf"{TOWER}\1",)),
        Ignore(r"qformer\.embeddings\.(?:(?:word|position)_embeddings\.weight|position_ids)", TEXT),
        Ignore(r"qformer\.encoder\.layer\.\d+\.(?:intermediate|output)\..+", TEXT),
        Rename(r"qformer\.(.+)", (rf"{QFORMER}\1",)),
        Ignore(r"language_model\..+", "the trunk comes from another release"),
    ],
    ["visual_tokens."],
)
