"""How DINOv2's position table is resized: against the definition of bicubic sampling, and against transformers."""

import pytest
import torch
from toy import small_config
from transformers import Dinov2Config, Dinov2Model

from llava_corr.models.build import Vocabulary, build_config
from llava_corr.models.correspondence import CorrespondenceExtraction
from llava_corr.models.semantic import resize_positions, resizing_as_configured

SIDE = 37


def cubic(distance, a=-0.75):
    """Keys' kernel."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def sampling(count, side, offset):
    """count x side: how much of each entry is in each sample, along one axis; beyond the edge its last entry counts."""
    weights = torch.zeros(count, side, dtype=torch.float64)
    for k in range(count):
        place = (k + 0.5) * side / (count + offset) - 0.5
        for near in range(int(place // 1) - 1, int(place // 1) + 3):
            weights[k, min(max(near, 0), side - 1)] += cubic(place - near)
    return weights


@pytest.mark.parametrize("offset", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("grid", [(16, 16), (37, 20), (45, 38)])
def test_positions_by_definition(grid, offset):
    table = torch.randn(1, SIDE * SIDE, 5, generator=torch.Generator().manual_seed(0))
    rows, columns = (sampling(count, SIDE, offset) for count in grid)
    expected = torch.einsum("ri,cj,ije->rce", rows, columns, table.double().view(SIDE, SIDE, 5))
    found = resize_positions(table, grid, offset)
    assert torch.allclose(found.double(), expected.flatten(0, 1)[None], atol=1e-4)  # places are float32


def towers(**settings):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 4, "image_size": 32}
    torch.manual_seed(0)
    theirs = Dinov2Model(Dinov2Config(**sizes)).eval()
    torch.nn.init.normal_(theirs.embeddings.position_embeddings)
    ours = resizing_as_configured(Dinov2Model(Dinov2Config(**sizes, **settings)).eval())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@torch.no_grad()
@pytest.mark.parametrize("size", [(20, 20), (32, 32), (24, 44)])
def test_without_an_offset_it_is_transformers(size):
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for settings in ({}, {"position_offset": 0.0}):
        ours, theirs = towers(**settings)
        assert torch.equal(ours(pixels).last_hidden_state, theirs(pixels).last_hidden_state)


@torch.no_grad()
def test_an_offset_counts_where_positions_are_resized():
    ours, theirs = towers(position_offset=0.1)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(pixels).last_hidden_state, theirs(pixels).last_hidden_state), "the table's own size"
    smaller = pixels[..., :20, :20]
    own, same = ours(smaller).last_hidden_state, theirs(smaller).last_hidden_state
    assert not torch.allclose(own, same, atol=1e-3)
    patches = ours.embeddings.patch_embeddings(smaller)
    positions = resize_positions(ours.embeddings.position_embeddings[:, 1:], (5, 5), 0.1)
    assert torch.allclose(ours.embeddings(smaller)[:, 1:], patches + positions, atol=1e-6)


@torch.no_grad()
def test_a_loaded_model_keeps_its_offset(tmp_path):
    ours, _ = towers(position_offset=0.1)
    ours.save_pretrained(tmp_path)
    pixels = torch.randn(1, 3, 20, 20)
    expected = ours(pixels).last_hidden_state
    found = Dinov2Model.from_pretrained(tmp_path).eval()
    assert not torch.equal(found(pixels).last_hidden_state, expected)
    assert torch.equal(resizing_as_configured(found)(pixels).last_hidden_state, expected)


@pytest.mark.parametrize(("words", "offset"), [
    (["model.correspondence.pretrained_size=64"], 0.1),
    (["model.correspondence.pretrained_size=64", "model.correspondence.position_offset=0"], None),
    ([], None),
    (["model.correspondence.pretrained_size=64", "model.correspondence.registers=4"], None),
])  # fmt: skip
def test_a_configuration_says_the_authors_rule_where_it_counts(tmp_path, words, offset):
    section = small_config(tmp_path, *words).model
    config = build_config(section, Vocabulary.of_size(400))
    assert getattr(config.semantic_config, "position_offset", None) == offset
    again = type(config).from_dict(config.to_dict())
    assert getattr(again.semantic_config, "position_offset", None) == offset
    tower = CorrespondenceExtraction(config).semantic_model
    assert (type(tower.embeddings).__name__ == "_Embeddings") == bool(offset)
