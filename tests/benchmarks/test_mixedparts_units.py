"""Putting predictions beside samples: what is refused, what is counted, what is left out by rule."""

import numpy as np
import pytest
from toy_mixedparts import HEIGHT, WIDTH, answer, box, perfect, sample, segment, target

from llava_corr.benchmarks.mixedparts_units import align, truth_of
from llava_corr.errors import PredictionError, SampleError
from llava_corr.records import Mask

LEG = target("the leg", 0, box(0, 0, 8, 8))


def test_units_hold_normalised_labels_by_image():
    one = sample("a", [LEG, target("The Seat_(cushion)", 1, box(2, 2, 9, 9))])
    (units,) = align([one], [perfect(one)]).tasks["common_parts"].units
    assert [u.truth_labels for u in units] == [("leg",), ("seat",)]
    assert [u.predicted_labels for u in units] == [("leg",), ("seat",)]
    assert [u.image_index for u in units] == [0, 1]


def test_samples_stand_in_the_order_of_their_ids():
    many = [sample(name, [LEG]) for name in ("b", "a10", "a2", "B")]
    group = align(many, [perfect(s) for s in many[::-1]]).tasks["common_parts"]
    assert group.sample_ids == ["B", "a10", "a2", "b"]


def test_missing_predictions_are_counted_listed_and_empty():
    many = [sample(name, [LEG]) for name in "abc"]
    aligned = align(many, [perfect(many[1])])
    assert aligned.findings.counts() == {"missing_prediction": 2}
    assert [item.where for item in aligned.findings.items] == ["a", "c"]
    group = aligned.tasks["common_parts"]
    assert group.missing == [True, False, True]
    assert [len(units[0].predictions) for units in group.units] == [0, 1, 0]


def test_whole_objects_do_not_count_in_part_tasks():
    one = sample("a", [target("the chair", 0, box(0, 0, 20, 20), "object"), LEG])
    said = [
        segment("the chair", 0, box(0, 0, 20, 20), sentence="The images show <p> the chair </p> [SEG] (IMAGE1)."),
        segment("the leg", 0, box(0, 0, 8, 8), sentence="The common parts are <p> the leg </p> [SEG] (IMAGE1)."),
    ]
    aligned = align([one], [answer(one, said)])
    unit = aligned.tasks["common_parts"].units[0][0]
    assert (unit.truth_labels, unit.predicted_labels) == (("leg",), ("leg",))
    assert aligned.findings.counts() == {"object_segments_left_out": 1}


def test_part_answers_that_never_speak_of_parts_are_listed_as_such():
    one = sample("a", [LEG])
    aligned = align([one], [answer(one, [segment("the leg", 0, box(0, 0, 8, 8), sentence="I see <p> the leg </p>.")])])
    assert aligned.findings.counts() == {"all_segments_left_out": 1}
    assert aligned.tasks["common_parts"].units[0][0].predictions == ()


def test_segments_without_a_sentence_count_as_parts_and_are_listed():
    one = sample("a", [LEG])
    aligned = align([one], [answer(one, [segment("the leg", 0, box(0, 0, 8, 8), sentence="")])])
    assert aligned.findings.counts() == {"no_sentence": 1}
    assert len(aligned.tasks["common_parts"].units[0][0].predictions) == 1


def test_whole_objects_count_in_object_tasks():
    one = sample("a", [target("the chair", 0, box(0, 0, 20, 20), "object")], task="common_objects")
    aligned = align([one], [answer(one, [segment("the chair", 0, box(0, 0, 20, 20), sentence="")])])
    assert len(aligned.tasks["common_objects"].units[0][0].predictions) == 1
    assert not aligned.findings


def test_empty_masks_and_names_are_kept_and_listed():
    empty = Mask.from_array(np.zeros((HEIGHT, WIDTH)))
    one = sample("a", [target("the leg", 0, empty)])
    aligned = align([one], [answer(one, [segment("the", 0, empty), segment("", 1, box(0, 0, 4, 4))])])
    counts = {"empty_truth_mask": 1, "empty_predicted_mask": 1, "empty_predicted_label": 1}
    assert aligned.findings.counts() == counts
    assert [len(u.predictions) for u in aligned.tasks["common_parts"].units[0]] == [1, 1]


def test_more_detections_than_ap_looks_at_are_listed():
    one = sample("a", [LEG])
    aligned = align([one], [answer(one, [segment("leg", 0, box(0, 0, 8, 8))] * 101)])
    assert aligned.findings.counts() == {"detections_beyond_limit": 1}


def test_parser_rules_are_counted():
    many = [sample(name, [LEG]) for name in "ab"]
    trail = [
        "missing_image at character 9: text",
        "missing_image at character 40: text",
        "empty_phrase at character 2: x",
    ]
    aligned = align(many, [answer(many[0], trail=trail), answer(many[1], trail=trail[:1])])
    assert aligned.trail == {"missing_image": 3, "empty_phrase": 1}


def test_truth_identity():
    many = [sample(name, [LEG]) for name in "ab"]
    assert truth_of(many) == truth_of(many[::-1])
    assert truth_of(many) != truth_of(many[:1])
    moved = sample("a", [target("the leg", 0, box(0, 0, 8, 9))])
    assert truth_of(many) != truth_of([moved, many[1]])


def refused(samples, predictions):
    with pytest.raises(PredictionError) as caught:
        align(samples, predictions)
    return caught.value


def test_other_data_version_is_refused_with_first_and_count():
    many = [sample(name, [LEG]) for name in "abcde"]
    newer = [sample(name, [LEG], question="Segment, please.") for name in "abcde"]
    predictions = [perfect(many[0]), *(perfect(s) for s in newer[1:])]
    error = refused(many, predictions)
    assert error.what.startswith("4 of 5 predictions were made for another version of the data; first: 'b' (")
    assert newer[1].truth_hash() in error.what
    assert "predict again" in error.mend


def test_all_kinds_of_faults_come_in_one_message():
    many = [sample(name, [LEG]) for name in "abcdef"]
    small = Mask.from_array(np.ones((HEIGHT, WIDTH - 1)))
    broken = Mask(size=(HEIGHT, WIDTH), counts="P2")
    predictions = [
        answer(many[0], [segment("leg", 2, box(0, 0, 4, 4))]),
        answer(many[1], [segment("leg", 0, small), segment("leg", 9, small)]),
        answer(many[2], image_sizes=((WIDTH, HEIGHT), (HEIGHT, WIDTH))),
        answer(many[3], [segment("leg", 0, broken)]),
        answer(many[4], [segment("leg", 0, box(0, 0, 4, 4), score=float("nan"))]),
        perfect(many[5]),
        perfect(many[5]),
        answer(many[5], sample_id="nobody"),
    ]
    what = refused(many, predictions).what
    assert "3 of 8 predictions have segments that do not fit their image" in what
    assert "'a' (segment 1: image index 2 of 2 images" in what
    assert "mask (20, 23) on an image of (20, 24)" in what
    assert "image index 9" in what
    assert "1 of 8 predictions name other image sizes than the sample; first: 'c' ([(24, 20), (20, 24)]" in what
    assert "1 of 8 predictions have scores outside 0 to 1; first: 'e' (segment 1: nan)" in what
    assert "1 of 8 predictions repeat a sample id; first: 'f'" in what
    assert "1 of 8 predictions answer no sample of this file; first: 'nobody'" in what


def test_undecodable_mask_is_refused():
    one = sample("a", [LEG])
    broken = Mask(size=(HEIGHT, WIDTH), counts="P2")
    assert "covers 64 pixels" in refused([one], [answer(one, [segment("leg", 0, broken)])]).what


def test_missing_image_size_is_refused():
    one = sample("a", [LEG])
    assert "other image sizes" in refused([one], [answer(one, image_sizes=((HEIGHT, WIDTH),))]).what


def test_samples_at_fault_are_refused():
    with pytest.raises(SampleError, match="no samples"):
        align([], [])
    with pytest.raises(SampleError, match="'a' occurs twice"):
        align([sample("a"), sample("a")], [])
    with pytest.raises(SampleError, match="image index 2"):
        align([sample("a", [target("leg", 2, box(0, 0, 4, 4))])], [])
