"""SAM as the segment-anything package writes it (sam_vit_b, _l, _h), and as GLaMM and LISA hold it inside."""

from __future__ import annotations

from .layouts import Ignore, Layout, Rename

SAM = "grounding.sam."
ENCODER = (
    (r"pos_embed", r"pos_embed"),
    (r"patch_embed\.proj\.(weight|bias)", r"patch_embed.projection.\1"),
    (r"blocks\.(\d+)\.norm([12])\.(weight|bias)", r"layers.\1.layer_norm\2.\3"),
    (r"blocks\.(\d+)\.((?:attn|mlp)\..+)", r"layers.\1.\2"),
    (r"neck\.0\.weight", r"neck.conv1.weight"),
    (r"neck\.1\.(weight|bias)", r"neck.layer_norm1.\1"),
    (r"neck\.2\.weight", r"neck.conv2.weight"),
    (r"neck\.3\.(weight|bias)", r"neck.layer_norm2.\1"),
)
PROMPTS = (
    (r"point_embeddings\.(\d+)\.weight", r"point_embed.\1.weight"),
    (r"((?:not_a_point|no_mask)_embed\.weight)", r"\1"),
    *(
        (rf"mask_downscaling\.{index}\.(weight|bias)", rf"mask_embed.{name}.\1")
        for index, name in ((0, "conv1"), (1, "layer_norm1"), (3, "conv2"), (4, "layer_norm2"), (6, "conv3"))
    ),
)
DECODER = (
    (r"transformer\.layers\.(\d+)\.norm(\d)\.(weight|bias)", r"transformer.layers.\1.layer_norm\2.\3"),
    (r"transformer\.norm_final_attn\.(weight|bias)", r"transformer.layer_norm_final_attn.\1"),
    (r"(transformer\..+)", r"\1"),
    (r"((?:iou_token|mask_tokens)\.weight)", r"\1"),
    *(
        (rf"output_upscaling\.{index}\.(weight|bias)", rf"{name}.\1")
        for index, name in ((0, "upscale_conv1"), (1, "upscale_layer_norm"), (3, "upscale_conv2"))
    ),
    *(
        (rf"({head})\.layers\.{index}\.(weight|bias)", rf"\1.{name}.\2")
        for head in (r"output_hypernetworks_mlps\.\d+", "iou_prediction_head")
        for index, name in enumerate(("proj_in", r"layers.0", "proj_out"))
    ),
)
POSITION_CODE = (
    f"{SAM}shared_image_embedding.positional_embedding",
    f"{SAM}prompt_encoder.shared_embedding.positional_embedding",
)


def sam_rules(below: str = "") -> list[Rename]:
    """Rules for a SAM whose names begin with ``below``, a regular expression without groups."""
    rules = [
        Rename(rf"{below}{part}\.{pattern}", (f"{SAM}{ours}.{name}",))
        for part, ours, rows in (
            ("image_encoder", "vision_encoder", ENCODER),
            ("prompt_encoder", "prompt_encoder", PROMPTS),
            ("mask_decoder", "mask_decoder", DECODER),
        )
        for pattern, name in rows
    ]
    code = rf"{below}prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix"
    return [*rules, Rename(code, POSITION_CODE)]


def pixels(below: str = "") -> Ignore:
    """The rule for buffers that some files have beside the weights of :func:`sam_rules`."""
    return Ignore(rf"{below}pixel_(?:mean|std)", "constants of our preprocessing")


LAYOUT = Layout("segment-anything", [*sam_rules(), pixels()], [SAM])
