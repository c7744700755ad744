"""Detections files: both formats read alike, and every fault is named with file and row."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from toy_mixedparts import HEIGHT, WIDTH, box

from llava_corr.benchmarks.detections import (
    DetectedImage,
    Detection,
    DetectionIndex,
    read_detections,
    write_detections,
)
from llava_corr.benchmarks.detections_coco import split_name
from llava_corr.errors import Findings, LlavaCorrError, MaskError, PredictionError
from llava_corr.records import Mask

A, B = box(0, 0, 8, 20), box(16, 0, 24, 20)
DOG = {"object": "dog", "mask": A.model_dump(), "score": 0.9}
HEAD = {"object": "dog", "part": "head", "mask": B.model_dump(), "score": 0.5}


def row(image="a/1.jpg", *detections, **changes):
    return {"image": image, "height": HEIGHT, "width": WIDTH, "detections": list(detections), **changes}


def file_of(folder, *rows, name="d.jsonl"):
    path = folder / name
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


def read(path, annotations=None):
    findings = Findings()
    return read_detections(path, annotations, findings=findings), findings


def test_rows_are_read_and_names_are_said(tmp_path):
    path = file_of(tmp_path, row("a/1.jpg", {**DOG, "object": "Hot_Dog"}, {**HEAD, "part": "Left_Ear"}), row("2.jpg"))
    images, findings = read(path)
    assert [(d.object, d.part, d.score) for d in images[0].detections] == [
        ("hot dog", None, 0.9),
        ("dog", "left ear", 0.5),
    ]
    assert images[1].detections == ()
    assert not findings


def test_written_rows_come_back(tmp_path):
    images = [
        DetectedImage(image="x/1.jpg", height=HEIGHT, width=WIDTH, detections=(Detection(**DOG), Detection(**HEAD))),
        DetectedImage(image="x/2.jpg", height=HEIGHT, width=WIDTH),
    ]
    assert write_detections(tmp_path / "d.jsonl", images) == 2
    assert read(tmp_path / "d.jsonl")[0] == images


SMALL = Mask.from_array(np.ones((3, 4), bool)).model_dump()
SHORT = {"size": [HEIGHT, WIDTH], "counts": SMALL["counts"]}
FAULTS = {
    "broken JSON": ("{", "row 2", PredictionError, "not a valid DetectedImage"),
    "unknown key": (row("x", colour=1), "row 2", PredictionError, "colour"),
    "no size": ({"image": "x"}, "row 2", PredictionError, "height"),
    "score above 1": (row("x", {**DOG, "score": 1.5}), "row 2", PredictionError, r"detections\.0\.score"),
    "score no number": (row("x", DOG, {**DOG, "score": float("nan")}), "row 2", PredictionError, "1.score"),
    "no mask": (row("x", {"object": "dog", "score": 1}), "row 2", PredictionError, "mask"),
    "mask of another size": (row("x", DOG, {**DOG, "mask": SMALL}), "row 2, detection 1", MaskError, "(3, 4)"),
    "short runs": (row("x", {**DOG, "mask": SHORT}), "row 2, detection 0", MaskError, "undecodable"),
    "nameless": (row("x", {**DOG, "object": "+"}), "row 2, detection 0", PredictionError, "cannot stand"),
    "name that is cut": (row("x", {**HEAD, "part": "leg,"}), "row 2, detection 0", PredictionError, "'leg,' cannot"),
    "image again": (row("a/./1.jpg"), "rows 1 and 2", PredictionError, "occurs twice"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_file_and_row(tmp_path, name):
    broken, place, kind, what = FAULTS[name]
    path = file_of(tmp_path, row("a/1.jpg", DOG), broken)
    with pytest.raises(kind) as caught:
        read(path)
    assert what.replace("\\", "") in str(caught.value)
    assert str(path) in caught.value.where
    assert place in caught.value.where
    assert caught.value.mend


def test_missing_file(tmp_path):
    with pytest.raises(PredictionError, match="does not exist"):
        read(tmp_path / "none.jsonl")


def test_empty_masks_go_and_repeated_detections_stay_both_counted(tmp_path):
    nothing = Mask.from_array(np.zeros((HEIGHT, WIDTH), bool)).model_dump()
    images, findings = read(file_of(tmp_path, row("x", DOG, {**DOG, "mask": nothing}, HEAD, {**DOG, "score": 0.2})))
    assert [d.score for d in images[0].detections] == [0.9, 0.5, 0.2]
    assert findings.counts() == {"empty_mask": 1, "repeated_detection": 1}
    assert findings.items[0].where.endswith("row 1, detection 1")


# ---- COCO results ----------------------------------------------------------------------------------------------------

IMAGES = [{"id": 7, "file_name": "val/7.jpg", "height": HEIGHT, "width": WIDTH, "license": 3}]
IMAGES += [{"id": 8, "file_name": "val/8.jpg", "height": HEIGHT, "width": WIDTH}]
CATEGORIES = [{"id": 1, "name": "dog", "supercategory": "OBJECT"}, {"id": 2, "name": "dog:head"}]
RESULTS = [
    {"image_id": 7, "category_id": 1, "segmentation": A.model_dump(), "score": 0.9, "bbox": [0, 0, 8, 20]},
    {"image_id": 7, "category_id": 2, "segmentation": B.model_dump(), "score": 0.5},
]


def test_coco_results_and_rows_say_the_same(tmp_path):
    rows, _ = read(file_of(tmp_path, row("val/7.jpg", DOG, HEAD), row("val/8.jpg")))
    whole = {"images": IMAGES, "categories": CATEGORIES, "annotations": RESULTS}
    one, _ = read(file_of(tmp_path, json.dumps(whole, indent=1), name="whole.json"))
    bare = file_of(tmp_path, json.dumps(RESULTS), name="coco_instances_results.json")
    data_set = file_of(tmp_path, {"images": IMAGES, "categories": CATEGORIES, "annotations": []}, name="val.json")
    two, _ = read(bare, data_set)
    three, _ = read(tmp_path / "whole.json", data_set)  # it names them itself, and no otherwise
    assert rows == one == two == three


def test_uncompressed_runs_and_polygons_are_read(tmp_path):
    runs = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * 8, HEIGHT * 16]}
    polygon = [[0, 0, 8, 0, 8, 20, 0, 20]]
    results = [{**RESULTS[0], "segmentation": s} for s in (runs, polygon)]
    (image, _), _ = read(
        file_of(tmp_path, {"images": IMAGES, "categories": CATEGORIES, "annotations": results}, name="r.json")
    )
    drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygon, HEIGHT, WIDTH)))
    np.testing.assert_array_equal(image.detections[0].mask.to_array(), A.to_array())
    np.testing.assert_array_equal(image.detections[1].mask.to_array(), drawn.astype(bool))


COCO_FAULTS = {
    "unknown image": ({"image_id": 9}, "unknown image id 9"),
    "unknown category": ({"category_id": 3}, "unknown category id 3"),
    "boxes only": ({"segmentation": None}, "segmentation"),
    "no score": ({"score": None}, "score"),
    "score of a logit": ({"score": 3.2}, "score"),
    "mask of another size": ({"segmentation": SMALL}, "size"),
    "short runs": ({"segmentation": SHORT}, "undecodable"),
}


@pytest.mark.parametrize("name", COCO_FAULTS)
def test_a_fault_of_coco_results_names_file_and_row(tmp_path, name):
    change, what = COCO_FAULTS[name]
    results = [RESULTS[0], {k: v for k, v in {**RESULTS[1], **change}.items() if v is not None}]
    path = file_of(tmp_path, {"images": IMAGES, "categories": CATEGORIES, "annotations": results}, name="r.json")
    with pytest.raises(LlavaCorrError, match=what) as caught:
        read(path)
    assert f"{path}, row 1" in caught.value.where


def test_results_without_images_ask_for_the_annotation_file(tmp_path):
    with pytest.raises(PredictionError, match="--annotations"):
        read(file_of(tmp_path, json.dumps(RESULTS), name="r.json"))
    again = {"images": IMAGES, "categories": [*CATEGORIES, CATEGORIES[0]], "annotations": RESULTS}
    with pytest.raises(PredictionError, match=r"id 1 occurs twice(.|\n)*categories\[2\]"):
        read(file_of(tmp_path, again, name="r.json"))
    with pytest.raises(PredictionError, match="leave --annotations out"):
        read(file_of(tmp_path, row()), tmp_path / "r.json")


@pytest.mark.parametrize(("name", "key"), [("images", "height"), ("categories", "name")])
def test_results_and_annotations_may_not_name_things_otherwise(tmp_path, name, key):
    whole = {"images": IMAGES, "categories": CATEGORIES, "annotations": RESULTS}
    path = file_of(tmp_path, whole, name="whole.json")
    first, *rest = whole[name]
    alike = {**whole, name: [*reversed(rest), {**first, "license": 4}]}  # in another order, with more said
    expected, _ = read(path)
    found, _ = read(path, file_of(tmp_path, alike, name="alike.json"))
    assert {i.image: i for i in found} == {i.image: i for i in expected}
    for other in ({**first, key: 2 * first[key]}, {**first, "id": 99}):
        data_set = file_of(tmp_path, {**whole, name: [other, *rest]}, name="other.json")
        with pytest.raises(PredictionError, match=f"1 of its {name} are not those of the annotations") as caught:
            read(path, data_set)
        assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", ("dog", None)),
        ("dog:head", ("dog", "head")),
        ("car_(automobile)", ("car", None)),
        ("car_(automobile):door_handle", ("car", "door handle")),
        ("chair_(leg)", ("chair", "leg")),
        ("chair (leg)", ("chair", "leg")),
        ("zebra_(head)", ("zebra", "head")),  # a class that no taxonomy knows, a part that one does
        ("bow_(decorative_ribbons)", ("bow", None)),
        ("monitor_(computer_equipment) computer_monitor", ("monitor", None)),
        ("person's left_arm", ("person", "left arm")),
        ("Quadruped Head", ("quadruped", "head")),
        ("pool_table", ("pool table", None)),
    ],
)
def test_spellings_of_categories(name, expected):
    assert split_name(name) == expected


def test_every_sense_of_paco_is_an_object_and_every_part_a_part():
    from llava_corr.taxonomy import load, paco_objects, paco_parts

    table = load("paco_lvis_ids")
    assert {split_name(r["name"]) for r in table["objects"]} == {(name, None) for name in paco_objects()}
    assert {split_name(name) for name in table["parts"]} == {(p.whole, p.part) for p in paco_parts()}


def test_a_sense_that_is_cut_is_counted(tmp_path):
    categories = [{"id": 1, "name": "bow_(decorative_ribbons)"}, {"id": 2, "name": "dog:head"}]
    path = file_of(tmp_path, {"images": IMAGES, "categories": categories, "annotations": RESULTS}, name="r.json")
    assert read(path)[1].counts() == {"sense_cut": 1}


def coco(tmp_path, results=RESULTS, images=IMAGES, categories=CATEGORIES):
    return file_of(tmp_path, {"images": images, "categories": categories, "annotations": results}, name="r.json")


@pytest.mark.parametrize("name", ["dog_head", "dog head", "head of dog", "dog/head", "Dog-Head"])
def test_an_object_named_like_a_part_is_listed(tmp_path, name):
    categories = [CATEGORIES[0], {"id": 2, "name": name}]
    _, findings = read(coco(tmp_path, categories=categories))
    assert findings.counts() == {"object_named_like_a_part": 1, "no_part_category": 1}
    assert "'dog:head'" in findings.items[0].detail


def test_no_class_or_part_of_the_data_sets_reads_like_a_part_of_another(tmp_path):
    from llava_corr.taxonomy import load

    table = load("paco_lvis_ids")
    names = [row["name"] for row in table["objects"]] + list(table["parts"])
    _, findings = read(coco(tmp_path, [], categories=[{"id": k, "name": name} for k, name in enumerate(names)]))
    assert set(findings.counts()) == {"sense_cut"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("car (automobile):wheel", ("car", "wheel")),
        ("car_(automobile):wheel", ("car", "wheel")),
        ("person\u2019s left arm", ("person", "left arm")),
        ("bow (decorative ribbons)'s knot", ("bow", "knot")),
    ],
)
def test_senses_are_cut_from_the_owners_of_parts(name, said):
    assert split_name(name) == said


def test_lvis_names_its_images_by_address(tmp_path):
    row = {key: value for key, value in IMAGES[0].items() if key != "file_name"}
    images = [{**row, "coco_url": "http://images.example.org/val2017/000000000007.jpg"}]
    (image,), _ = read(coco(tmp_path, images=images))
    assert image.image == "val2017/000000000007.jpg"
    with pytest.raises(PredictionError, match="file_name"):
        read(coco(tmp_path, images=[row]))


def test_only_categories_that_are_used_must_be_said(tmp_path):
    odd = [*CATEGORIES, {"id": 3, "name": "?"}]
    assert len(read(coco(tmp_path, categories=odd))[0]) == 2
    with pytest.raises(PredictionError, match="cannot stand in an answer"):
        read(coco(tmp_path, [{**RESULTS[0], "category_id": 3}], categories=odd))


def test_ids_of_another_type_are_named(tmp_path):
    with pytest.raises(PredictionError, match="the annotations have the int 7"):
        read(coco(tmp_path, [{**RESULTS[0], "image_id": "7"}]))


# ---- which row belongs to which file ---------------------------------------------------------------------------------


def index_of(*names):
    return DetectionIndex([DetectedImage(image=n, height=HEIGHT, width=WIDTH) for n in names], "d.jsonl")


def test_images_are_found_by_the_last_components_of_their_paths():
    index = index_of("val/1.jpg", "2.jpg", "/data/x/3.jpg")
    for path, name in [("/data/val/1.jpg", "val/1.jpg"), ("/q/2.jpg", "2.jpg"), ("/data/x/3.jpg", "/data/x/3.jpg")]:
        assert index.find(path, HEIGHT, WIDTH).image == name
        assert index.find(path, HEIGHT, WIDTH).image == name  # a second sample may ask again
    for path in ("/data/train/1.jpg", "/data/val/11.jpg", "/q/3.jpg"):
        assert index.find(path, HEIGHT, WIDTH) is None
    assert index.images_found == 3


def test_file_names_alone_match_on_demand():
    rows = [DetectedImage(image=n, height=HEIGHT, width=WIDTH) for n in ("n01/1.jpg", "a/2.jpg", "b/2.jpg")]
    index = DetectionIndex(rows, "d.jsonl", by_file_name=True)
    assert index.find("/data/val/1.jpg", HEIGHT, WIDTH).image == "n01/1.jpg"
    assert index.find("/data/b/2.jpg", HEIGHT, WIDTH).image == "b/2.jpg", "folders that fit go first"
    with pytest.raises(PredictionError, match="one to one"):
        index.find("/data/val/2.jpg", HEIGHT, WIDTH)
    with pytest.raises(PredictionError, match="one to one"):
        index.find("/data/train/1.jpg", HEIGHT, WIDTH)


def test_what_is_not_one_to_one_is_refused():
    index = index_of("1.jpg", "val/2.jpg", "2.jpg")
    index.find("/a/1.jpg", HEIGHT, WIDTH)
    with pytest.raises(PredictionError, match=r"one to one: '1\.jpg' and /a/1\.jpg, /b/1\.jpg"):
        index.find("/b/1.jpg", HEIGHT, WIDTH)
    with pytest.raises(PredictionError, match=r"'2\.jpg', 'val/2\.jpg'"):
        index.find("/a/val/2.jpg", HEIGHT, WIDTH)
    with pytest.raises(PredictionError, match="occurs twice"):
        index_of("1.jpg", "./1.jpg")
    with pytest.raises(PredictionError, match="height, width"):
        index_of("1.jpg").find("1.jpg", HEIGHT + 1, WIDTH)
