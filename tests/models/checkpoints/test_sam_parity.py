"""SAM from a segment-anything file draws what the package itself draws, from picture to mask at original size."""

import copy

import numpy as np
import pytest
import reference_sam
import torch
from foreign import SamSizes
from toy import small_config, write_toy

from llava_corr.models.checkpoints.layouts import map_names
from llava_corr.models.checkpoints.segment_anything import LAYOUT
from llava_corr.models.checkpoints.tensor_files import open_tensors
from llava_corr.training.model import build_model

SIZES = SamSizes(width=32, layers=3, heads=2, image=64, patch=4, window=5, global_layers=(1,), prompt=32, mlp=48)
SECTION = (
    "model.grounding={image_size: 64, patch_size: 4, hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 2, "
    "window_size: 5, global_attn_indexes: [1], use_rel_pos: true, prompt_size: 32, decoder_mlp: 48, decoder_heads: 2, "
    "decoder_norm_eps: 1.0e-5}"
)
PICTURES = [(48, 64), (64, 48), (37, 111), (200, 90), (64, 64), (3, 64)]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(the package's SAM, our model with the weights of its file, processor)."""
    folder = tmp_path_factory.mktemp("sam")
    reference = reference_sam.tiny_sam(SIZES, heads=2)
    torch.save(reference.state_dict(), folder / "sam_vit_t.pth")
    parts, processor = build_model(small_config(folder, SECTION), write_toy(folder, 3))
    model, files = parts.model.eval(), open_tensors(folder / "sam_vit_t.pth")
    wanted = {name: value.shape for name, value in model.state_dict().items()}
    plan = map_names(LAYOUT, files, wanted)
    filled = {name: files.tensor(sources[0].name) for name, sources in plan.sources.items()}
    assert set(filled) == {name for name in wanted if name.startswith("grounding.")}
    model.load_state_dict(filled, strict=False)
    return reference, model, processor


def picture_of(size):
    return np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8)


def prompts(count):
    return torch.randn(count, SIZES.prompt, generator=torch.Generator().manual_seed(count))


@torch.no_grad()
def reference_features(reference, picture):
    resized = reference_sam.longest_side(picture, SIZES.image)
    pixels = torch.as_tensor(resized).permute(2, 0, 1)[None].float()
    return reference.image_encoder(reference.preprocess(pixels)), resized.shape[:2]


@torch.no_grad()
def reference_masks(reference, features, states):
    dense = reference.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(
        len(states), -1, *features.shape[-2:]
    )
    logits, _ = reference.mask_decoder(
        image_embeddings=features,
        image_pe=reference.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=states[:, None],
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    return logits


@pytest.mark.parametrize("size", PICTURES)
def test_preprocessing_and_encoder(both, size):
    reference, model, processor = both
    picture = picture_of(size)
    expected, inside = reference_features(reference, picture)
    seen = processor.pixels([picture])
    assert tuple(seen["grounding_sizes"][0].tolist()) == inside
    with torch.no_grad():
        found = model.encode_grounding(seen["grounding_pixels"], seen["grounding_sizes"])
    assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", PICTURES)
def test_masks_at_original_size(both, size):
    """Two masks of one picture, drawn in one call."""
    reference, model, processor = both
    features, inside = reference_features(reference, picture_of(size))
    states = prompts(2)
    logits = reference_masks(reference, features, states)
    expected = reference.postprocess_masks(logits, inside, size).sigmoid()[:, 0]
    with torch.no_grad():
        drawn = model.grounding.decode(features, states, torch.zeros(2, dtype=torch.long))
    assert torch.allclose(drawn, logits[:, 0], atol=1e-4, rtol=1e-4)
    found = processor.mask_probabilities(drawn, [size] * 2)
    assert np.allclose(np.stack(found), expected.numpy(), atol=1e-4)


@torch.no_grad()
def test_the_decoder_s_norms_divide_by_the_authors_epsilon(both):
    """Seen where states are small: with transformers' default, 1e-6, masks are 1e-3 off."""
    reference, model = (copy.deepcopy(one) for one in both[:2])
    for decoder in (reference.mask_decoder, model.grounding.sam.mask_decoder):
        for name, parameter in decoder.transformer.named_parameters():
            if "norm" not in name:
                parameter.mul_(0.1)
    features = reference_features(reference, picture_of((64, 64)))[0]
    expected = reference_masks(reference, features, prompts(2))[:, 0]
    found = model.grounding.decode(features, prompts(2), torch.zeros(2, dtype=torch.long))
    assert torch.allclose(found, expected, atol=1e-5)


def test_masks_of_two_pictures_in_one_call(both):
    reference, model, _ = both
    pair = [reference_features(reference, picture_of(size))[0] for size in PICTURES[:2]]
    states, owners = prompts(3), torch.tensor([1, 0, 1])
    with torch.no_grad():
        drawn = model.grounding.decode(torch.cat(pair), states, owners)
    for k, owner in enumerate(owners.tolist()):
        expected = reference_masks(reference, pair[owner], states[k : k + 1])
        assert torch.allclose(drawn[k], expected[0, 0], atol=1e-4, rtol=1e-4)
