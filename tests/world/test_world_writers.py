"""Writers: what they refuse, the public key sets, and polygons that lose no pixel."""

from __future__ import annotations

import json
from importlib import import_module

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from scipy import ndimage

from llava_corr.errors import AnnotationError, MaskError
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part
from llava_corr.world.writers import ade20k_part_234, paco_lvis, partimagenet
from llava_corr.world.writers._outlines import polygons

WRITERS = {m.__name__.rpartition(".")[2]: m for m in (paco_lvis, partimagenet, ade20k_part_234)}
EXAMPLE = {"paco_lvis": ("mug", "handle"), "partimagenet": ("dog", "head"), "ade20k_part_234": ("chair", "leg")}


def box(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (8, 10)) -> Mask:
    pixels = np.zeros(size, bool)
    pixels[y0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def picture(name: str, *objects: ImageObject, image_id: str = "7") -> AnnotatedImage:
    path = WRITERS[name].image_path(image_id, "train", objects[0].category)
    return AnnotatedImage(image_id=image_id, path=path, height=8, width=10, source=name, split="train", objects=objects)


def example(name: str, mask: Mask | None = None, **changes) -> ImageObject:
    category, part = EXAMPLE[name]
    thing = ImageObject(
        category=category,
        instance_id="1",
        mask=mask or box(1, 1, 9, 7),
        parts=(Part(name=part, mask=box(2, 2, 4, 4)),),
    )
    return thing.model_copy(update=changes)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16)))
def test_polygons_rasterise_to_the_same_pixels(pixels):
    flat = polygons(Mask.from_array(pixels))
    assert bool(flat) == bool(pixels.any())
    if flat:
        assert all(len(p) >= 8 and len(p) % 2 == 0 for p in flat)
        again = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *pixels.shape)))
        assert np.array_equal(again, pixels)
        if not (ndimage.binary_fill_holes(pixels) & ~pixels).any():
            assert len(flat) == ndimage.label(pixels)[1]  # one per region, also where regions touch at a corner


def test_polygons_of_a_ring_and_a_rectangle():
    assert polygons(box(2, 3, 5, 7)) == [[2.0, 3.0, 5.0, 3.0, 5.0, 7.0, 2.0, 7.0]]
    ring = box(0, 0, 10, 8).to_array() & ~box(3, 3, 5, 5).to_array()
    assert len(polygons(Mask.from_array(ring))) == 2  # a hole is opened by a cut


def test_public_keys(tmp_path):
    """Key sets of the public files (PACO_DATASET.md of the PACO repository; COCO for the other two)."""
    for name, writer in WRITERS.items():
        writer.write(tmp_path / name, "train", [picture(name, example(name))])
    paco = json.loads((tmp_path / "paco_lvis/annotations/paco_lvis_v1_train.json").read_text())
    assert set(paco) == {
        "images", "annotations", "categories", "part_categories", "attributes", "attr_type_to_attr_idxs",
    }  # fmt: skip
    assert set(paco["images"][0]) == {
        "id", "file_name", "width", "height", "neg_category_ids", "not_exhaustive_category_ids",
        "neg_category_ids_attrs", "not_exhaustive_category_ids_attrs", "license",
    }  # fmt: skip
    assert set(paco["annotations"][0]) == {
        "id", "bbox", "area", "category_id", "image_id", "segmentation", "attribute_ids", "dom_color_ids", "obj_ann_id",
        "unknown_color", "unknown_pattern_marking", "unknown_material", "unknown_transparency",
    }  # fmt: skip
    assert set(paco["categories"][0]) == {
        "supercategory", "id", "name", "image_count", "instance_count", "synset", "frequency",
    }  # fmt: skip
    assert len(paco["categories"]) == 531
    assert len(paco["part_categories"]) == 200
    mug = next(c for c in paco["categories"] if c["name"] == "mug")
    assert (mug["id"], mug["instance_count"], mug["frequency"]) == (708, 1, "r")

    for folder in ("train", "train_whole"):
        data = json.loads((tmp_path / f"partimagenet/annotations/{folder}/{folder}.json").read_text())
        assert set(data["images"][0]) == {"id", "file_name", "height", "width"}
        assert set(data["annotations"][0]) == {
            "id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd",
        }  # fmt: skip
        assert set(data["categories"][0]) == {"id", "name", "supercategory"}
        assert len(data["categories"]) == (40 if folder == "train" else 158)
        names = {category["id"]: category["name"] for category in data["categories"]}
        assert names[data["annotations"][0]["category_id"]] == ("Quadruped Head" if folder == "train" else "n02085782")

    ade = json.loads((tmp_path / "ade20k_part_234/ade20k_instance_train.json").read_text())
    assert ade["annotations"][0]["part_category_id"] == [48]
    assert [c["name"] for c in ade["categories"]][8] == "chair"


def test_label_maps(tmp_path):
    for name, writer in WRITERS.items():
        writer.write(tmp_path, "train", [picture(name, example(name))])
    with Image.open(tmp_path / "annotations/train/n02085782_7.png") as image:
        assert image.mode == "L"
        labels = np.asarray(image)
    assert sorted(np.unique(labels)) == [0, 40]
    assert labels[2, 2] == 0
    with Image.open(tmp_path / "annotations/train_whole/n02085782_7.png") as image:
        labels = np.asarray(image)
    assert labels[0, 0] == 158
    assert np.array_equal(labels != 158, example("partimagenet").mask.to_array())
    with Image.open(tmp_path / "annotations_detectron2_part/training/ADE_train_00000007.png") as image:
        assert image.mode == "I;16"
        assert sorted(np.unique(np.asarray(image))) == [48, 65535]


def test_file_names():
    assert paco_lvis.image_path("42", "val", "mug") == "val2017/000000000042.jpg"
    assert partimagenet.image_path("42", "test", "whale") == "images/test/n02071294_42.JPEG"
    assert ade20k_part_234.image_path("42", "test", "chair") == "images/testing/ADE_test_00000042.jpg"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("thing", "error", "words"),
    [
        ({"category": "gryphon"}, AnnotationError, "no gryphon"),
        ({"parts": (Part(name="rocket", mask=box(2, 2, 3, 3)),)}, AnnotationError, "rocket"),
        ({"mask": box(1, 1, 1, 1)}, MaskError, "empty mask"),
        ({"mask": box(1, 1, 3, 3, (9, 10))}, MaskError, "size"),
    ],
)
def test_refused_objects(name, thing, error, words, tmp_path):
    with pytest.raises(error, match=words):
        WRITERS[name].write(tmp_path, "train", [picture(name, example(name, **thing))])
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("name", WRITERS)
def test_refused_ids_and_names(name, tmp_path):
    good = picture(name, example(name))
    with pytest.raises(AnnotationError, match="twice"):
        WRITERS[name].write(tmp_path, "train", [good, good])
    with pytest.raises(AnnotationError, match="not a number"):
        WRITERS[name].write(tmp_path, "train", [good.model_copy(update={"image_id": "kitchen"})])
    with pytest.raises(AnnotationError, match="the format asks for"):
        WRITERS[name].write(tmp_path, "train", [good.model_copy(update={"path": "other.jpg"})])


@pytest.mark.parametrize("name", ["partimagenet", "ade20k_part_234"])
def test_overlapping_parts_are_refused(name, tmp_path):
    names = {"partimagenet": ("head", "tail"), "ade20k_part_234": ("leg", "seat")}[name]
    parts = tuple(Part(name=n, mask=box(2, 2, 5, 5)) for n in names)
    with pytest.raises(MaskError, match="two parts"):
        WRITERS[name].write(tmp_path, "train", [picture(name, example(name, parts=parts))])


def test_ade_parts_must_lie_in_their_object_alone(tmp_path):
    name = "ade20k_part_234"
    with pytest.raises(MaskError, match="outside its object"):
        ade20k_part_234.write(tmp_path, "train", [picture(name, example(name, box(3, 3, 9, 7)))])
    rival = example(name, box(2, 2, 9, 7), parts=())
    with pytest.raises(MaskError, match="another one of its class"):
        ade20k_part_234.write(tmp_path, "train", [picture(name, example(name), rival)])


def test_partimagenet_wants_one_object(tmp_path):
    name = "partimagenet"
    with pytest.raises(AnnotationError, match="one per image"):
        partimagenet.write(tmp_path, "train", [picture(name, example(name), example(name))])


@pytest.mark.parametrize("name", WRITERS)
def test_parts_of_one_name_are_united(name, tmp_path):
    part = EXAMPLE[name][1]
    parts = (Part(name=part, mask=box(2, 2, 4, 4)), Part(name=part, mask=box(6, 2, 8, 4)))
    WRITERS[name].write(tmp_path, "train", [picture(name, example(name, parts=parts))])
    from llava_corr.errors import Findings

    read = import_module(f"llava_corr.sources.{name}").read
    (image,) = read(tmp_path, "train", findings=Findings())
    assert [p.mask for p in image.objects[0].parts] == [Mask.union([p.mask for p in parts])]


def test_both_names_of_the_lamp_column_are_written_alike(tmp_path):
    maps = []
    for index, part in enumerate(("pipe", "column")):
        thing = example("ade20k_part_234", category="lamp", parts=(Part(name=part, mask=box(2, 2, 4, 4)),))
        ade20k_part_234.write(tmp_path / str(index), "train", [picture("ade20k_part_234", thing)])
        maps.append(next((tmp_path / str(index)).rglob("*.png")).read_bytes())
    assert maps[0] == maps[1]


def test_unknown_ade_split():
    with pytest.raises(AnnotationError, match="unknown split"):
        ade20k_part_234.image_path("1", "dev", "chair")


@given(st.text(max_size=5))
def test_only_plain_numbers_are_image_ids(text):
    plain = text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))
    if plain:
        assert paco_lvis.image_path(text, "train", "mug") == f"train2017/{int(text):012d}.jpg"
    else:
        with pytest.raises(AnnotationError):
            paco_lvis.image_path(text, "train", "mug")
