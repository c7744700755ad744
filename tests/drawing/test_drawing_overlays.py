"""Overlays: which pixels change and which do not, tags inside the image, sizes, errors."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from llava_corr.drawing.colours import colour_of, label_colours
from llava_corr.drawing.images import display_size, jpeg_bytes, load_rgb, resize_mask, resize_rgb, to_rgb
from llava_corr.drawing.overlays import Region, draw_overlay, paint_regions, tag_font_size
from llava_corr.drawing.sheets import contact_sheet
from llava_corr.drawing.tags import draw_tags, leader_zone, place_tags
from llava_corr.errors import CountMismatchError, ImageError, MaskError

HEIGHT, WIDTH = 90, 120


def picture(seed=0, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc(x, y, radius, height=HEIGHT, width=WIDTH):
    rows, columns = np.mgrid[:height, :width]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def boxes_overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


masks = st.builds(disc, st.integers(-5, 125), st.integers(-5, 95), st.integers(0, 60))
names = st.text(max_size=12)


@settings(max_examples=60, deadline=None)
@example([("two\nlines", disc(0, 0, 0), False), ("Z\u0351\u0352\u0353\u0354", disc(60, 45, 9), True)])
@given(st.lists(st.tuples(names, masks, st.booleans()), max_size=6))
def test_only_masks_tags_and_leaders_change(rows):
    regions = [Region(*row) for row in rows]
    image = picture()
    before = image.copy()
    drawn = draw_overlay(image, regions, font_size=11)
    allowed = np.zeros((HEIGHT, WIDTH), bool)
    for region in regions:
        allowed |= region.mask
    texts, all_masks = [r.label for r in regions], [r.mask for r in regions]
    for tag in place_tags(texts, all_masks, [(1, 2, 3)] * len(regions), (HEIGHT, WIDTH), 11):
        x0, y0, x1, y1 = tag.box
        assert 0 <= x0 < x1 <= WIDTH
        assert 0 <= y0 < y1 <= HEIGHT
        allowed |= leader_zone(tag, (HEIGHT, WIDTH))
    assert (drawn == image)[~allowed].all()
    assert (image == before).all()


def test_tint_and_contour_are_where_they_should_be():
    image, mask = picture(), disc(60, 45, 25)
    colours = label_colours(["seat"])
    painted = paint_regions(image, [Region("seat", mask)], colours, tint=0.5, contour=2)
    depth = ndimage.distance_transform_cdt(np.pad(mask, 1), metric="taxicab")[1:-1, 1:-1]
    ring, inside = (depth == 2) | (depth == 3), depth > 3
    assert (painted[ring] == colours["seat"]).all()
    expected = np.rint(0.5 * image[inside] + 0.5 * np.array(colours["seat"]))
    assert (painted[inside] == expected).all()
    assert (painted[depth == 1] <= np.array(colours["seat"])).all()  # the dark rim


def test_outline_leaves_the_inside_alone():
    image, mask = picture(), disc(60, 45, 25)
    painted = paint_regions(image, [Region("dog", mask, outline=True)], label_colours(["dog"]), contour=2)
    depth = ndimage.distance_transform_cdt(np.pad(mask, 1), metric="taxicab")[1:-1, 1:-1]
    assert (painted == image)[depth > 3].all()
    assert (painted != image)[(depth > 0) & (depth <= 3)].any()


def test_smaller_region_lies_on_top_in_any_order():
    colours = label_colours(["body", "eye"])
    body, eye = Region("body", disc(60, 45, 40)), Region("eye", disc(60, 45, 8))
    first = paint_regions(picture(), [body, eye], colours)
    assert (first == paint_regions(picture(), [eye, body], colours)).all()
    flat = paint_regions(np.zeros((HEIGHT, WIDTH, 3), np.uint8), [body, eye], colours, tint=1.0)
    assert tuple(flat[45, 60]) == colour_of("eye", colours)


def test_image_border_gets_no_contour():
    mask = np.ones((HEIGHT, WIDTH), bool)
    image = picture()
    assert (paint_regions(image, [Region("wall", mask, outline=True)], {}) == image).all()


def test_tags_avoid_each_other_where_there_is_room():
    shapes = [
        disc(60, 60, 50, 240, 320),
        disc(240, 60, 6, 240, 320),
        disc(250, 70, 4, 240, 320),
        disc(60, 60, 9, 240, 320),
    ]
    tags = place_tags(["body", "left eye", "right eye", "nose"], shapes, [(9, 9, 9)] * 4, (240, 320), 12)
    assert [tag.text for tag in tags] == ["body", "left eye", "right eye", "nose"]
    for k, tag in enumerate(tags):
        assert not any(boxes_overlap(tag.box, other.box) for other in tags[:k])
        x0, y0, x1, y1 = tag.box
        if tag.anchor is None:
            assert shapes[k][y0:y1, x0:x1].any()
        else:
            assert shapes[k][tag.anchor[1], tag.anchor[0]]


def test_empty_mask_is_said_not_hidden():
    (tag,) = place_tags(["lid"], [np.zeros((HEIGHT, WIDTH), bool)], [(9, 9, 9)], (HEIGHT, WIDTH), 11)
    assert tag.text == "lid (empty)"
    assert tag.anchor is None


def test_long_names_are_cut_and_tiny_images_get_no_tags():
    (tag,) = place_tags(["a very long name of a part"], [disc(60, 45, 9)], [(9, 9, 9)], (HEIGHT, WIDTH), 18)
    assert tag.text.endswith("…")
    assert tag.box[2] - tag.box[0] <= WIDTH
    assert place_tags(["x"], [np.ones((5, 5), bool)], [(9, 9, 9)], (5, 5), 11) == []
    assert draw_overlay(picture(0, 5, 5), [Region("x", np.ones((5, 5), bool))]).shape == (5, 5, 3)


def test_drawing_is_repeatable_and_tags_are_opaque():
    mask = disc(60, 45, 25)
    tags = place_tags(["seat"], [mask], [(200, 30, 30)], (HEIGHT, WIDTH), 12)
    drawn = draw_tags(picture(), tags, 12)
    assert (drawn == draw_tags(picture(), tags, 12)).all()
    x0, y0, _, _ = tags[0].box
    assert tuple(drawn[y0, x0]) == (200, 30, 30)


def test_wrong_mask_size_is_named():
    with pytest.raises(MaskError, match=r"'seat' is 4 x 5 pixels, the image 90 x 120"):
        draw_overlay(picture(), [Region("seat", np.ones((4, 5), bool))])


def test_display_size_and_tags_follow_the_longer_side():
    drawn = draw_overlay(picture(), [Region("seat", disc(60, 45, 25))], long_side=360)
    assert drawn.shape == (270, 360, 3)
    assert display_size((1000, 1), 100) == (100, 1)
    assert tag_font_size((100, 100)) < tag_font_size((600, 300)) <= 40


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_resized_mask_never_vanishes(height, width, new_height, new_width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.1
    resized = resize_mask(mask, (new_height, new_width))
    assert resized.shape == (new_height, new_width)
    assert resized.any() == mask.any()


def test_resized_disc_keeps_its_share():
    mask = disc(60, 45, 25)
    assert resize_mask(mask, (270, 360)).mean() == pytest.approx(mask.mean(), rel=0.02)


def test_load_rgb_and_its_errors(tmp_path):
    image = picture()
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (load_rgb(tmp_path / "a.png", (HEIGHT, WIDTH)) == image).all()
    Image.fromarray(image[..., 0]).save(tmp_path / "gray.png")
    assert load_rgb(tmp_path / "gray.png").shape == image.shape
    with pytest.raises(ImageError, match="annotation says"):
        load_rgb(tmp_path / "a.png", (WIDTH, HEIGHT))
    with pytest.raises(ImageError, match="does not exist"):
        load_rgb(tmp_path / "b.png")
    data = jpeg_bytes(image)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no image")
    for broken in ("cut.jpg", "text.jpg"):
        with pytest.raises(ImageError, match="cannot be read"):
            load_rgb(tmp_path / broken)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "<u2"), ("a.tif", "<u2"), ("b.tif", ">u2"), ("c.tif", "<i4")])
def test_sixteen_bits_are_brought_to_eight(tmp_path, name, kind):
    grey = picture()[..., 0]
    Image.fromarray((grey.astype(int) * 257).astype(kind)).save(tmp_path / name)
    with Image.open(tmp_path / name) as stored:
        assert stored.mode.startswith("I")
    assert (load_rgb(tmp_path / name) == grey[..., None]).all()
    assert load_rgb(tmp_path / name).shape == (HEIGHT, WIDTH, 3)
    assert load_rgb(tmp_path / name).dtype == np.uint8


@pytest.mark.parametrize(
    "pixels",
    [np.eye(4, dtype=np.float32), *(np.eye(4, dtype=np.int32) * high for high in (-1, 7, 255, 65536))],
    ids=str,
)
def test_pixels_of_no_known_range_are_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="what is black, what white") as caught:
        load_rgb(tmp_path / "a.tif")
    assert "a.tif" in str(caught.value)
    assert "8 or 16 bits" in str(caught.value)
    assert not to_rgb(Image.new("I", (4, 4)), "black").any()


def test_more_pixels_than_pillow_opens_are_a_named_error(tmp_path, monkeypatch):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too large") as caught:
        load_rgb(tmp_path / "a.png")
    assert "a.png" in str(caught.value)


def test_pictures_are_turned_only_where_it_is_asked_for(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    assert (load_rgb(tmp_path / "a.png", (HEIGHT, WIDTH)) == picture()).all()
    assert (load_rgb(tmp_path / "a.png", upright=True) == np.rot90(picture(), -1)).all()
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\x08")
    (tmp_path / "b.png").write_bytes(stream.getvalue())
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert (load_rgb(tmp_path / "b.png", upright=True) == picture()).all()


def test_contact_sheet_places_every_image():
    images = [np.full((20, 30, 3), 10 * k, np.uint8) for k in range(1, 6)]
    sheet = contact_sheet(
        images, [f"picture {k} with a caption far too long for its cell" for k in range(5)], columns=3, cell=60
    )
    assert sheet.shape[1] == 3 * 68 + 8
    for k in range(1, 6):
        assert (sheet == 10 * k).all(axis=-1).sum() >= 60 * 40 * 0.9
    assert contact_sheet(images[:2], columns=6, cell=60).shape == (76, 144, 3)
    with pytest.raises(CountMismatchError, match="5 images and 1 captions"):
        contact_sheet(images, ["one"])
    with pytest.raises(CountMismatchError, match="0 images"):
        contact_sheet([])


def test_resize_rgb_same_size_is_untouched():
    image = picture()
    assert resize_rgb(image, (HEIGHT, WIDTH)) is image
