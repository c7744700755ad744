"""Pictures as arrays: every cell's name against the masks, crops that move pixels and labels alike."""

import numpy as np
import pytest
import torch
from PIL import Image

from llava_corr.datasets.mixedparts.views import ClassView, ImageView
from llava_corr.errors import ImageError
from llava_corr.records import ImageRef, Mask
from llava_corr.zoo.pictures import CELLS, SIDE, Crops, PictureStream, open_pictures, write_pictures


def view(folder, number, side=SIDE):
    """A picture whose red channel is the row, green the column; a mug in one square, its handle in the corner of it."""
    rows, columns = np.mgrid[:side, :side]
    path = folder / f"{number}.png"
    pixels = np.stack([rows, columns, np.full_like(rows, 90)], 2).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    mug = (abs(rows - 100) < 50) & (abs(columns - 140) < 40)
    handle = mug & (rows < 80) & (columns < 130)
    parts = {"handle": Mask.from_array(handle)}
    seen = ClassView(Mask.from_array(mug), float(mug.mean()), parts, frozenset(parts))
    ref = ImageRef(path=str(path), height=side, width=side)
    return ImageView("world", str(number), ref, {"mug": seen}), mug, handle


@pytest.fixture
def pictures(tmp_path):
    made = [view(tmp_path, n) for n in range(3)]
    write_pictures(tmp_path / "arrays", [v for v, _, _ in made], {"world": "test"})
    return open_pictures(tmp_path / "arrays"), made


def test_every_cell_has_the_name_of_its_middle(pictures):
    arrays, made = pictures
    assert list(arrays.names) == [("", ""), ("mug", ""), ("mug", "handle")]
    assert arrays.categories == ["", "mug"]
    assert arrays.parts == ["", "handle"]
    _, mug, handle = made[1]
    wanted = np.where(handle, 2, np.where(mug, 1, 0))[1::2, 1::2]
    assert arrays.labels.shape == (3, CELLS, CELLS)
    assert (arrays.labels[1] == wanted).all()
    assert (arrays.pixels[2][5, 7] == (5, 7, 90)).all()
    categories, parts = arrays.factors()
    assert categories.tolist() == [0, 1, 1]
    assert parts.tolist() == [0, 0, 1]


def test_labels_of_another_folder_mean_the_same_and_what_it_does_not_know_is_told(tmp_path):
    views = [view(tmp_path, n)[0] for n in range(2)]
    names = [("", ""), ("cat", ""), ("mug", "")]
    assert write_pictures(tmp_path / "arrays", views, {}, names) == {("mug", "handle")}
    arrays = open_pictures(tmp_path / "arrays")
    assert list(arrays.names) == names
    assert set(np.unique(arrays.labels)) == {0, 2}


def test_a_picture_of_another_size_is_refused(tmp_path):
    with pytest.raises(ImageError, match="64 x 64 pixels, not 256 x 256"):
        write_pictures(tmp_path / "arrays", [view(tmp_path, 0, side=64)[0]], {})


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"about\.json"):
        open_pictures(tmp_path)


def test_a_stream_shows_every_picture_once_an_epoch_and_is_the_same_again():
    stream = PictureStream(5, 17, seed=3)
    items = [stream[k] for k in range(17)]
    assert [k for k, _ in items] == list(range(17))
    for epoch in range(3):
        assert sorted(n for _, n in items[5 * epoch : 5 * epoch + 5]) == list(range(5))
    again = PictureStream(5, 17, seed=3)
    assert [again[k] for k in (16, 3, 9)] == [items[16], items[3], items[9]]
    assert [n for _, n in items] != [PictureStream(5, 17, seed=4)[k][1] for k in range(17)]


@pytest.mark.parametrize("options", [{}, {"side": 128, "scale": (0.35, 0.75), "around": 0.9}])
def test_labels_move_with_the_pixels(pictures, options):
    """Where a pixel came from is written in its colour (as far as the light of a crop lets one see it)."""
    arrays, _ = pictures
    crops = Crops(arrays, seed=5, **options)
    crops._draw = without_light(crops._draw)
    batch = crops([(k, k % 3) for k in range(24)])
    pixels, labels = batch["pixels"], batch["labels"]
    side, cells = pixels.shape[-1], labels.shape[-1]
    assert side == cells * 4
    step = side // cells
    middle = pixels[:, :, step // 2 :: step, step // 2 :: step].long()  # right below the middle of each cell
    rows, columns, blue = middle.unbind(1)
    inside = (abs(rows - 100) < 46) & (abs(columns - 140) < 36) & (blue == 90)
    outside = ((abs(rows - 100) > 54) | (abs(columns - 140) > 44)) & (blue == 90)
    assert inside.sum() > 500
    assert (labels[inside] > 0).all()
    assert (labels[outside] == 0).all()
    assert ((labels == 2) & (rows > 84)).sum() == 0


def without_light(draw):
    def plain(k, labels):
        window, _, draws = draw(k, labels)
        return window, np.array([1.0, 0, 0, 0]), draws

    return plain


def test_a_crop_depends_on_its_own_number_only(pictures):
    arrays, _ = pictures
    crops = Crops(arrays, seed=5, around=0.5, scale=(0.4, 1.1))
    together = crops([(7, 0), (8, 1), (9, 2)])
    alone = crops([(8, 1)])
    for name, value in alone.items():
        assert torch.equal(value[0], together[name][1])


def test_crops_around_things_show_them(pictures):
    arrays, _ = pictures
    near = Crops(arrays, seed=1, side=128, scale=(0.35, 0.4), around=1.0)([(k, 0) for k in range(200)])["labels"]
    anywhere = Crops(arrays, seed=1, side=128, scale=(0.35, 0.4))([(k, 0) for k in range(200)])["labels"]
    assert (near > 0).flatten(1).any(1).all()
    assert not (anywhere > 0).flatten(1).any(1).all()
