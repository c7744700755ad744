"""AP50 against pycocotools run the ordinary way, and its dependence on the numbering of images."""

import contextlib
import io
import itertools

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from llava_corr.metrics.detection import (
    DetectionImage,
    average_precision,
    coco_matches,
    resampled_average_precision,
)
from llava_corr.records import Mask

SIDE = 24


def box(x0, y0, x1, y1):
    pixels = np.zeros((SIDE, SIDE), dtype=bool)
    pixels[y0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def ordinary_ap50(images):
    """COCO.loadRes, default parameters, summarize: the second number it gives."""
    data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    results = []
    for number, image in enumerate(images, start=1):
        data["images"].append({"id": number, "height": SIDE, "width": SIDE})
        for mask in image.truths:
            encoded = {"size": [SIDE, SIDE], "counts": mask.counts}
            row = {"id": len(data["annotations"]) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            data["annotations"].append({**row, "segmentation": encoded, "area": mask.area})
        for mask, score in zip(image.predictions, image.scores, strict=True):
            encoded = {"size": [SIDE, SIDE], "counts": mask.counts}
            results.append({"image_id": number, "category_id": 1, "score": score, "segmentation": encoded})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[1]


def random_images(rng, count, score):
    images = []
    for _ in range(count):
        truths, predictions = [], []
        for _ in range(rng.integers(0, 4)):
            x, y = rng.integers(0, SIDE - 9, 2)
            truths.append(box(x, y, x + 8, y + 8))
            for _ in range(rng.integers(0, 3)):
                dx, dy = rng.integers(0, 4, 2)
                predictions.append(box(x + dx, y + dy, min(x + dx + 8, SIDE), min(y + dy + 8, SIDE)))
        order = rng.permutation(len(predictions))
        predictions = [predictions[k] for k in order]
        images.append(DetectionImage(truths, predictions, [score(rng) for _ in predictions]))
    return images


SCORES = {
    "constant": lambda rng: 1.0,
    "distinct": lambda rng: float(rng.random()),
    "tied": lambda rng: float(rng.integers(1, 4)) / 4,
}


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools_run_the_ordinary_way(kind, seed):
    images = random_images(np.random.default_rng([seed, 1]), 15, SCORES[kind])
    matches = coco_matches(images)
    assert matches.value == ordinary_ap50(images)
    assert average_precision(matches.scores, matches.hits, int(matches.truths.sum())) == matches.value


@pytest.mark.parametrize("kind", SCORES)
def test_resamples_equal_pycocotools_on_the_resampled_data(kind):
    rng = np.random.default_rng(5)
    images = random_images(rng, 12, SCORES[kind])
    groups = np.repeat(np.arange(6), 2)
    weights = np.array([np.bincount(rng.integers(6, size=6), minlength=6) for _ in range(12)])
    values = resampled_average_precision(coco_matches(images), groups, weights)
    for weight, value in zip(weights, values, strict=True):
        drawn = [image for g in range(6) for _ in range(weight[g]) for image in images[2 * g : 2 * g + 2]]
        assert value == ordinary_ap50(drawn)


def test_a_missed_and_a_found_truth_give_51_of_101_recall_points():
    """Recall reaches 0.5 at precision 1: points 0.00 to 0.50."""
    image = DetectionImage([box(0, 0, 8, 8), box(12, 12, 20, 20)], [box(0, 0, 8, 8)], [1.0])
    assert coco_matches([image]).value == pytest.approx(51 / 101)


def test_iou_of_exactly_one_half_is_a_hit():
    image = DetectionImage([box(0, 0, 8, 8)], [box(0, 0, 8, 4)], [1.0])
    assert coco_matches([image]).hits.tolist() == [True]


def test_constant_scores_depend_on_the_numbering_of_images():
    """The facts' toy case: one right and one wrong detection on two images, each with one truth."""
    right = DetectionImage([box(0, 0, 8, 8)], [box(0, 0, 8, 8)], [1.0])
    wrong = DetectionImage([box(0, 0, 8, 8)], [box(12, 12, 20, 20)], [1.0])
    values = {
        order: coco_matches([(right, wrong)[k] for k in order]).value for order in itertools.permutations(range(2))
    }
    assert values[0, 1] == pytest.approx(0.505, abs=5e-4)
    assert values[1, 0] == pytest.approx(0.252, abs=5e-4)


def test_scores_free_the_value_from_the_numbering():
    images = random_images(np.random.default_rng(3), 10, SCORES["distinct"])
    assert coco_matches(images).value == pytest.approx(coco_matches(images[::-1]).value, abs=1e-12)


def test_edges_without_truths_detections_or_pixels():
    empty = Mask.from_array(np.zeros((SIDE, SIDE)))
    assert np.isnan(coco_matches([DetectionImage([], [box(0, 0, 4, 4)], [1.0])]).value)
    assert np.isnan(coco_matches([DetectionImage([], [], [])]).value)
    assert coco_matches([DetectionImage([box(0, 0, 4, 4)], [], [])]).value == 0.0
    assert coco_matches([DetectionImage([box(0, 0, 4, 4)], [empty], [1.0])]).value == 0.0
    assert coco_matches([DetectionImage([empty], [empty], [1.0])]).value == 0.0


def test_resample_without_truths_is_undefined():
    images = [DetectionImage([box(0, 0, 4, 4)], [box(0, 0, 4, 4)], [1.0]), DetectionImage([], [], [])]
    values = resampled_average_precision(coco_matches(images), np.arange(2), np.array([[2, 0], [0, 2], [1, 1]]))
    np.testing.assert_array_equal(np.isnan(values), [False, True, False])
    assert values[[0, 2]] == pytest.approx(1.0)


def test_false_positive_on_an_image_without_truth_counts_when_it_is_ranked_first():
    found = DetectionImage([box(0, 0, 8, 8)], [box(0, 0, 8, 8)], [1.0])
    spurious = DetectionImage([], [box(0, 0, 8, 8)], [1.0])
    assert coco_matches([found, spurious]).value == pytest.approx(1.0)
    assert coco_matches([spurious, found]).value == pytest.approx(0.5)
