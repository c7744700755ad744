"""The segment-anything package at tiny sizes; a stand-in for what it takes of torchvision, where that cannot be had."""

import importlib.util
import sys
import types
from functools import partial

import numpy as np
import torch
from PIL import Image


def _resize(picture, size, **_):
    return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def import_segment_anything():
    if importlib.util.find_spec("torchvision") is None:
        names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
                 "torchvision.transforms.functional")  # fmt: skip
        made = {name: types.ModuleType(name) for name in names}
        made["torchvision.ops.boxes"].batched_nms = made["torchvision.ops.boxes"].box_area = None
        made["torchvision.transforms.functional"].resize = _resize
        made["torchvision.transforms.functional"].to_pil_image = Image.fromarray
        sys.modules.update(made)
        try:
            import segment_anything
        finally:  # others must not take it for the library
            for name in names:
                sys.modules.pop(name, None)
        return segment_anything
    import segment_anything

    return segment_anything


def tiny_sam(sizes, heads, seed=0):
    """The package's own classes, random weights in every layer."""
    package = import_segment_anything()
    parts = package.modeling
    side = sizes.image // sizes.patch
    model = parts.Sam(
        image_encoder=parts.ImageEncoderViT(
            depth=sizes.layers, embed_dim=sizes.width, img_size=sizes.image, mlp_ratio=sizes.encoder_mlp,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), num_heads=sizes.heads, patch_size=sizes.patch,
            qkv_bias=True, use_rel_pos=True, global_attn_indexes=sizes.global_layers, window_size=sizes.window,
            out_chans=sizes.prompt,
        ),
        prompt_encoder=parts.PromptEncoder(
            embed_dim=sizes.prompt, image_embedding_size=(side, side), input_image_size=(sizes.image, sizes.image),
            mask_in_chans=16,
        ),
        mask_decoder=parts.MaskDecoder(
            num_multimask_outputs=3, transformer_dim=sizes.prompt, iou_head_depth=3, iou_head_hidden_dim=sizes.prompt,
            transformer=parts.TwoWayTransformer(
                depth=2, embedding_dim=sizes.prompt, mlp_dim=sizes.mlp, num_heads=heads
            ),
        ),
    ).eval()  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def longest_side(picture, side):
    """The package's resizing of a uint8 picture."""
    return import_segment_anything().utils.transforms.ResizeLongestSide(side).apply_image(np.asarray(picture))
