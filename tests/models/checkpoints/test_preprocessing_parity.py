"""What each tower is given, against the released models' own preprocessing written out with PIL (facts 1.4, 4.1)."""

import numpy as np
import pytest
import torch
from PIL import Image
from toy import small_config, write_toy

from llava_corr.training.model import build_model

CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [(48, 64), (64, 48), (31, 97), (224, 224), (500, 333), (7, 5)]
CONFIGS = {
    "eva_clip": [],
    "clip": ["model.vision={kind: clip, image_size: 32, patch_size: 8, hidden_size: 32, num_hidden_layers: 2, "
             "num_attention_heads: 2, intermediate_size: 64}", "model.qformer=null", "model.adaptation=null",
             "model.correspondence=null"],
    "dinov2 of its own size": ["model.correspondence.image_size=40"],
}  # fmt: skip


@pytest.fixture(scope="module", params=CONFIGS)
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    samples = write_toy(folder, 1)
    parts, processor = build_model(small_config(folder, *CONFIGS[request.param]), samples)
    return request.param, parts.model.eval(), processor


def picture_of(size):
    return np.random.default_rng(size[0]).integers(0, 256, (*size, 3), dtype=np.uint8)


def normalised(picture, statistics):
    mean, std = (np.array(values, dtype=np.float64) for values in statistics)
    return ((np.asarray(picture) / 255 - mean) / std).transpose(2, 0, 1)


def squashed(picture, side):
    """LAVIS: both sides to the tower's, bicubic."""
    return Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)


def cropped(picture, side):
    """CLIP: the shorter side to the tower's, bicubic, then the square in the middle."""
    height, width = picture.shape[:2]
    short = min(height, width)
    new_height, new_width = int(side * height / short), int(side * width / short)
    top, left = (new_height - side) // 2, (new_width - side) // 2
    whole = Image.fromarray(picture).resize((new_width, new_height), Image.Resampling.BICUBIC)
    return whole.crop((left, top, left + side, top + side))


def given_to(tower, run):
    seen = []
    with tower.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True):
        run()
    return seen[0]


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_what_the_vision_tower_sees(built, size):
    kind, model, processor = built
    picture = picture_of(size)
    seen = processor.pixels([picture])
    found = given_to(model.visual_tokens.vision_model, lambda: model.look(seen["pixel_values"]))
    expected = normalised((cropped if kind == "clip" else squashed)(picture, 32), CLIP)
    assert np.abs(found[0].numpy() - expected).max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("built", [kind for kind in CONFIGS if kind != "clip"], indirect=True)  # which has no DINOv2
@pytest.mark.parametrize("size", SIZES)
def test_what_dinov2_sees(built, size):
    kind, model, processor = built
    picture = picture_of(size)
    seen = processor.pixels([picture])
    pixels = seen.get("semantic_pixels", seen["pixel_values"])
    found = given_to(model.correspondence.semantic_model, lambda: model.look_for_meaning(pixels))
    expected = normalised(squashed(picture, 40 if "dinov2" in kind else 32), IMAGENET)
    assert np.abs(found[0].numpy() - expected).max() < 1e-5
