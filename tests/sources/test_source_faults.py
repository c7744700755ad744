"""Readers on bad input: every fault is a named error that says where, or a counted and listed finding."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from llava_corr.errors import AnnotationError, Findings, MaskError, RegistryError
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part
from llava_corr.sources import SOURCES
from llava_corr.sources.partimagenet import observed_supercategories
from llava_corr.taxonomy import ade_parts, paco_objects, paco_parts, partimagenet_classes

HEIGHT, WIDTH = 8, 10
FORMATS = ("paco_lvis", "partimagenet", "ade20k_part_234")
EXAMPLE = {
    "paco_lvis": ("mug", "handle", "rim"),
    "partimagenet": ("dog", "head", "tail"),
    "ade20k_part_234": ("chair", "leg", "seat"),
}
JSON = {
    "paco_lvis": "annotations/paco_lvis_v1_train.json",
    "partimagenet": "annotations/train/train.json",
    "ade20k_part_234": "ade20k_instance_train.json",
}


def box(x0: int, y0: int, x1: int, y1: int) -> Mask:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def write_example(name: str, root: Path) -> AnnotatedImage:
    """One image with one object and two parts, its picture included."""
    writer = import_module(f"llava_corr.world.writers.{name}")
    category, first, second = EXAMPLE[name]
    thing = ImageObject(
        category=category,
        instance_id="1",
        mask=box(1, 1, 9, 7),
        parts=(Part(name=first, mask=box(2, 2, 4, 4)), Part(name=second, mask=box(5, 2, 8, 6))),
    )
    path = root / writer.image_path("7", "train", category)
    image = AnnotatedImage(
        image_id="7", path=str(path), height=HEIGHT, width=WIDTH, source=name, split="train", objects=(thing,)
    )
    writer.write(root, "train", [image])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((WIDTH, HEIGHT), 50).convert("RGB").save(path, format="JPEG")
    return image


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def read(name: str, root: Path, **options) -> tuple[list[AnnotatedImage], Findings]:
    findings = Findings()
    return list(SOURCES.load(name)(root, "train", findings=findings, **options)), findings


def parts_of(images: list[AnnotatedImage]) -> list[str]:
    return [part.name for image in images for thing in image.objects for part in thing.parts]


# --- the registry


def test_registry_knows_all_sources():
    assert SOURCES.names() == ["ade20k_part_234", "grand", "jsonl", "paco_lvis", "partimagenet"]
    with pytest.raises(RegistryError, match="did you mean 'paco_lvis'"):
        SOURCES.load("paco_lviz")


# --- faults that every COCO-style file can have


def drop_annotations(data):
    del data["annotations"]


def drop_height(data):
    del data["images"][0]["height"]


def text_id(data):
    data["annotations"][0]["id"] = "one"


def repeat_image(data):
    data["images"].append(data["images"][0])


def unknown_category(data):
    data["annotations"][0]["category_id"] = 99999


def odd_polygon(data):
    data["annotations"][0]["segmentation"] = [[1, 1, 4, 1, 4]]


def text_polygon(data):
    data["annotations"][0]["segmentation"] = [[1, 1, 4, 1, 4, "x"]]


def other_size(data):
    data["annotations"][0]["segmentation"] = {"size": [9, 10], "counts": [90]}


def short_runs(data):
    data["annotations"][0]["segmentation"] = {"size": [8, 10], "counts": [79]}


def garbled_runs(data):
    data["annotations"][0]["segmentation"] = {"size": [8, 10], "counts": "ooo"}


def no_runs(data):
    data["annotations"][0]["segmentation"] = {"size": [8, 10]}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("change", "error", "words", "where"),
    [
        (drop_annotations, AnnotationError, "no list named 'annotations'", ".json"),
        (drop_height, AnnotationError, "'height' is 'missing'", r"images\[0\]"),
        (text_id, AnnotationError, "'id' is 'one'", r"annotations\[0\]"),
        (repeat_image, AnnotationError, "id 7 occurs twice", "images"),
        (unknown_category, AnnotationError, "unknown category id 99999", "annotation [01] of image 7"),
        (odd_polygon, AnnotationError, "flat list", "annotation [01] of image 7, polygon 0"),
        (text_polygon, AnnotationError, "flat list", "annotation [01] of image 7, polygon 0"),
        (other_size, MaskError, "mask of size", "annotation [01] of image 7"),
        (short_runs, MaskError, "do not add up", "annotation [01] of image 7"),
        (garbled_runs, MaskError, "undecodable", "annotation [01] of image 7"),
        (no_runs, MaskError, "no run counts", "annotation [01] of image 7"),
    ],
)
def test_named_errors(name, change, error, words, where, tmp_path):
    write_example(name, tmp_path)
    edit(tmp_path / JSON[name], change)
    with pytest.raises(error, match=words) as caught:
        read(name, tmp_path)
    import re

    assert re.search(where, caught.value.where)
    assert caught.value.mend


@pytest.mark.parametrize("name", FORMATS)
def test_broken_and_missing_files(name, tmp_path):
    with pytest.raises(AnnotationError, match="not found"):
        read(name, tmp_path)
    write_example(name, tmp_path)
    path = tmp_path / JSON[name]
    path.write_text(path.read_text()[:-20])
    with pytest.raises(AnnotationError, match="broken JSON") as caught:
        read(name, tmp_path)
    assert "line 1" in caught.value.where


@pytest.mark.parametrize("name", FORMATS)
def test_annotation_of_an_unlisted_image_is_listed(name, tmp_path):
    expected = write_example(name, tmp_path)

    def stray(data):
        data["annotations"].append({**data["annotations"][0], "id": 500, "image_id": 8})

    edit(tmp_path / JSON[name], stray)
    images, findings = read(name, tmp_path)
    assert findings.counts() == {"annotation_without_image": 1}
    assert "annotation 500" in findings.items[0].where
    assert [part.mask for part in images[0].objects[0].parts] == [part.mask for part in expected.objects[0].parts]


@pytest.mark.parametrize("name", FORMATS)
def test_empty_masks_are_listed(name, tmp_path):
    write_example(name, tmp_path)

    def empty(data):
        data["annotations"][-1]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}

    edit(tmp_path / JSON[name], empty)
    images, findings = read(name, tmp_path)
    lost = {"part_without_owner": 2} if name == "ade20k_part_234" else {}  # its parts are those of the map
    assert findings.counts() == {"empty_mask": 1} | lost
    left = [] if name == "ade20k_part_234" else [EXAMPLE[name][1]]  # ADE: the row was the object
    assert parts_of(images) == left


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("numbers", [2, 4])
def test_degenerate_polygons_are_listed(name, numbers, tmp_path):
    """pycocotools takes four numbers for a box and crashes on two."""
    write_example(name, tmp_path)

    def add(data):
        row = data["annotations"][-1]
        row["segmentation"] = [[5, 2, 8, 2, 8, 6, 5, 6], [1, 1, 9, 9][:numbers]]
        row.pop("part_category_id", None)

    edit(tmp_path / JSON[name], add)
    images, findings = read(name, tmp_path)
    lost = {"part_without_owner": 1} if name == "ade20k_part_234" else {}  # the object is smaller than its parts now
    assert findings.counts() == {"degenerate_polygon": 1} | lost
    assert "polygon 1" in findings.items[0].where
    last = images[0].objects[0].mask if name == "ade20k_part_234" else images[0].objects[0].parts[-1].mask
    assert last == box(5, 2, 8, 6)


@pytest.mark.parametrize("name", FORMATS)
def test_part_of_degenerate_polygons_only(name, tmp_path):
    write_example(name, tmp_path)

    def replace(data):
        data["annotations"][-1]["segmentation"] = [[1, 1], [2, 2, 3, 3]]

    edit(tmp_path / JSON[name], replace)
    _, findings = read(name, tmp_path)
    lost = {"part_without_owner": 2} if name == "ade20k_part_234" else {}
    assert findings.counts() == {"degenerate_polygon": 2, "empty_mask": 1} | lost


@pytest.mark.parametrize("name", FORMATS)
def test_all_forms_of_a_mask_agree(name, tmp_path):
    write_example(name, tmp_path)
    pixels = box(5, 2, 8, 6).to_array()
    flat = np.flatnonzero(np.diff(np.concatenate([[0], pixels.T.ravel().astype(int)]))).tolist()
    bounds = [0, *flat, pixels.size]
    forms = [
        [[5, 2, 8, 2, 8, 6, 5, 6]],
        [[5, 2, 7, 2, 7, 6, 5, 6], [7, 2, 8, 2, 8, 6, 7, 6]],  # one region in two polygons
        {"size": [HEIGHT, WIDTH], "counts": np.diff(bounds).tolist()},
        {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode()},
    ]
    for form in forms:
        changed = {"segmentation": form, "part_category_id": []}
        edit(tmp_path / JSON[name], lambda data, changed=changed: data["annotations"][-1].update(changed))
        images, findings = read(name, tmp_path)
        thing = images[0].objects[0]
        assert (thing.mask if name == "ade20k_part_234" else thing.parts[-1].mask).to_array().tolist() == (
            pixels.tolist()
        )
        lost = {"part_without_owner": 1} if name == "ade20k_part_234" else {}  # the leg lies outside that object
        assert findings.counts() == lost


# --- image files


@pytest.mark.parametrize("name", FORMATS)
def test_images_are_checked_on_request(name, tmp_path):
    path = Path(write_example(name, tmp_path).path)
    images, findings = read(name, tmp_path, check_images=True)
    assert [image.path for image in images] == [str(path)]
    assert not findings

    whole = path.read_bytes()
    path.write_bytes(whole[:-30])  # the header is whole
    assert_image_finding(name, tmp_path, "truncated_image", path)
    path.write_bytes(b"not an image")
    assert_image_finding(name, tmp_path, "unreadable_image", path)
    Image.new("RGB", (WIDTH + 1, HEIGHT)).save(path, format="JPEG")
    assert_image_finding(name, tmp_path, "image_size", path)
    path.unlink()
    assert_image_finding(name, tmp_path, "missing_image", path)
    assert len(read(name, tmp_path)[0]) == 1  # unchecked, the annotations alone are read


def assert_image_finding(name: str, root: Path, kind: str, path: Path) -> None:
    images, findings = read(name, root, check_images=True)
    assert images == []
    assert findings.counts() == {kind: 1}
    assert findings.items[0].where == str(path)


@pytest.mark.parametrize("name", FORMATS)
def test_images_may_lie_elsewhere(name, tmp_path):
    path = Path(write_example(name, tmp_path / "data").path)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    path.parent.rename(moved / path.parent.name)
    moved = moved if name == "paco_lvis" else moved / path.parent.name
    images, findings = read(name, tmp_path / "data", image_root=moved, check_images=True)
    assert len(images) == 1
    assert not findings


# --- PACO-LVIS


def paco_edit(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> tuple[list[AnnotatedImage], Findings]:
    write_example("paco_lvis", tmp_path)
    edit(tmp_path / JSON["paco_lvis"], change)
    return read("paco_lvis", tmp_path)


def test_paco_part_without_owner(tmp_path):
    images, findings = paco_edit(tmp_path, lambda data: data["annotations"][1].update(obj_ann_id=77))
    assert findings.counts() == {"part_without_owner": 1}
    assert "annotation 2 of image 7" in findings.items[0].where
    assert parts_of(images) == ["rim"]


def test_paco_owner_on_another_image(tmp_path):
    def change(data):
        data["images"].append({**data["images"][0], "id": 8})
        data["annotations"][1]["image_id"] = 8

    images, findings = paco_edit(tmp_path, change)
    assert findings.counts() == {"owner_on_other_image": 1}
    assert parts_of(images) == ["rim"]
    assert images[1].objects == ()


def test_paco_part_of_another_class(tmp_path):
    dog_ear = next(i for c, i in paco_parts().items() if str(c) == "dog's ear")
    images, findings = paco_edit(tmp_path, lambda data: data["annotations"][1].update(category_id=dog_ear))
    assert findings.counts() == {"part_of_other_class": 1}
    assert parts_of(images) == ["rim"]


def test_paco_part_that_names_a_part_as_owner(tmp_path):
    _, findings = paco_edit(tmp_path, lambda data: data["annotations"][1].update(obj_ann_id=3))
    assert findings.counts() == {"part_without_owner": 1}


def test_paco_parts_of_an_empty_object_are_listed(tmp_path):
    images, findings = paco_edit(tmp_path, lambda data: data["annotations"][0].update(segmentation=[]))
    assert findings.counts() == {"part_without_owner": 2, "empty_mask": 1}
    assert images[0].objects == ()


def test_paco_object_that_names_another_owner(tmp_path):
    with pytest.raises(AnnotationError, match="object row 1 names 3 as its owner"):
        paco_edit(tmp_path, lambda data: data["annotations"][0].update(obj_ann_id=3))


def test_paco_row_without_owner_field(tmp_path):
    with pytest.raises(AnnotationError, match="no obj_ann_id"):
        paco_edit(tmp_path, lambda data: data["annotations"][0].pop("obj_ann_id"))


def test_paco_duplicate_annotation_ids(tmp_path):
    with pytest.raises(AnnotationError, match="id 2 occurs twice"):
        paco_edit(tmp_path, lambda data: data["annotations"][2].update(id=2))


def test_paco_category_table_that_contradicts_itself(tmp_path):
    with pytest.raises(AnnotationError, match="supercategory 'OBJECT'"):
        paco_edit(tmp_path, lambda data: [c.update(supercategory="OBJECT") for c in data["categories"]])


def test_paco_names_are_everyday_names(tmp_path):
    def change(data):
        data["annotations"][0]["category_id"] = paco_objects()["car"]
        wheel = next(i for c, i in paco_parts().items() if str(c) == "car's wheel")
        data["annotations"] = [data["annotations"][0], {**data["annotations"][1], "category_id": wheel}]

    images, _ = paco_edit(tmp_path, change)
    assert images[0].objects[0].category == "car"
    assert parts_of(images) == ["wheel"]


def test_paco_file_may_lie_at_the_root(tmp_path):
    write_example("paco_lvis", tmp_path)
    path = tmp_path / JSON["paco_lvis"]
    path.rename(tmp_path / path.name)
    assert len(read("paco_lvis", tmp_path)[0]) == 1


# --- PartImageNet


def pin_edit(tmp_path: Path, change: Callable[[dict[str, Any]], Any], **options):
    write_example("partimagenet", tmp_path)
    edit(tmp_path / JSON["partimagenet"], change)
    return read("partimagenet", tmp_path, **options)


@pytest.mark.parametrize(
    ("synset", "reason"),
    [("n02930766", "not used by Calico"), ("n02835271", "not used"), ("n02823428", "not used"), ("n01630670", "name")],
)
def test_partimagenet_left_out_classes_are_listed(synset, reason, tmp_path):
    images, findings = pin_edit(tmp_path, lambda data: data["images"][0].update(file_name=f"{synset}_7.JPEG"))
    assert images == []
    assert findings.counts() == {"class_left_out": 1, "whole_without_parts_row": 1}
    assert synset in findings.items[1].detail
    assert reason in findings.items[1].detail


@pytest.mark.parametrize("file_name", ["n09999999_7.JPEG", "kitchen.jpg"])
def test_partimagenet_unknown_synset(file_name, tmp_path):
    with pytest.raises(AnnotationError, match="synset"):
        pin_edit(tmp_path, lambda data: data["images"][0].update(file_name=file_name))


def test_partimagenet_supercategory_comes_from_the_parts(tmp_path):
    """The table says dogs are quadrupeds; parts of a biped are kept, and the disagreement is listed."""

    def change(data):
        for row, part in zip(data["annotations"], (4, 8), strict=True):
            row["category_id"] = part

    images, findings = pin_edit(tmp_path, change)
    assert parts_of(images) == ["head", "tail"]
    assert findings.counts() == {"supercategory_disagrees": 1}
    assert "biped" in findings.items[0].detail
    counts = observed_supercategories(tmp_path, "train", findings=Findings())
    assert counts == {"n02085782": {"biped": 2}}


def test_partimagenet_stray_part_of_another_supercategory(tmp_path):
    images, findings = pin_edit(tmp_path, lambda data: data["annotations"][0].update(category_id=18))
    assert parts_of(images) == ["tail"]
    assert findings.counts() == {"part_of_other_supercategory": 1}


def test_partimagenet_rows_of_one_part_are_merged(tmp_path):
    images, _ = pin_edit(tmp_path, lambda data: data["annotations"][0].update(category_id=3))
    (part,) = images[0].objects[0].parts
    assert part.mask.area == 4 + 12


def test_partimagenet_category_tables_of_both_kinds(tmp_path):
    """Names as released (``Car Tier``) and as in the MixedParts files (``head`` below ``quadruped``), any ids."""

    def change(data):
        for category in data["categories"]:
            whole, _, part = category["name"].partition(" ")
            category.update(id=category["id"] + 100, name=part.lower(), supercategory=whole.lower())
        for row in data["annotations"]:
            row["category_id"] += 100

    images, findings = pin_edit(tmp_path, change)
    assert parts_of(images) == ["head", "tail"]
    assert not findings


def test_partimagenet_unknown_part_name(tmp_path):
    with pytest.raises(AnnotationError, match="unknown part 'Quadruped Horn'"):
        pin_edit(tmp_path, lambda data: data["categories"][0].update(name="Quadruped Horn"))


def test_partimagenet_object_without_whole_mask(tmp_path):
    write_example("partimagenet", tmp_path)
    edit(tmp_path / "annotations/train_whole/train_whole.json", lambda data: data.update(annotations=[]))
    images, findings = read("partimagenet", tmp_path)
    assert findings.counts() == {"whole_from_parts": 1}
    assert images[0].objects[0].mask.area == 4 + 12


def test_partimagenet_image_without_masks(tmp_path):
    write_example("partimagenet", tmp_path)
    for name in (JSON["partimagenet"], "annotations/train_whole/train_whole.json"):
        edit(tmp_path / name, lambda data: data.update(annotations=[]))
    images, findings = read("partimagenet", tmp_path)
    assert findings.counts() == {"no_object": 1}
    assert images[0].objects == ()


def test_partimagenet_images_in_synset_folders(tmp_path):
    path = Path(write_example("partimagenet", tmp_path).path)
    nested = path.parent / "n02085782" / path.name
    nested.parent.mkdir()
    path.rename(nested)
    images, findings = read("partimagenet", tmp_path, check_images=True)
    assert images[0].path == str(nested)
    assert not findings


def test_partimagenet_duplicate_annotation_ids_are_listed(tmp_path):
    images, findings = pin_edit(tmp_path, lambda data: data["annotations"][1].update(id=data["annotations"][0]["id"]))
    assert findings.counts() == {"duplicate_annotation_id": 1}
    assert parts_of(images) == ["head", "tail"]


@pytest.mark.parametrize(("folder", "label"), [("train", 41), ("train_whole", 159)])
def test_partimagenet_unknown_labels(folder, label, tmp_path):
    write_example("partimagenet", tmp_path)
    path = next((tmp_path / "annotations" / folder).glob("*.png"))
    labels = np.array(Image.open(path))
    labels[0, 0] = label
    Image.fromarray(labels).save(path)
    with pytest.raises(AnnotationError, match=f"unknown label {label}"):
        read("partimagenet", tmp_path, masks="png")


# --- ADE20K-Part-234


def ade_map(tmp_path: Path) -> Path:
    return next((tmp_path / "annotations_detectron2_part/training").glob("*.png"))


def test_ade_refuses_eight_bit_maps(tmp_path):
    write_example("ade20k_part_234", tmp_path)
    path = ade_map(tmp_path)
    labels = np.array(Image.open(path)).astype(np.uint8)
    Image.fromarray(labels).save(path)
    with pytest.raises(AnnotationError, match="not a 16-bit grey PNG") as caught:
        read("ade20k_part_234", tmp_path)
    assert caught.value.where == str(path)


def test_ade_map_faults(tmp_path):
    write_example("ade20k_part_234", tmp_path)
    path = ade_map(tmp_path)
    whole = path.read_bytes()
    labels = np.array(Image.open(path))
    labels[0, 0] = 234
    Image.fromarray(labels).save(path)
    with pytest.raises(AnnotationError, match="unknown label 234"):
        read("ade20k_part_234", tmp_path)
    Image.fromarray(labels[:-1]).save(path)
    with pytest.raises(MaskError, match="label map of size 7 x 10"):
        read("ade20k_part_234", tmp_path)
    path.write_bytes(whole[:60])
    with pytest.raises(AnnotationError, match="cannot be read"):
        read("ade20k_part_234", tmp_path)
    path.unlink()
    with pytest.raises(AnnotationError, match="label map is missing"):
        read("ade20k_part_234", tmp_path)


def test_ade_parts_belong_to_the_objects_class_and_mask(tmp_path):
    """A table overlaps the chair: it owns no chair leg. A second chair gets the leg pixels inside its own mask."""
    write_example("ade20k_part_234", tmp_path)

    def change(data):
        first = data["annotations"][0]
        table = {**first, "id": 2, "category_id": 36, "part_category_id": [70]}
        half = {**first, "id": 3, "segmentation": [[0, 0, 3, 0, 3, 8, 0, 8]], "part_category_id": [48]}
        data["annotations"] += [table, half]

    edit(tmp_path / JSON["ade20k_part_234"], change)
    images, findings = read("ade20k_part_234", tmp_path)
    chair, table, half = images[0].objects
    assert [p.name for p in chair.parts] == ["leg", "seat"]
    assert (table.category, table.parts) == ("table", ())
    assert [(p.name, p.mask) for p in half.parts] == [("leg", box(2, 2, 3, 4))]
    assert findings.counts() == {"listed_part_without_pixels": 1}
    assert "annotation 2" in findings.items[0].where


def test_ade_part_pixels_outside_every_instance_are_listed(tmp_path):
    write_example("ade20k_part_234", tmp_path)
    path = ade_map(tmp_path)
    labels = np.array(Image.open(path))
    bed = next(i for i, part in enumerate(ade_parts()) if part.whole == "bed")
    labels[0, :3] = bed
    Image.fromarray(labels.astype(np.uint16)).save(path)
    _, findings = read("ade20k_part_234", tmp_path)
    assert findings.counts() == {"part_without_owner": 1}
    assert "bed's" in findings.items[0].detail
    assert "3 pixels" in findings.items[0].detail


@pytest.mark.parametrize("value", [3, ["a", 3], [[3]], {"a": 1}])
def test_ade_lists_of_parts_that_are_none(tmp_path, value):
    write_example("ade20k_part_234", tmp_path)
    edit(tmp_path / JSON["ade20k_part_234"], lambda data: data["annotations"][0].update(part_category_id=value))
    with pytest.raises(AnnotationError, match="part_category_id"):
        read("ade20k_part_234", tmp_path)


WHOLE = "annotations/train_whole/train_whole.json"


def test_partimagenet_objects_without_part_rows_are_listed(tmp_path):
    write_example("partimagenet", tmp_path)
    more = {"id": 99, "file_name": "n02085936_99.JPEG", "height": 4, "width": 4}
    edit(tmp_path / WHOLE, lambda data: data["images"].append(more))
    images, findings = read("partimagenet", tmp_path)
    assert len(images) == 1
    assert findings.counts() == {"whole_without_parts_row": 1}
    assert "n02085936_99.JPEG" in findings.items[0].where


def test_partimagenet_object_file_that_lists_an_image_twice(tmp_path):
    write_example("partimagenet", tmp_path)
    edit(tmp_path / WHOLE, lambda data: data["images"].append(data["images"][0] | {"id": 99}))
    with pytest.raises(AnnotationError, match="occurs twice"):
        read("partimagenet", tmp_path)


def test_partimagenet_files_that_disagree_about_a_size(tmp_path):
    write_example("partimagenet", tmp_path)
    edit(tmp_path / WHOLE, lambda data: data["images"][0].update(height=2 * HEIGHT))
    with pytest.raises(MaskError, match="the object file as"):
        read("partimagenet", tmp_path)


def test_partimagenet_object_of_another_class_is_listed(tmp_path):
    write_example("partimagenet", tmp_path)
    shark = partimagenet_classes()["n01484850"].index
    edit(tmp_path / WHOLE, lambda data: data["annotations"][0].update(category_id=shark))
    _, findings = read("partimagenet", tmp_path)
    assert findings.counts() == {"whole_of_other_class": 1}
    path = next((tmp_path / "annotations/train_whole").glob("*.png"))
    labels = np.array(Image.open(path))
    labels[labels != 158] = 3
    Image.fromarray(labels).save(path)
    _, findings = read("partimagenet", tmp_path, masks="png")
    assert findings.counts() == {"whole_of_other_class": 1}


def test_a_png_that_claims_to_be_huge(tmp_path):
    image = write_example("paco_lvis", tmp_path)
    Image.new("L", (1, 1)).save(tmp_path / "small.png")
    small = (tmp_path / "small.png").read_bytes()
    header = b"IHDR" + (20000).to_bytes(4, "big") * 2 + small[24:29]
    Path(image.path).write_bytes(small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:])
    images, findings = read("paco_lvis", tmp_path, check_images=True)
    assert images == []
    assert findings.counts() == {"image_size": 1}


def test_ade_category_table_in_another_order(tmp_path):
    write_example("ade20k_part_234", tmp_path)

    def swap(data):
        first, second = data["categories"][:2]
        first["name"], second["name"] = second["name"], first["name"]

    edit(tmp_path / JSON["ade20k_part_234"], swap)
    with pytest.raises(AnnotationError, match="category 0 is 'armchair', expected 'airplane'"):
        read("ade20k_part_234", tmp_path)


def test_ade_lamp_column(tmp_path):
    from llava_corr.world.writers import ade20k_part_234

    thing = ImageObject(
        category="lamp", instance_id="1", mask=box(0, 0, 5, 5), parts=(Part(name="pipe", mask=box(1, 1, 2, 2)),)
    )
    image = AnnotatedImage(
        image_id="1", path="ADE_train_00000001.jpg", height=HEIGHT, width=WIDTH, source="", split="", objects=(thing,)
    )
    ade20k_part_234.write(tmp_path, "train", [image])
    assert parts_of(read("ade20k_part_234", tmp_path)[0]) == ["pipe"]
    assert parts_of(read("ade20k_part_234", tmp_path, part_names="release")[0]) == ["column"]


def test_ade_unknown_split(tmp_path):
    with pytest.raises(AnnotationError, match="unknown split 'dev'"):
        SOURCES.load("ade20k_part_234")(tmp_path, "dev", findings=Findings())
