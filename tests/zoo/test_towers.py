"""Copied layers compute what they computed in SAM's encoder; objectives against brute force."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model, InstructBlipVisionConfig, InstructBlipVisionModel, SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

from llava_corr.errors import ConfigError
from llava_corr.zoo.dense import NameCells, SamCells
from llava_corr.zoo.masks import DrawByName, NamePrompts
from llava_corr.zoo.measures import measure_cells, measure_expert, measure_matches, measure_whole
from llava_corr.zoo.pictures import LabelledPictures
from llava_corr.zoo.recipe import load_recipe
from llava_corr.zoo.towers import SAM_TO_DINO, SAM_TO_EVA, MatchParts, copy_layers, grid, thinned
from llava_corr.zoo.towers_training import QKV, encoder_of_cells, resize_encoder

NAMES = [("", ""), ("mug", ""), ("mug", "handle"), ("cat", ""), ("cat", "head"), ("mug", "rim")]
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 32, "patch_size": 8}


def pictures(count=2):
    labels = np.zeros((count, 128, 128), np.uint16)
    return LabelledPictures(np.zeros((count, 256, 256, 3), np.uint8), labels, NAMES)


def sam(layers=3):
    torch.manual_seed(0)
    config = SamVisionConfig(
        **(SIZES | {"num_hidden_layers": layers}), output_channels=16, use_rel_pos=False, window_size=0,
        global_attn_indexes=[], initializer_range=0.3, mlp_dim=48,
    )  # fmt: skip
    encoder = SamVisionEncoder(config).eval()
    torch.nn.init.normal_(encoder.pos_embed)
    return encoder


def through(layers, hidden):
    for layer in layers:
        found = layer(hidden)
        hidden = found[0] if isinstance(found, tuple) else found
    return hidden


@pytest.mark.parametrize("kind", ["eva", "dino"])
def test_copied_layers_compute_the_same(kind):
    encoder = sam()
    if kind == "eva":
        tower = InstructBlipVisionModel(InstructBlipVisionConfig(**SIZES, intermediate_size=48)).eval()
        layers, names, qkv = tower.encoder.layers, SAM_TO_EVA, ()
    else:
        tower = Dinov2Model(Dinov2Config(**SIZES, mlp_ratio=2)).eval()
        layers, names, qkv = tower.encoder.layer, SAM_TO_DINO, QKV
    hidden = torch.randn(2, 16, 24)
    before = through(layers, hidden)
    assert copy_layers(encoder, layers, names, qkv) == 2 * (12 if kind == "eva" else 16)
    wanted = through(encoder.layers[:2], hidden.view(2, 4, 4, 24)).flatten(1, 2)
    torch.testing.assert_close(through(layers, hidden), wanted, atol=1e-5, rtol=1e-5)
    assert (before - wanted).abs().max() > 0.1


def test_layers_of_another_width_are_refused():
    tower = Dinov2Model(Dinov2Config(**(SIZES | {"hidden_size": 48}), mlp_ratio=2))
    with pytest.raises(ValueError, match="is"):
        copy_layers(sam(), tower.encoder.layer, SAM_TO_DINO, QKV)


def test_a_crop_lies_on_the_canvas_and_a_whole_picture_goes_the_usual_way():
    encoder = sam()
    cells = SamCells(encoder)
    whole = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(cells(whole), cells(whole, torch.tensor([0.9, 0.1])))
    crop = whole[:, :, 16:, :16]
    corner = cells(crop, torch.tensor([0.99, 0.0]))
    assert corner.shape == (2, 16, 2, 2)
    encoder.pos_embed.data[:, 2:, :2] += 5  # only what lies under the crop counts
    assert (cells(crop, torch.tensor([0.99, 0.0])) - corner).abs().max() > 0.01
    encoder.pos_embed.data[:, 2:, :2] -= 5
    encoder.pos_embed.data[:, :2] += 5
    torch.testing.assert_close(cells(crop, torch.tensor([0.99, 0.0])), corner, atol=1e-5, rtol=1e-5)


def test_cells_loss_by_hand():
    task = NameCells(torch.nn.Identity(), 8, 1, pictures())
    categories, parts = torch.randn(1, 3, 2, 2), torch.randn(1, 4, 2, 2)
    labels = torch.tensor([[[0, 2], [4, 0]]])  # nothing, mug's handle; cat's head, nothing
    # categories: "", cat, mug; parts: "", handle, head, rim
    first, second = categories[0].log_softmax(0), parts[0].log_softmax(0)
    of_categories = -(0.3 * first[0, 0, 0] + first[2, 0, 1] + first[1, 1, 0] + 0.3 * first[0, 1, 1]) / 2.6
    of_parts = -(second[1, 0, 1] + second[2, 1, 0]) / 2
    torch.testing.assert_close(task.loss(categories, parts, labels), of_categories + of_parts)


def test_contrast_against_loops():
    task = MatchParts(torch.nn.Identity(), 8, pictures())
    torch.manual_seed(1)
    vectors, labels = torch.randn(12, 5), torch.tensor([1, 2, 0, 1, 2, 2, 1, 0, 3, 1, 4, 2])
    picture = torch.arange(12) // 3
    unit = F.normalize(vectors, dim=-1)
    losses = []
    for i in range(12):
        others = [j for j in range(12) if picture[j] != picture[i]]
        same = [j for j in others if labels[j] == labels[i] and labels[i] > 0]
        if same:
            total = sum(torch.exp(unit[i] @ unit[j] / 0.1) for j in others)
            losses.append(-sum(torch.log(torch.exp(unit[i] @ unit[j] / 0.1) / total) for j in same) / len(same))
    torch.testing.assert_close(
        task.contrast(vectors, labels, picture), torch.stack(losses).mean(), rtol=1e-4, atol=1e-4
    )


def test_grid_and_thinning_agree_on_places():
    tokens = torch.arange(16.0).view(1, 16, 1)
    assert grid(tokens)[0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    labels = torch.arange(64).view(1, 8, 8)
    assert thinned(labels, 4)[0].tolist() == labels[0, 1::2, 1::2].tolist()


class TestDrawByName:
    def task(self):
        task = DrawByName.__new__(DrawByName)
        torch.nn.Module.__init__(task)
        task.category_of, task.part_of = pictures().factors()
        return task

    def test_whole_things_cover_their_parts(self):
        task = self.task()
        labels = torch.tensor([[[1, 1, 2, 2], [1, 5, 2, 2], [0, 4, 4, 3], [0, 4, 3, 3]]])
        assert task.shown(labels[0], 2) == {(2, 0), (2, 1), (1, 0), (1, 2)}  # the rim has one cell
        image, category, part = torch.tensor([0, 0, 0]), torch.tensor([2, 2, 1]), torch.tensor([0, 1, 2])
        masks = task.masks(labels, image, category, part)
        assert torch.equal(masks[0], (labels[0] == 1) | (labels[0] == 2) | (labels[0] == 5))
        assert torch.equal(masks[1], labels[0] == 2)
        assert torch.equal(masks[2], labels[0] == 4)

    def test_draws_choose_among_what_is_shown(self):
        task = self.task()
        labels = torch.zeros(2, 4, 4, dtype=torch.long)
        labels[1, :, :2] = 2
        image, category, part = task.choose(labels, torch.tensor([[0.1, 0.9], [0.0, 0.99]]))
        assert image.tolist() == [1, 1]  # the first picture shows nothing
        assert list(zip(category.tolist(), part.tolist(), strict=True)) == [(2, 0), (2, 1)]


def test_prompts_tell_names_apart():
    torch.manual_seed(0)
    prompts = NamePrompts(3, 4, 16)
    whole, part, other = prompts(torch.tensor([1, 1, 2]), torch.tensor([0, 2, 2]))
    assert (whole - part).abs().max() > 0.1
    assert (part - other).abs().max() > 0.1


class Student(torch.nn.Module):
    """Sees its patches through a known matrix, as a tower of 4 x 4 patches does."""

    config = SimpleNamespace(image_size=32)

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.matrix = torch.randn(64, 12)

    def forward(self, pixels):
        patches = F.unfold(pixels.mean(1, keepdim=True), 8, stride=8).transpose(1, 2)
        return SimpleNamespace(features=patches @ self.matrix)


class Says:
    """Names what the red channel says: what a twin would that sees exactly that."""

    def __init__(self, pictures, cells):
        self.category_of, self.part_of = pictures.factors()
        self.sizes, self.cells = [int(of.max()) + 1 for of in (self.category_of, self.part_of)], cells
        self.tower = SimpleNamespace(config=SimpleNamespace(image_size=256))
        self.tower.encoder = self.tower

    def eval(self):
        return self

    def encode(self, pixels, place=None):
        names = thinned(pixels[:, 0].long(), self.cells)
        return F.one_hot(names, len(self.category_of)).permute(0, 3, 1, 2).float()

    def head(self, features):
        names = features.argmax(1)
        both = zip((self.category_of, self.part_of), self.sizes, strict=True)
        return [20 * F.one_hot(of[names], count).permute(0, 3, 1, 2).float() for of, count in both]


def said(labels, names):
    """Pictures with these labels in which :class:`Says` reads ``names``; both N x 128 x 128."""
    pixels = np.repeat(np.repeat(names, 2, 1), 2, 2)[..., None].repeat(3, -1).astype(np.uint8)
    return LabelledPictures(pixels, labels.astype(np.uint16), NAMES)


def test_cells_are_measured_by_category_and_by_part():
    labels = np.zeros((1, 128, 128), int)
    labels[0, :32, :64] = 1  # a mug: 512 of the 64 x 64 cells, a fourth of it its handle
    labels[0, :32, :16] = 2
    labels[0, 64:66, 64:66] = 4  # a head of one cell is too small to count
    names = labels.copy()
    names[0, 64:66, 64:66] = 0
    names[0, :32, :8] = 5  # half the handle is called a rim
    names[0, :32, 64:96] = 1  # and the mug is drawn half as wide again
    found = measure_cells(Says(pictures(), 64), said(labels, names))
    assert found == pytest.approx({"thing_iou": 2 / 3, "part_iou": 1 / 2})


def test_names_of_a_picture_are_measured_by_their_ranks():
    labels = np.zeros((2, 128, 128), int)
    labels[0, :9], labels[0, 9:18], labels[1, 0, 0] = 1, 3, 5
    shown = LabelledPictures(np.zeros((2, 256, 256, 3), np.uint8), labels.astype(np.uint16), NAMES)

    def tower(pixel_values):
        return SimpleNamespace(last_hidden_state=torch.zeros(len(pixel_values), 1, 1))

    tower.config = SimpleNamespace(image_size=256)
    ranks = torch.tensor([9.0, 5, 4, 3, 2, 1])  # 1, 2, 3, 4, 5, whatever it sees; nothing itself does not count
    task = SimpleNamespace(
        eval=lambda: None, tower=tower, normal=lambda pixels: pixels, whole=lambda cls: ranks.expand(len(cls), -1)
    )
    of_both = [(1 + 2 / 3) / 2, 1 / 5]  # precision at ranks 1 and 3; at rank 5
    assert measure_whole(task, shown)["names_ap"] == pytest.approx(np.mean(of_both))


def test_matches_are_measured_over_cells_of_parts_that_have_a_counterpart():
    labels = np.zeros((3, 128, 128), int)
    labels[0, :8, :8], labels[0, 8:16, :8], labels[0, 16:24, :8] = 2, 4, 1  # a handle, a head, mug without a part
    labels[1, :8, :8], labels[1, 8:16, :8] = 2, 1
    labels[2, :16, :8] = 1
    names = labels.copy()
    names[0, 16:24, :8] = 2  # the tower takes a mug's side for a handle: no cell of a part, so it does not count
    task = Says(pictures(), 16)
    assert measure_matches(task, said(labels, names)) == {"nearest_is_same_part": 1}  # handles only: heads have none
    names[1, :8, :8], names[2, :8, :8] = 1, 2  # and the second handle for a side, and a third side for a handle
    assert measure_matches(task, said(labels, names)) == {"nearest_is_same_part": 0}


def test_the_expert_is_measured_by_what_can_be_read_off_it_on_new_pictures():
    rng = np.random.default_rng(0)
    seen, new = (
        LabelledPictures(
            rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), np.zeros((40, 128, 128), np.uint16), NAMES
        )
        for _ in range(2)
    )
    student = Student()
    torch.manual_seed(2)
    mixing = torch.randn(12, 5)

    def read(pixels):
        features = student(pixels.float() / 255).features
        return grid(features @ mixing + 3)

    def noise(pixels):
        return torch.randn(len(pixels), 5, 4, 4)

    found = measure_expert(student, {"readable": read, "noise": noise}, seen, new)
    assert found["readable_r2"] == pytest.approx(1, abs=1e-6)
    assert found["noise_r2"] < 0.05


def test_the_encoder_of_cells_has_patches_of_its_own():
    assert encoder_of_cells(load_recipe("tiny/zoo.yaml", ["cells.patch=24"])).pos_embed.shape[1] == 192 // 24
    with pytest.raises(ConfigError, match="24 patches, which do not divide the 64 cells"):
        encoder_of_cells(load_recipe("tiny/zoo.yaml", ["cells.patch=8"]))


def test_a_tower_of_finer_patches_begins_with_what_the_encoder_knows():
    encoder = sam()
    finer = SamVisionEncoder(SamVisionConfig(**(encoder.config.to_dict() | {"patch_size": 4}))).eval()
    resize_encoder(encoder, finer)
    assert finer.pos_embed.shape[1:3] == (8, 8)
    flat = torch.rand(1, 3, 1, 1).expand(1, 3, 32, 32)  # of one colour: a patch is the same at any side
    seen, fine = (e.patch_embed(flat)[0, 0, 0] for e in (encoder, finer))
    torch.testing.assert_close(seen, fine, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(finer.layers[1].mlp.lin1.weight, encoder.layers[1].mlp.lin1.weight)
