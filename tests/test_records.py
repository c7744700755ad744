"""Records: masks against pycocotools and numpy, strict rows, stable truth hashes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from llava_corr.errors import MaskError, PredictionError, SampleError
from llava_corr.record_files import iter_predictions, read_samples, write_records, write_samples
from llava_corr.records import ImageRef, Mask, Prediction, Sample, Target, Turn

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_mask_round_trip_area_box(pixels):
    mask = Mask.from_array(pixels)
    assert np.array_equal(mask.to_array(), pixels)
    assert mask.area == pixels.sum()
    if pixels.any():
        rows, columns = np.nonzero(pixels)
        assert mask.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert Mask.model_validate_json(mask.model_dump_json()) == mask


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(*[hnp.arrays(bool, (n, n + 1))] * 3)))
def test_union_and_iou_against_numpy(arrays):
    masks = [Mask.from_array(a) for a in arrays]
    assert np.array_equal(Mask.union(masks).to_array(), np.logical_or.reduce(arrays))
    iou = Mask.iou(masks[:1], masks)
    for j, other in enumerate(arrays):
        union = (arrays[0] | other).sum()
        assert iou[0, j] == pytest.approx((arrays[0] & other).sum() / union if union else 0.0)


def test_mask_errors():
    with pytest.raises(MaskError):
        Mask.from_array(np.zeros((2, 2, 2)))
    with pytest.raises(MaskError):
        Mask.union([Mask.from_array(np.ones((2, 2))), Mask.from_array(np.ones((3, 3)))])
    with pytest.raises(MaskError):
        Mask(size=(7, 7), counts=Mask.from_array(np.ones((2, 2))).counts).to_array()
    assert Mask.iou([], []).shape == (0, 0)


def make_sample(name="s1", path="a.jpg"):
    mask = Mask.from_array(np.eye(4))
    return Sample(
        id=name,
        split="train",
        source="toy",
        task="common_objects",
        images=(ImageRef(path=str(path), height=4, width=4),),
        turns=(Turn(user="q", assistant="a"),),
        targets=(Target(phrase="dog", image_index=0, mask=mask, turn=0, role="common"),),
    )


def test_samples_file_can_be_moved(tmp_path):
    (tmp_path / "one" / "images").mkdir(parents=True)
    inside, outside = tmp_path / "one" / "images" / "a.jpg", tmp_path / "b.jpg"
    write_samples(tmp_path / "one" / "x.jsonl", [make_sample("s1", inside), make_sample("s2", outside)])
    (tmp_path / "one").rename(tmp_path / "two")
    first, second = read_samples(tmp_path / "two" / "x.jsonl")
    assert first.images[0].path == str(tmp_path / "two" / "images" / "a.jpg")
    assert second.images[0].path == str(outside)
    assert first.truth_hash() == make_sample("s1").truth_hash()


def test_truth_hash_sees_what_scores_depend_on():
    sample = make_sample()
    hashes = {
        sample.truth_hash(),
        sample.model_copy(update={"task": "unique_parts"}).truth_hash(),
        sample.model_copy(update={"targets": ()}).truth_hash(),
        sample.model_copy(update={"turns": (Turn(user="other", assistant="a"),)}).truth_hash(),
    }
    assert len(hashes) == 4
    assert sample.model_copy(update={"images": (ImageRef(path="z", height=4, width=4),)}).truth_hash() in hashes


def test_bad_sample_rows(tmp_path):
    path = tmp_path / "x.jsonl"
    row = make_sample().model_dump_json()
    path.write_text(f"{row}\n{row}\n")
    with pytest.raises(SampleError, match="rows 1 and 2"):
        read_samples(path)
    path.write_text(row[:-5] + "\n")
    with pytest.raises(SampleError, match="row 1"):
        read_samples(path)
    path.write_text(row.replace('"task"', '"tusk"') + "\n")
    with pytest.raises(SampleError, match=r"tusk.*|task.*"):
        read_samples(path)


def test_bad_prediction_rows(tmp_path):
    path = tmp_path / "p.jsonl"
    good = Prediction(sample_id="s1", truth="t", text="x", image_sizes=((4, 4),))
    write_records(path, [good, good])
    with pytest.raises(PredictionError, match="rows 1 and 2"):
        list(iter_predictions(path))
    write_records(path, [good.model_copy(update={"schema_version": 99})])
    with pytest.raises(PredictionError, match="schema 99"):
        list(iter_predictions(path))
