"""The GranD writer: what it writes the reader gives back, pixel by pixel and phrase by phrase."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest
from annotated import images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from llava_corr.errors import AnnotationError, Findings, MaskError
from llava_corr.records import AnnotatedImage, CaptionedImage, ImageObject, Mask, Part
from llava_corr.sources import grand as reader
from llava_corr.world.writers import grand

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FORMATS = ("paco_lvis", "partimagenet", "ade20k_part_234")


def box(x0: int, y0: int, x1: int, y1: int) -> Mask:
    pixels = np.zeros((8, 20), bool)
    pixels[y0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def mug(x: int, name: str = "mug", handle: bool = True) -> ImageObject:
    parts = (Part(name="handle", mask=box(x, 1, x + 1, 3)),) if handle else ()
    return ImageObject(category=name, instance_id=str(x), mask=box(x, 1, x + 4, 7), parts=parts)


def picture(*objects: ImageObject, image_id: str = "7", path: str = "/data/train/7.jpg") -> AnnotatedImage:
    return AnnotatedImage(
        image_id=image_id, path=path, height=8, width=20, source="x", split="train", objects=objects
    )  # fmt: skip


def round_trip(root, *before: AnnotatedImage, image_root: str = "/data") -> list[CaptionedImage]:
    grand.write(root, "train", before, image_root)
    findings = Findings()
    after = list(reader.read(root, "train", findings=findings, image_root=image_root))
    assert not findings, findings.items
    return after


def pixels_of(image: CaptionedImage, instance_ids: tuple[str, ...]) -> np.ndarray:
    masks = [o.mask.to_coco() for o in image.objects if o.instance_id in instance_ids]
    return coco_mask.decode(coco_mask.merge(masks)).astype(bool)


def test_captions_and_referrals_of_a_picture(tmp_path):
    (image,) = round_trip(tmp_path, picture(mug(0), mug(14), mug(6, "Egg_Cup", handle=False)))
    assert (image.image_id, image.path, image.height, image.width) == ("7", "/data/train/7.jpg", 8, 20)
    left, right, cup = (box(x, 1, x + 4, 7).to_array() for x in (0, 14, 6))
    handles = box(0, 1, 1, 3).to_array() | box(14, 1, 15, 3).to_array()
    said = [[(c.text[p.start : p.end], pixels_of(image, p.instance_ids)) for p in c.phrases] for c in image.captions]
    truth = [("more than one mug", left | right), ("an egg cup", cup)]
    assert [c.text for c in image.captions] == [
        "a picture of more than one mug and an egg cup",
        "The picture shows more than one mug and an egg cup. On a mug one sees more than one handle.",
    ]
    for found, expected in zip(said, [truth, [*truth, ("more than one handle", handles)]], strict=True):
        assert [phrase for phrase, _ in found] == [phrase for phrase, _ in expected]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True))
    referred = {r.phrase: pixels_of(image, r.instance_ids) for r in image.referrals}
    expected = {"mug": left | right, "egg cup": cup, "handle of the mug": handles,
                "the mug on the left": left, "the mug on the right": right}  # fmt: skip
    assert set(referred) == set(expected)
    assert all(np.array_equal(referred[phrase], expected[phrase]) for phrase in expected)


def test_images_elsewhere_are_named_in_full(tmp_path):
    (image,) = round_trip(tmp_path, picture(mug(3)), image_root="/elsewhere")
    assert image.captions[1].text == "The picture shows a mug. The mug has a handle."
    assert image.path == "/data/train/7.jpg"


def test_ids_that_are_paths_and_names_without_words(tmp_path):
    unspeakable = mug(8, "+")
    empty = picture(image_id="b/c:d", path="/data/none.jpg")
    grand.write(tmp_path, "train", [picture(mug(3), unspeakable, image_id="b/c"), empty], "/data")
    findings = Findings()
    (image,) = reader.read(tmp_path, "train", findings=findings, image_root="/data")
    assert [o.category for o in image.objects] == ["mug", "handle of the mug"]
    assert findings.counts() == {"unknown_size": 1}  # an empty image has no mask, and this one has no file


def test_near_objects_have_no_sides(tmp_path):
    (image,) = round_trip(tmp_path, picture(mug(3), mug(4)))
    assert [r.phrase for r in image.referrals] == ["mug", "handle of the mug"]


def test_refused(tmp_path):
    with pytest.raises(AnnotationError, match="twice"):
        grand.write(tmp_path, "train", [picture(mug(3)), picture(mug(3))], "/data")
    with pytest.raises(MaskError, match="empty mask"):
        grand.write(tmp_path, "train", [picture(mug(3).model_copy(update={"mask": box(0, 0, 0, 0)}))], "/data")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_reader_of_writer_keeps_every_mask_and_name(name, tmp_path_factory):
    """Of random images of each source: objects and parts in order, captions that speak of all of them, exact masks."""

    @FEW
    @given(st.data())
    def check(data):
        root = tmp_path_factory.mktemp(name)
        drawn = data.draw(images(name, "train", import_module(f"llava_corr.world.writers.{name}").image_path))
        before = sorted((image for image in drawn if image.objects), key=lambda image: image.image_id)
        if not before:
            return
        for one, other in zip(before, round_trip(root, *before, image_root="."), strict=True):
            named = []
            for thing in one.objects:
                named.append((thing.category.lower(), thing.mask))
                named += [(f"{p.name} of the {thing.category}".lower(), p.mask) for p in thing.parts]
            assert [(o.category, o.mask) for o in other.objects] == named
            for caption, known in zip(
                other.captions, ([o.mask for o in one.objects], [m for _, m in named]), strict=True
            ):
                said = [i for p in caption.phrases for i in p.instance_ids]
                masks = {o.instance_id: o.mask for o in other.objects}
                assert sorted(masks[i].counts for i in said) == sorted(m.counts for m in known)
            for referral in other.referrals:
                shown = pixels_of(other, referral.instance_ids)
                same = [coco_mask.decode(m.to_coco()).astype(bool) for n, m in named if n == referral.phrase]
                assert not same or np.array_equal(shown, np.any(same, axis=0))

    check()


def test_keys_are_those_of_the_release(tmp_path):
    grand.write(tmp_path, "val", [picture(mug(3))], "/data")
    data = json.loads((tmp_path / "annotations" / "val" / "7.json").read_text())
    assert list(data) == ["train/7.jpg"]
    content = data["train/7.jpg"]
    assert set(content) == {"objects", "floating_objects", "short_captions", "dense_caption"}
    assert set(content["objects"][0]) == {"id", "bbox", "labels", "label", "attributes", "segmentation"}
    assert content["objects"][0]["bbox"] == [3, 1, 7, 7]
    assert set(content["short_captions"][0]["details"][0]) == {"phrase", "tokens_positive", "id"}
    assert set(content["dense_caption"]["details"][0]) == {"phrase", "tokens_positive", "ids"}
