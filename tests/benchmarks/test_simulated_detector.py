"""The simulated detector keeps the rates that it is asked for, and its quality is measured right."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from random_annotations import random_image

from llava_corr.benchmarks.detections import DetectedImage, Detection
from llava_corr.benchmarks.detector_quality import measure
from llava_corr.benchmarks.mask_noise import noisy_mask
from llava_corr.benchmarks.simulated_detector import DetectorQuality, simulate, vocabulary
from llava_corr.datasets.mixedparts.classes import class_parts, comparable_classes
from llava_corr.errors import Findings, PredictionError
from llava_corr.records import AnnotatedImage, ImageObject, Mask, Part

SIDE = 300
NAMES = ("chair", "stool", "mug", "knife")


def rectangle(x, y, width, height, side=SIDE):
    pixels = np.zeros((side, side), bool)
    pixels[y : y + height, x : x + width] = True
    return Mask.from_array(pixels)


def annotated(number, objects, source="paco_lvis", side=SIDE):
    return AnnotatedImage(
        image_id=str(number),
        path=f"/x/{number}.jpg",
        height=side,
        width=side,
        source=source,
        split="test",
        objects=objects,
    )


def spread_out(count, seed=0):
    """Images of nine things far apart: 60 to 3,600 of 90,000 pixels each, one part (a half) in every second."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        objects = []
        for cell in range(9):
            size = round(math.exp(rng.uniform(math.log(8), math.log(60))))
            x, y = 100 * (cell % 3) + 20, 100 * (cell // 3) + 20
            name = str(rng.choice(NAMES))
            parts = [Part(name=sorted(class_parts("paco_lvis")[name])[0], mask=rectangle(x, y, size // 2, size))] * (
                cell % 2
            )
            mask = rectangle(x, y, size, size)
            objects.append(ImageObject(category=name, instance_id=str(cell), mask=mask, parts=tuple(parts)))
        images.append(annotated(number, tuple(objects)))
    return images


@pytest.fixture(scope="module")
def images():
    return spread_out(100)


def measured(images, threshold=0.0, **rates):
    rows = simulate(images, DetectorQuality(**rates), findings=Findings())
    return measure(images, rows, threshold=threshold)["all"]


def within(rate, n, spread=4.0):
    """Four standard errors of a share."""
    return pytest.approx(rate, abs=spread * math.sqrt(rate * (1 - rate) / n))


# ---- rates -----------------------------------------------------------------------------------------------------------


def test_a_perfect_detector_is_the_annotation(images):
    findings = Findings()
    rows = simulate(images, DetectorQuality(), findings=findings)
    for image, row in zip(images, rows, strict=True):
        truth = [(o.category, None, o.mask) for o in image.objects]
        truth += [(o.category, p.name, p.mask) for o in image.objects for p in o.parts]
        assert sorted(map(str, truth)) == sorted(str((d.object, d.part, d.mask)) for d in row.detections)
        assert {d.score for d in row.detections} == {1.0}
    for quality in measure(images, rows).values():
        assert quality.recall == quality.precision == quality.mean_iou == 1.0
        assert quality.missed == quality.wrong_name == quality.false_positives == 0.0
        assert quality.score_auc is None
    assert not findings


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_miss_rate_of_all_sizes(images, rate):
    quality = measured(images, miss_small=rate, miss_large=rate)
    assert quality.missed == within(rate, quality.truths)
    assert quality.recall == within(1 - rate, quality.truths)
    assert quality.precision == 1.0


def test_small_things_are_missed_more_and_as_often_as_asked(images):
    asked = DetectorQuality(miss_small=0.8, miss_large=0.1, small=0.001, large=0.02)
    areas = [m.area for image in images for o in image.objects for m in (o.mask, *(p.mask for p in o.parts))]
    shares = np.array(areas) / SIDE**2
    slope = (math.log(0.02) - np.log(np.clip(shares, 0.001, 0.02))) / math.log(20)  # 1 for small, 0 for large
    expected = 0.1 + 0.7 * slope
    quality = measure(images, simulate(images, asked, findings=Findings()))["all"]
    assert quality.missed == within(float(expected.mean()), len(shares))
    for size, inside in {"under 0.2 %": shares < 0.002, "0.2 to 2 %": (shares >= 0.002) & (shares <= 0.02)}.items():
        assert quality.missed_by_size[size] == within(float(expected[inside].mean()), inside.sum()), size
    assert quality.missed_by_size["under 0.2 %"] > quality.missed_by_size["0.2 to 2 %"] + 0.2


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_wrong_names(images, rate):
    quality = measured(images, wrong_name=rate)
    assert quality.wrong_name == within(rate, quality.truths)
    assert quality.missed == 0.0
    assert quality.precision == pytest.approx(1 - quality.wrong_name, abs=1e-3)


def test_wrong_names_are_comparable_classes_or_parts_of_the_class(images):
    rows = simulate(images, DetectorQuality(wrong_name=1.0), findings=Findings())
    kin, parts = comparable_classes("paco_lvis"), class_parts("paco_lvis")
    kinds = set()
    for image, row in zip(images, rows, strict=True):
        truths = [(o.mask, o.category, None) for o in image.objects]
        truths += [(p.mask, o.category, p.name) for o in image.objects for p in o.parts]
        for mask, name, part in truths:
            (found,) = [d for d in row.detections if d.mask == mask and (d.part is None) == (part is None)]
            if found.object == name:
                assert found.part != part
                assert found.part in parts[name]
                kinds.add("part")
            else:
                assert found.object in kin[name]
                assert found.part == part
                assert part is None or part in parts[found.object]
                kinds.add("class")
    assert kinds == {"part", "class"}


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_false_positives(images, rate):
    rows = simulate(images, DetectorQuality(false_positives=rate, miss_small=1.0, miss_large=1.0), findings=Findings())
    count = sum(len(row.detections) for row in rows)
    assert count == pytest.approx(rate * len(rows), abs=4 * math.sqrt(rate * len(rows)))
    for image, row in zip(images, rows, strict=True):
        shown = {(o.category, p) for o in image.objects for p in (None, *(part.name for part in o.parts))}
        assert not shown & {(d.object, d.part) for d in row.detections}
        assert all(d.mask.area for d in row.detections)
    quality = measured(images, false_positives=rate)
    assert quality.detections - quality.truths == count
    assert quality.false_positives == pytest.approx(count / len(images))  # the things are found: nothing else to find


@pytest.mark.parametrize("asked", [0.5, 0.7, 0.9])
def test_mean_iou(images, asked):
    quality = measured(images, mask_iou=asked)
    assert quality.mean_iou == pytest.approx(asked, abs=0.015)
    assert quality.missed < 0.02


def test_scores_follow_quality(images):
    rates = {"wrong_name": 0.2, "false_positives": 2.0, "mask_iou": 0.8}
    exact, noisy = measured(images, **rates), measured(images, **rates, score_noise=0.3)
    assert 0.55 < noisy.score_auc < exact.score_auc - 0.05
    assert exact.score_auc > 0.97
    strict = measured(images, threshold=0.7, **rates)
    assert strict.precision > exact.precision + 0.1
    assert strict.recall < exact.recall


def test_without_noise_the_score_of_a_right_name_is_its_iou(images):
    (row,) = simulate(images[:1], DetectorQuality(mask_iou=0.7), findings=Findings())
    truths = [m for o in images[0].objects for m in (o.mask, *(p.mask for p in o.parts))]
    for item in row.detections:
        assert max(Mask.iou([item.mask], [t])[0, 0] for t in truths) == pytest.approx(item.score, abs=1e-3)


ALL = {
    "miss_small": 0.5,
    "miss_large": 0.2,
    "wrong_name": 0.2,
    "false_positives": 2,
    "mask_iou": 0.8,
    "score_noise": 0.2,
}


def test_an_image_does_not_depend_on_order_or_company(images):
    some, quality = images[:12], DetectorQuality(**ALL)
    rows = simulate(some, quality, seed=3, findings=Findings())
    assert simulate(some[::-1], quality, seed=3, findings=Findings()) == rows[::-1]
    assert simulate(some[5:6], quality, seed=3, findings=Findings()) == rows[5:6]
    assert simulate(some, quality, seed=4, findings=Findings()) != rows


def test_one_rate_does_not_disturb_another(images):
    def found(**rates):
        rows = simulate(images[:20], DetectorQuality(**rates), findings=Findings())
        return {(row.image, d.object, d.part, d.mask.counts) for row in rows for d in row.detections}

    half, most = found(miss_small=0.5, miss_large=0.5), found(miss_small=0.8, miss_large=0.8)
    assert most < half < found()
    assert half < found(miss_small=0.5, miss_large=0.5, false_positives=3)


def test_what_cannot_be_degraded_is_counted():
    image = annotated(0, (ImageObject(category="gizmo", instance_id="0", mask=rectangle(0, 0, 9, 9)),), source="mine")
    findings = Findings()
    (row,) = simulate([image], DetectorQuality(wrong_name=1, false_positives=5), seed=1, findings=findings)
    assert [d.object for d in row.detections] == ["gizmo"]
    assert set(findings.counts()) == {"no_other_name", "no_false_name"}


def test_users_own_sources_have_the_words_of_their_images():
    part = Part(name="Left_Ear", mask=rectangle(0, 0, 3, 3))
    rows = [ImageObject(category=n, instance_id=n, mask=rectangle(0, 0, 9, 9), parts=(part,)) for n in ("Cat", "dog")]
    words = vocabulary("mine", [annotated(0, tuple(rows), source="mine")])
    assert words.parts == {"cat": ("left ear",), "dog": ("left ear",)}
    assert words.kin == {"cat": ("dog",), "dog": ("cat",)}


@pytest.mark.parametrize(
    "rates", [{"miss_small": 1.1}, {"mask_iou": 0}, {"false_positives": -1}, {"score_noise": float("nan")}, {"typo": 1}]
)
def test_impossible_rates_are_refused(rates):
    with pytest.raises(ValidationError):
        DetectorQuality(**rates)


# ---- masks -----------------------------------------------------------------------------------------------------------


def test_noisy_masks_reach_their_iou():
    rng = np.random.default_rng(0)
    shapes = [random_image("paco_lvis", "test", k, rng).objects[0].mask for k in range(60)]
    shapes += [rectangle(0, 0, SIDE, SIDE), rectangle(0, 0, SIDE, 3), rectangle(290, 290, 10, 10)]
    for mask in shapes:
        for wanted in (0.4, 0.7, 0.95):
            found = noisy_mask(mask, wanted, rng)
            assert found.area > 0
            reached = Mask.iou([mask], [found])[0, 0]
            coarse = 1.5 / math.sqrt(mask.area)  # one pixel more or less changes that much
            assert reached == pytest.approx(wanted, abs=0.03 + coarse), (mask, wanted)


def test_noise_moves_grows_and_shrinks():
    rng = np.random.default_rng(0)
    mask = rectangle(100, 100, 40, 40)
    found = [noisy_mask(mask, 0.7, rng) for _ in range(60)]
    areas = np.array([f.area for f in found]) / mask.area
    assert areas.min() < 0.95
    assert areas.max() > 1.05
    centres = np.array([np.argwhere(f.to_array()).mean(axis=0) for f in found]) - 119.5
    assert (centres.min(axis=0) < -2).all()
    assert (centres.max(axis=0) > 2).all()
    assert noisy_mask(mask, 1.0, rng) == mask


def test_masks_of_a_few_pixels_survive():
    rng = np.random.default_rng(0)
    for x, y in ((0, 0), (5, 5), (299, 299)):
        for _ in range(20):
            assert noisy_mask(rectangle(x, y, 1, 1), 0.5, rng).area >= 1


# ---- the measure -----------------------------------------------------------------------------------------------------


def row_of(image, *found):
    detections = tuple(Detection(object=n, part=p, mask=m, score=s) for n, p, m, s in found)
    return DetectedImage(image=image.path, height=image.height, width=image.width, detections=detections)


def test_quality_of_a_case_worked_by_hand():
    big, small = rectangle(0, 0, 100, 100), rectangle(200, 200, 10, 10)
    image = annotated(
        0,
        (
            ImageObject(category="chair", instance_id="0", mask=big, parts=(Part(name="leg", mask=small),)),
            ImageObject(category="mug", instance_id="1", mask=rectangle(200, 0, 50, 50)),
        ),
    )
    row = row_of(
        image,
        ("chair", None, rectangle(0, 0, 100, 80), 0.9),  # a hit, IoU 0.8
        ("stool", None, rectangle(200, 0, 50, 25), 0.95),  # the mug under a wrong name, IoU 0.5
        ("chair", None, rectangle(0, 50, 100, 100), 0.3),  # a second chair on the first: IoU 1/3
        ("chair", "leg", rectangle(100, 200, 10, 10), 0.2),  # nothing there
    )
    quality = measure([image], [row])
    objects, parts, everything = quality["objects"], quality["parts"], quality["all"]
    assert (objects.truths, objects.detections) == (2, 3)
    assert objects.recall == 0.5
    assert objects.precision == pytest.approx(1 / 3, abs=1e-4)
    assert objects.mean_iou == pytest.approx((0.8 + 0.5) / 2)
    assert (objects.missed, objects.wrong_name, objects.false_positives) == (0.0, 0.5, 1.0)
    assert objects.score_auc == 0.5  # 0.9 beats 0.3, loses to 0.95
    assert (parts.recall, parts.precision, parts.missed, parts.mean_iou, parts.wrong_name) == (
        0.0,
        0.0,
        1.0,
        None,
        None,
    )
    assert everything.recall == pytest.approx(1 / 3, abs=1e-4)
    assert everything.recall_by_size == {"under 0.2 %": 0.0, "0.2 to 2 %": None, "over 2 %": 0.5}
    assert everything.score_auc == pytest.approx(2 / 3, abs=1e-4)
    kept = measure([image], [row], threshold=0.9)["objects"]
    assert (kept.detections, kept.recall, kept.missed) == (1, 0.0, 0.5)


def test_nothing_to_find_and_nothing_found():
    empty = annotated(0, ())
    quality = measure([empty], [row_of(empty)])["all"]
    assert (quality.recall, quality.precision, quality.false_positives) == (None, None, 0.0)
    with pytest.raises(PredictionError, match="1 images and 0 rows"):
        measure([empty], [])
    with pytest.raises(PredictionError, match="height, width"):
        measure([empty], [row_of(annotated(0, (), side=SIDE + 1))])
