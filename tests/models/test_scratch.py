"""Starting values: positions tell near from far, fresh weights have the configured spread."""

import pytest
import torch
from toy import small_config, write_toy

from llava_corr.training.model import build_model


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    samples = write_toy(folder, 4)

    def make(*overrides):
        return build_model(small_config(folder, *overrides), samples)[0].model

    return make


def _grids(model):
    vision = model.visual_tokens.vision_model.embeddings.position_embedding[0, 1:]
    grounding = model.grounding.sam.vision_encoder.pos_embed[0].flatten(0, 1)
    return [grid.detach() for grid in (vision, grounding)]


def test_every_place_has_a_code_of_its_own_and_its_neighbours_have_the_nearest_codes(build):
    for grid in _grids(build()):
        side = round(len(grid) ** 0.5)
        place = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).reshape(-1, 2)
        codes = torch.cdist(grid, grid) + torch.eye(len(grid)) * 1e9
        steps = (place[:, None] - place[None]).abs().sum(-1)
        assert codes.min() > 0.1
        assert (steps[torch.arange(len(grid)), codes.argmin(1)] == 1).all()


def test_codes_are_the_closed_form_whatever_the_seed(build):
    grid = _grids(build("seed=3"))[1].reshape(8, 8, 32)
    row, column, wave = 5, 2, 3
    frequency = 100.0 ** (-wave / 8)
    assert grid[row, column, wave] == pytest.approx(torch.tensor(row * frequency).sin().item(), abs=1e-5)
    assert grid[row, column, 8 + wave] == pytest.approx(torch.tensor(row * frequency).cos().item(), abs=1e-5)
    assert grid[row, column, 16 + wave] == pytest.approx(torch.tensor(column * frequency).sin().item(), abs=1e-5)


def test_fresh_weights_have_the_configured_spread_in_every_tower(build):
    model = build("model.initializer_range=0.11")
    for weight in (
        model.visual_tokens.vision_model.encoder.layers[0].mlp.fc1.weight,
        model.visual_tokens.qformer.encoder.layer[0].intermediate_query.dense.weight,
        model.trunk.model.layers[0].mlp.up_proj.weight,
        model.grounding.sam.vision_encoder.layers[0].mlp.lin1.weight,
        model.grounding.sam.mask_decoder.transformer.layers[0].mlp.lin1.weight,
        model.seg_projection.layers[0].weight,
    ):
        assert weight.std().item() == pytest.approx(0.11, rel=0.15)


def test_the_mask_decoder_tells_places_apart_smoothly(build):
    """With the library's default spread, the nearest code is that of an unrelated place."""
    code = build("seed=1").grounding.sam.get_image_wide_positional_embeddings()[0].flatten(1).T
    nearest = (torch.cdist(code, code) + torch.eye(len(code)) * 1e9).argmin(1)
    side = round(len(code) ** 0.5)
    rows, columns = torch.arange(len(code)) // side, torch.arange(len(code)) % side
    steps = (rows - rows[nearest]).abs() + (columns - columns[nearest]).abs()
    assert (steps == 1).float().mean() > 0.8
