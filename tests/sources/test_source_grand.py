"""The GranD reader: what it reads, and every fault of a file by its name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from llava_corr.errors import AnnotationError, Findings, MaskError
from llava_corr.records import GroundedCaption, GroundedPhrase, Referral
from llava_corr.sources import SOURCES

HEIGHT, WIDTH = 6, 8


def pixels(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


CHAIR, LAWN, BALL = pixels(0, 0, 3, 4), pixels(0, 4, 8, 6), pixels(5, 1, 7, 3)


def rle(mask: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def thing(number: int, mask: np.ndarray | None, *labels: str, **more) -> dict:
    row = {"id": number, "bbox": [0.0, 0.0, 1.0, 1.0], "labels": list(labels), "score": 0.9, "attributes": None, **more}
    return row if mask is None else {**row, "segmentation": rle(mask), "segmentation_source": "SAM"}


def detail(phrase: str, caption: str, number: int) -> dict:
    start = caption.find(phrase)
    return {"phrase": phrase, "tokens_positive": [start, start + len(phrase)], "id": number, "bbox": [0, 0, 1, 1]}


def content(**changes) -> dict:
    """What one file holds, as the pipeline leaves it; keyword arguments replace whole keys."""
    short, dense = "a red chair on a lawn", "A red chair stands on the lawn. There is a ball, too."
    return {
        "objects": [
            thing(0, CHAIR, "chair", "stool", label="chair", attributes=["Assistant: a red chair.", "istant: metal"]),
            thing(1, LAWN, "lawn_(grass)", attributes="green ground"),
        ],
        "floating_objects": [thing(2, BALL, "beach_ball")],
        "floating_attributes": [{"bbox": [0, 0, 1, 1], "labels": [], "score": 0.6, "attributes": ["red lettering"]}],
        "landmark": {"category": "Outdoor scene", "fine_category": "Park"},
        "affordances": {},
        "id_counter": 3,
        "relationships": {"object_ids": [0, 1], "floating_object_ids": [], "grounding": []},
        "short_captions": [
            {"caption": short, "details": [detail("a red chair", short, 0), detail("a lawn", short, 1)]}
        ],
        "dense_caption": {
            "caption": dense,
            "details": [
                {"phrase": "a ball", "tokens_positive": None, "ids": [2], "bbox": [[0, 0, 1, 1]]},
                {"phrase": "a red chair", "tokens_positive": [0, 11], "ids": [0, 1], "bbox": [[0, 0, 1, 1]] * 2},
            ],
        },
        "additional_context": "Chairs can be sat on.",
        **changes,
    }


def write(root: Path, data: object, name: str = "sa_7", split: str = "train") -> Path:
    path = root / "annotations" / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def read(root: Path, split: str = "train", **options):
    findings = Findings()
    return list(SOURCES.load("grand")(root, split, findings=findings, **options)), findings


def read_one(root: Path, **changes):
    write(root, {"sa_7.jpg": content(**changes)})
    (image,), findings = read(root)
    return image, findings


# --- what is read


def test_objects_captions_and_referrals(tmp_path):
    image, findings = read_one(tmp_path)
    assert (image.image_id, image.path) == ("sa_7", str(tmp_path / "sa_7.jpg"))
    assert (image.height, image.width, image.source, image.split) == (HEIGHT, WIDTH, "grand", "train")
    assert [(o.instance_id, o.category) for o in image.objects] == [("0", "chair"), ("1", "lawn"), ("2", "beach ball")]
    for found, mask in zip(image.objects, (CHAIR, LAWN, BALL), strict=True):
        assert np.array_equal(coco_mask.decode(found.mask.to_coco()), mask)
    short, dense = image.captions
    assert short == GroundedCaption(
        text="a red chair on a lawn",
        phrases=(
            GroundedPhrase(start=0, end=11, instance_ids=("0",)),
            GroundedPhrase(start=15, end=21, instance_ids=("1",)),
        ),
    )
    assert [(dense.text[p.start : p.end], p.instance_ids) for p in dense.phrases] == [
        ("A red chair", ("0", "1")),
        ("a ball", ("2",)),
    ]
    assert image.referrals == (  # "metal" says no label of its object; floating objects are not asked for
        Referral(phrase="chair", instance_ids=("0",)),
        Referral(phrase="a red chair", instance_ids=("0",)),
        Referral(phrase="lawn", instance_ids=("1",)),
        Referral(phrase="green ground", instance_ids=("1",)),
    )
    assert findings.counts() == {"other_attribute": 1}


def test_referrals_of_one_phrase_are_one(tmp_path):
    objects = [thing(0, CHAIR, "mug", attributes=["a mug"]), thing(5, LAWN, "mug", attributes=["a mug"])]
    image, _ = read_one(tmp_path, objects=objects, floating_objects=[thing(9, BALL, "mug")], short_captions=[],
                        dense_caption="Three mugs.")  # fmt: skip
    assert [(r.phrase, r.instance_ids) for r in image.referrals] == [("mug", ("0", "5", "9")), ("a mug", ("0", "5"))]
    assert image.captions == (GroundedCaption(text="Three mugs."),)


def test_the_chosen_label_names_the_object(tmp_path):
    objects = [thing(0, CHAIR, "dress", "person", label="woman_(adult)")]
    image, _ = read_one(tmp_path, objects=objects, short_captions=[], dense_caption=None)
    assert image.objects[0].category == "woman"
    assert image.captions == ()


def test_layouts_and_splits(tmp_path):
    flat = tmp_path / "flat"
    write(flat, {"sa_7.jpg": content()}, split=".")
    (flat / "images").mkdir()
    (image,), _ = read(flat)
    assert image.path == str(flat / "images" / "sa_7.jpg")
    assert read(flat, image_root=tmp_path / "sam")[0][0].path == str(tmp_path / "sam" / "sa_7.jpg")
    with pytest.raises(AnnotationError, match="split 'val' not found"):
        read(flat, "val")
    for split, name in (("train", "sa_9"), ("train", "sa_10"), ("val", "sa_1")):
        write(tmp_path, {f"{name}.jpg": content()}, name, split)
    assert [i.image_id for i in read(tmp_path)[0]] == ["sa_10", "sa_9"]
    assert [(i.image_id, i.split) for i in read(tmp_path, "val")[0]] == [("sa_1", "val")]
    (tmp_path / "annotations" / "test").mkdir()
    with pytest.raises(AnnotationError, match="no JSON file"):
        read(tmp_path, "test")


# --- what is counted


def short(text: str, *details: dict) -> dict:
    return {"short_captions": [{"caption": text, "details": list(details)}], "dense_caption": None}


ONE = {"floating_objects": [], "objects": [thing(0, CHAIR, "chair"), thing(1, LAWN, "lawn"), thing(2, None, "sky")]}


@pytest.mark.parametrize(
    ("changes", "kind", "phrases"),
    [
        (short("a lawn", {"phrase": "a chair", "tokens_positive": [0, 6], "id": 0}), "phrase_not_in_caption", []),
        (short("a carpet", {"phrase": "a car", "tokens_positive": [0, 5], "id": 0}), "phrase_not_in_caption", []),
        (short("so, a chair", {"phrase": "a chair", "tokens_positive": [5, 12], "id": 0}), "moved_phrase", ["a chair"]),
        (short("a chair", {"phrase": "a chair", "tokens_positive": [-9, 900], "id": 0}), "moved_phrase", ["a chair"]),
        (short("a sky", detail("a sky", "a sky", 2)), "phrase_without_mask", []),
        (short("x", {"phrase": "x", "ids": [0, 2]}), "phrase_without_mask", []),
        (short("a chair on it", detail("a chair on it", "a chair on it", 0), {"phrase": "chair", "id": 1}),
         "overlapping_phrase", ["a chair on it"]),
        (short("  "), "empty_caption", None),
        ({**short("it"), "objects": [*ONE["objects"], thing(0, BALL, "ball")]}, "duplicate_object_id", []),
        ({**short("it"), "objects": [*ONE["objects"], thing(4, BALL * 0, "ball")]}, "empty_mask", []),
        ({**short("it"), "objects": [*ONE["objects"], thing(4, BALL)]}, "object_without_label", []),
    ],
)  # fmt: skip
def test_cases_that_are_counted(tmp_path, changes, kind, phrases):
    image, findings = read_one(tmp_path, **{**ONE, **changes})
    assert findings.counts() == {kind: 1, "object_without_mask": 1}
    assert "sa_7.json" in next(f.where for f in findings.items if f.kind == kind)
    if phrases is None:
        assert image.captions == ()
    else:
        (caption,) = image.captions
        assert [caption.text[p.start : p.end] for p in caption.phrases] == phrases


def test_repeated_phrases_stand_where_their_tokens_say(tmp_path):
    text = " a chair beside a chair "  # blanks count in tokens_positive
    details = [{"phrase": "a chair", "tokens_positive": [16, 23], "id": 0},
               {"phrase": "a chair", "tokens_positive": [1, 8], "id": 1},
               {"phrase": "a chair", "tokens_positive": [1, 8], "id": 0}]  # fmt: skip
    image, findings = read_one(tmp_path, **{**ONE, **short(text, *details)})
    assert [(p.start, p.instance_ids) for p in image.captions[0].phrases] == [(0, ("1", "0")), (15, ("0",))]
    assert findings.counts() == {"object_without_mask": 1}


def test_a_file_without_masks_takes_the_size_of_its_image(tmp_path):
    changes = {**short("a scene"), "objects": [], "floating_objects": [thing(2, None, "sky")]}
    write(tmp_path, {"sa_7.jpg": content(**changes)})
    images, findings = read(tmp_path)
    assert images == []
    assert findings.counts() == {"unknown_size": 1}
    Image.new("RGB", (5, 3)).save(tmp_path / "sa_7.jpg")
    (image,), findings = read(tmp_path)
    assert (image.height, image.width) == (3, 5)
    assert findings.counts() == {"object_without_mask": 1}


def test_images_are_checked_when_asked(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path, {f"{name}.jpg": content()}, name)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.jpg")
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "b.jpg")
    images, findings = read(tmp_path, check_images=True)
    assert [image.image_id for image in images] == ["a"]
    assert {f.kind: Path(f.where).name for f in findings.items if f.kind != "other_attribute"} == {
        "image_size": "b.jpg",
        "missing_image": "c.jpg",
    }


# --- what is an error


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "broken JSON"),
        ("[]", "only key"),
        ("{}", "only key"),
        ('{"a.jpg": {}, "b.jpg": {}}', "only key"),
        ('{"a.jpg": []}', "no list named 'objects'"),
    ],
)
def test_broken_files(tmp_path, text, fault):
    write(tmp_path, text)
    with pytest.raises(AnnotationError, match=fault) as caught:
        read(tmp_path)
    assert "sa_7.json" in str(caught.value)


@pytest.mark.parametrize("key", ["objects", "floating_objects", "short_captions"])
def test_missing_lists(tmp_path, key):
    data = content()
    del data[key]
    write(tmp_path, {"sa_7.jpg": data})
    with pytest.raises(AnnotationError, match=f"no list named '{key}'"):
        read(tmp_path)


def without(row: dict, key: str) -> dict:
    return {k: v for k, v in row.items() if k != key}


CHAIR_ROW = thing(0, CHAIR, "chair")
SHORT_RUNS = {"size": [HEIGHT, WIDTH], "counts": rle(CHAIR)["counts"][:2]}


@pytest.mark.parametrize(
    ("changes", "error", "fault"),
    [
        ({"objects": [without(CHAIR_ROW, "id")]}, AnnotationError, r"'id'[\s\S]*objects\[0\]"),
        ({"objects": [{**CHAIR_ROW, "id": True}]}, AnnotationError, "'id'"),
        ({"objects": ["chair"]}, AnnotationError, "'id'"),
        ({"objects": [without(CHAIR_ROW, "labels")]}, AnnotationError, "'labels'"),
        ({"objects": [{**CHAIR_ROW, "labels": [3]}]}, AnnotationError, "'labels' is"),
        ({**short("it"), "objects": [{**CHAIR_ROW, "attributes": {"a": 1}}]}, AnnotationError, "'attributes' is"),
        ({"objects": [{**CHAIR_ROW, "segmentation": SHORT_RUNS}]}, MaskError, "undecodable RLE"),
        ({"objects": [{**CHAIR_ROW, "segmentation": {"size": [6, 8]}}]}, MaskError, "no run counts"),
        ({"objects": [{**CHAIR_ROW, "segmentation": {"counts": "a"}}]}, AnnotationError, "COCO RLE"),
        ({"objects": [{**CHAIR_ROW, "segmentation": [[0, 0, 1, 1, 2, 2]]}]}, AnnotationError, "COCO RLE"),
        ({"floating_objects": [{**thing(2, BALL, "x"), "segmentation": [[0, 0, 1, 1, 2, 2]]}]}, AnnotationError,
         "not polygons"),
        ({"floating_objects": [thing(2, pixels(0, 0, 2, 2, (8, 6)), "x")]}, MaskError,
         r"mask of size \[8, 6\], image of size \[6, 8\][\s\S]*floating_objects\[0\]"),
        (short("a chair", {"phrase": "a chair", "id": 77}), AnnotationError, "unknown object id 77 for 'a chair'"),
        (short("a chair", {"phrase": "a chair"}), AnnotationError, r"ids \[None\]"),
        (short("a chair", {"phrase": "a chair", "ids": []}), AnnotationError, r"ids \[\]"),
        (short("a chair", {"phrase": "a chair", "ids": ["0"]}), AnnotationError, "ids"),
        (short("a chair", {"phrase": " ", "id": 0}), AnnotationError, "'phrase'"),
        (short("a chair", {"id": 0}), AnnotationError, "'phrase'"),
        (short("a chair", {"phrase": "a chair", "id": 0, "tokens_positive": [1]}), AnnotationError, "tokens_positive"),
        ({"short_captions": [{"caption": "a chair"}]}, AnnotationError, r"'details'[\s\S]*short_captions\[0\]"),
        ({"short_captions": [{"details": []}]}, AnnotationError, "'caption'"),
        ({"short_captions": ["a chair"]}, AnnotationError, "'caption'"),
        ({"dense_caption": {"caption": "a chair"}}, AnnotationError, r"'details'[\s\S]*dense_caption"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path, changes, error, fault):
    write(tmp_path, {"sa_7.jpg": content(**changes)})
    with pytest.raises(error, match=fault) as caught:
        read(tmp_path)
    assert "sa_7.json" in str(caught.value)
    assert "mend:" in str(caught.value)


def test_no_annotations_at_all(tmp_path):
    with pytest.raises(AnnotationError, match="GranD annotations of split 'train' not found"):
        read(tmp_path)
