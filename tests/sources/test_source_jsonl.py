"""The JSON-lines reader: every form of a mask, defaults, faults, and the examples of the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from llava_corr.errors import AnnotationError, Findings, MaskError
from llava_corr.record_files import write_records
from llava_corr.records import AnnotatedImage, FunctionalPart, ImageObject, Keypoint, Mask, Part
from llava_corr.sources import jsonl

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data_format.md"


def pixels() -> np.ndarray:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    return mask


def row(mask, **changes) -> dict:
    return {"path": "a.jpg", "height": 4, "width": 6, "objects": [{"category": "cup", "mask": mask}], **changes}


def read_rows(folder: Path, *rows, text: str | None = None, **options) -> tuple[list[AnnotatedImage], Findings]:
    (folder / "train.jsonl").write_text(text if text is not None else "\n".join(map(json.dumps, rows)))
    findings = Findings()
    return list(jsonl.read(folder, "train", findings=findings, **options)), findings


def test_every_form_of_a_mask(tmp_path):
    labels = np.where(pixels(), 3, 0)
    labels[0, 0] = 7
    Image.fromarray(pixels().astype(np.uint8)).save(tmp_path / "eight.png")
    Image.fromarray(pixels()).save(tmp_path / "one.png")
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "sixteen.png")
    palette = Image.fromarray(labels.astype(np.uint8)).convert("P")
    palette.putdata(labels.ravel().tolist())
    palette.save(tmp_path / "palette.png")
    forms = [
        Mask.from_array(pixels()).model_dump(),
        {"size": [4, 6], "counts": [9, 2, 2, 2, 2, 2, 5]},
        {"polygons": [[2, 1, 5, 1, 5, 3, 2, 3]]},
        {"polygons": [[2, 1, 3, 1, 3, 3, 2, 3], [3, 1, 5, 1, 5, 3, 3, 3]]},
        {"png": "eight.png"},
        {"png": "one.png"},
        {"png": "sixteen.png", "value": 3},
        {"png": "palette.png", "value": 3},
    ]
    for form in forms:
        (image,), findings = read_rows(tmp_path, row(form))
        assert image.objects[0].mask == Mask.from_array(pixels()), form
        assert not findings


def test_defaults(tmp_path):
    (image,), _ = read_rows(tmp_path, row({"polygons": [[0, 0, 6, 0, 6, 4, 0, 4]]}))
    assert (image.image_id, image.source, image.split) == ("a.jpg", "jsonl", "train")
    assert image.path == str(tmp_path / "a.jpg")
    assert image.objects[0].instance_id == "0"


def test_parts_keypoints_and_functional_parts(tmp_path):
    whole = {"polygons": [[0, 0, 6, 0, 6, 4, 0, 4]]}
    half = {"polygons": [[0, 0, 3, 0, 3, 4, 0, 4]]}
    thing = {
        "category": "cup",
        "mask": whole,
        "parts": [{"name": "handle", "mask": half}],
        "keypoints": [{"concept": "rim top", "attributes": ["front"], "xy": [1.5, 2.5], "visible": True}],
        "functional_parts": [{"function": "pour-with", "name": "spout", "mask": half}],
    }
    (image,), findings = read_rows(tmp_path, row(whole, objects=[thing]))
    left = np.zeros((4, 6), bool)
    left[:, :3] = True
    mask = Mask.from_array(left)
    assert image.objects[0] == ImageObject(
        category="cup",
        instance_id="0",
        mask=Mask.from_array(np.ones((4, 6))),
        parts=(Part(name="handle", mask=mask),),
        keypoints=(Keypoint(concept="rim top", attributes=("front",), xy=(1.5, 2.5), visible=True),),
        functional_parts=(FunctionalPart(function="pour-with", name="spout", mask=mask),),
    )
    assert not findings


def test_names_may_hold_any_character(tmp_path):
    """JSON leaves line separators other than the newline as they are: they do not end a row."""
    name = "a\u2028b\x85c\x0bd\u2029"
    thing = ImageObject(category=name, instance_id="0", mask=Mask.from_array(pixels()))
    image = AnnotatedImage(
        image_id="1", path=str(tmp_path / "a.jpg"), height=4, width=6, source="x", split="train", objects=(thing,)
    )
    write_records(tmp_path / "train.jsonl", [image, image.model_copy(update={"image_id": "2"})])
    assert [i.objects[0].category for i in jsonl.read(tmp_path, "train", findings=Findings())] == [name, name]


def test_one_file_for_several_splits(tmp_path):
    rows = [row({"polygons": [[0, 0, 6, 0, 6, 4]]}, path=f"{i}.jpg", split=s) for i, s in enumerate(["train", "val"])]
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, row({"polygons": [[0, 0, 6, 0, 6, 4]]})])))
    found = [[i.image_id for i in jsonl.read(path, s, findings=Findings())] for s in ("train", "val", "test")]
    assert found == [["0.jpg", "a.jpg"], ["1.jpg", "a.jpg"], ["a.jpg"]]


@pytest.mark.parametrize(
    ("size", "error", "said"), [(None, AnnotationError, "missing"), ((9, 9), MaskError, "of size 9 x 9")]
)
def test_a_faulty_png_is_named_with_row_and_object(tmp_path, size, error, said):
    if size:
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(error, match=rf"{said}[\s\S]*row 1, object 0 \(cup\), mask .*m\.png[\s\S]*its path"):
        read_rows(tmp_path, row({"png": "m.png"}))


def test_empty_and_degenerate_masks_are_listed(tmp_path):
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "none.png")
    whole = {"polygons": [[0, 0, 6, 0, 6, 4, 0, 4], [1, 1, 2, 2]]}
    parts = [{"name": "rim", "mask": {"png": "none.png"}}, {"name": "base", "mask": {"polygons": []}}]
    thing = {"category": "cup", "mask": whole, "parts": parts}
    empty = {"category": "cup", "mask": {"size": [4, 6], "counts": [24]}}
    (image,), findings = read_rows(tmp_path, row(whole, objects=[thing, empty]))
    assert [(o.category, o.parts) for o in image.objects] == [("cup", ())]
    assert findings.counts() == {"empty_mask": 3, "degenerate_polygon": 1}
    places = [finding.where for finding in findings.items]
    assert f"{tmp_path / 'train.jsonl'}, row 1, object 0 (cup), part 0 (rim)" in places


@pytest.mark.parametrize(
    "mask",
    [
        {},
        {"size": [4, 6]},
        {"counts": [24]},
        {"png": "a.png", "polygons": []},
        {"polygons": [], "value": 3},
        {"png": "a.png", "value": -1},
        {"png": "a.png", "colour": 3},
        {"polygons": [["x"]]},
    ],
)
def test_masks_of_no_known_form(mask, tmp_path):
    with pytest.raises(AnnotationError, match="not a valid ImageRow") as caught:
        read_rows(tmp_path, row(mask))
    assert caught.value.where.endswith("row 1")


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ({"size": [6, 4], "counts": [24]}, MaskError, "mask of size"),
        ({"size": [4, 6], "counts": [23]}, MaskError, "do not add up"),
        ({"size": [4, 6], "counts": "??"}, MaskError, "undecodable"),
        ({"polygons": [[1, 2, 3]]}, AnnotationError, "flat list"),
        ({"png": "missing.png"}, AnnotationError, "label map is missing"),
        ({"png": "small.png"}, MaskError, "label map of size 2 x 2"),
        ({"png": "colour.png"}, AnnotationError, "mode RGB"),
        ({"png": "text.png"}, AnnotationError, "cannot be read"),
    ],
)
def test_faulty_masks(mask, error, words, tmp_path):
    Image.new("L", (2, 2), 1).save(tmp_path / "small.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "colour.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(error, match=words) as caught:
        read_rows(tmp_path, row(mask))
    assert str(tmp_path) in caught.value.where


def test_faulty_rows(tmp_path):
    good = row({"polygons": [[0, 0, 6, 0, 6, 4]]})
    with pytest.raises(AnnotationError, match=r"image id 'a\.jpg' occurs twice") as caught:
        read_rows(tmp_path, good, good)
    assert "rows 1 and 2" in caught.value.where
    with pytest.raises(AnnotationError) as caught:
        read_rows(tmp_path, {**good, "hieght": 4, "height": 0})
    assert "hieght" in caught.value.what
    assert "height: Input should be greater than 0" in caught.value.what  # all faults of a row at once
    with pytest.raises(AnnotationError, match="Invalid JSON") as caught:
        read_rows(tmp_path, text=json.dumps(good) + "\n" + json.dumps(good)[:-9])
    assert caught.value.where.endswith("row 2")
    with pytest.raises(AnnotationError, match="does not exist"):
        list(jsonl.read(tmp_path, "val", findings=Findings()))


def test_images_are_checked_on_request(tmp_path):
    good = row({"polygons": [[0, 0, 6, 0, 6, 4]]})
    images, findings = read_rows(tmp_path, good, check_images=True)
    assert images == []
    assert findings.counts() == {"missing_image": 1}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (6, 4)).save(elsewhere / "a.jpg")
    images, findings = read_rows(tmp_path, good, check_images=True, image_root=elsewhere)
    assert [image.path for image in images] == [str(elsewhere / "a.jpg")]
    assert not findings


NAMES = st.text(min_size=1, max_size=8)
MASKS = st.integers(1, 2**24 - 1).map(lambda n: Mask.from_array(np.array(list(f"{n:024b}")).reshape(4, 6) == "1"))
OBJECTS = st.builds(
    ImageObject,
    category=NAMES,
    instance_id=NAMES,
    mask=MASKS,
    parts=st.lists(st.builds(Part, name=NAMES, mask=MASKS), max_size=2).map(tuple),
    keypoints=st.lists(
        st.builds(
            Keypoint,
            concept=NAMES,
            attributes=st.lists(NAMES, max_size=2).map(tuple),
            xy=st.tuples(*[st.floats(-9, 99)] * 2),
            visible=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    functional_parts=st.lists(st.builds(FunctionalPart, function=NAMES, name=NAMES, mask=MASKS), max_size=2).map(tuple),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    objects=st.lists(OBJECTS, max_size=2, unique_by=lambda o: o.instance_id).map(tuple), image_id=NAMES, source=NAMES
)
def test_records_come_back_unchanged(objects, image_id, source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    image = AnnotatedImage(
        image_id=image_id,
        path=str(folder / "a.jpg"),
        height=4,
        width=6,
        source=source,
        split="train",
        objects=objects,
    )
    write_records(folder / "train.jsonl", [image])
    findings = Findings()
    assert list(jsonl.read(folder, "train", findings=findings)) == [image]
    assert not findings


def test_the_examples_of_the_documentation_are_valid(tmp_path):
    blocks = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    for name, value in (("masks/kitchen.png", 3), ("masks/kitchen_seat.png", 255)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (640, 480), value).save(path)
    images, findings = read_rows(tmp_path, *map(json.loads, blocks))
    assert len(images) == 3
    assert not findings
    assert all(image.objects and image.objects[0].parts for image in images)
    assert images[2].objects[0].keypoints
    assert images[2].objects[0].functional_parts


def test_instance_ids_are_unique_in_a_row(tmp_path):
    mask = {"png": "m.png"}
    Image.fromarray(pixels().astype(np.uint8)).save(tmp_path / "m.png")
    for ids in (("x", "x"), ("1", None)):  # the second object's own number is 1
        objects = [{"category": "cup", "mask": mask} | ({"instance_id": i} if i else {}) for i in ids]
        with pytest.raises(AnnotationError, match="occurs twice"):
            read_rows(tmp_path, row(mask, objects=objects))


def test_one_image_id_in_two_sources(tmp_path):
    Image.fromarray(pixels().astype(np.uint8)).save(tmp_path / "m.png")
    rows = [row({"png": "m.png"}, image_id="7", source=source, path=f"{source}.jpg") for source in ("a", "b")]
    found, _ = read_rows(tmp_path, *rows)
    assert [(i.source, i.image_id) for i in found] == [("a", "7"), ("b", "7")]
    with pytest.raises(AnnotationError, match="occurs twice"):
        read_rows(tmp_path, *rows, rows[0])


@pytest.mark.parametrize("value", ["40", 50.0, True, 0, -4, 10**20])
def test_sizes_are_whole_numbers_of_pixels(tmp_path, value):
    with pytest.raises((AnnotationError, MaskError)):
        read_rows(tmp_path, row({"polygons": [[0, 0, 3, 0, 3, 3]]}, height=value))


@pytest.mark.parametrize("far", [1e4, 1e8, 1e18, 1e308, -1e9, 10**400])
def test_outlines_far_outside_are_refused(tmp_path, far):
    """pycocotools draws them at any cost in memory, or crashes."""
    with pytest.raises(AnnotationError, match="polygon"):
        read_rows(tmp_path, row({"polygons": [[0, 0, far, 0, far, far]]}))
