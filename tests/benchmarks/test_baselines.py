"""The prior-only baseline: a constant answer, fitted on training masks, as strong as one can be."""

import numpy as np
import pytest
from toy_mixedparts import HEIGHT, WIDTH, box, random_data, sample, target

from llava_corr.benchmarks.baselines import fit_prior, prior_only
from llava_corr.benchmarks.mixedparts import score
from llava_corr.errors import SampleError
from llava_corr.metrics.text import LabelEmbeddings
from llava_corr.records import ImageRef

LEFT, RIGHT = box(0, 0, 8, 20), box(16, 0, 24, 20)


def chairs(count, first=0):
    """Every image shows a leg on the left and a seat on the right."""
    both = [target("the leg", k, LEFT) for k in range(2)] + [target("the seat", k, RIGHT) for k in range(2)]
    return [sample(f"c{first + k}", both) for k in range(count)]


def test_constant_data_are_answered_perfectly():
    test = chairs(3, first=100)
    predictions = list(prior_only(chairs(5), test))
    column = score(test, predictions, LabelEmbeddings(), resamples=0).columns["common_parts"].scores
    for name in ("AP50", "mIoU_strict", "Recall", "SS", "S-IoU"):
        assert column[name].value == pytest.approx(1.0), name


def test_answers_are_the_same_for_all_samples_and_parse_without_repairs():
    train, _ = random_data(0, 30)
    test, _ = random_data(1, 12)
    answers = list(prior_only(train, test))
    assert [a.sample_id for a in answers] == [s.id for s in test]
    for task in ("common_objects", "common_parts", "unique_parts"):
        own = [a for a, s in zip(answers, test, strict=True) if s.task == task]
        assert len({a.text for a in own}) == 1
        assert len({a.segments for a in own}) == 1
        assert all(a.segments and not a.trail for a in own)
    # none of the segments is left out as a whole object of a part task
    assert not score(test, answers, LabelEmbeddings(), resamples=0).aligned.findings


def test_commonest_set_wins_and_ties_go_to_the_first_in_order():
    train = chairs(3) + [sample(f"x{k}", [target("the wing", 0, LEFT)], images=1) for k in range(7)]
    assert fit_prior(train, "common_parts").phrases == ("wing",)
    train = [sample("x", [target("wing", 0, LEFT)]), sample("y", [target("arm", 0, LEFT)])]
    assert fit_prior(train, "common_parts").phrases == ("arm",)


def test_objects_of_part_tasks_and_images_without_truth_are_no_answer():
    train = [sample(f"x{k}", [target("chair", 0, LEFT, "object")]) for k in range(5)] + chairs(1)
    assert fit_prior(train, "common_parts").phrases == ("leg", "seat")


def test_threshold_maximises_expected_iou():
    """Left half always, right half in 1 image of 4: left alone gives (3 + 1/2) / 4, all of it (3 / 2 + 1) / 4."""
    left, everything = box(0, 0, 12, 20), box(0, 0, 24, 20)
    train = [sample(f"x{k}", [target("leg", 0, everything if k == 0 else left)], images=1) for k in range(4)]
    (answer,) = prior_only(train, [sample("t", images=1)])
    np.testing.assert_array_equal(answer.segments[0].mask.to_array(), left.to_array())
    assert answer.segments[0].score == pytest.approx(1.0, abs=0.02)  # the mean mask is soft at the edge


def test_no_constant_mask_on_a_fine_grid_of_thresholds_does_better():
    rng = np.random.default_rng(0)
    train = []
    for k in range(40):
        x, y = rng.integers(0, 12), rng.integers(0, 10)
        train.append(sample(f"x{k}", [target("leg", 0, box(x, y, x + 12, y + 10))], images=1))
    truths = np.stack([s.targets[0].mask.to_array() for s in train])
    mean = truths.mean(axis=0)

    def expected(pixels):
        return np.mean([(pixels & t).sum() / (pixels | t).sum() for t in truths])

    (answer,) = prior_only(train, [sample("t", images=1)])
    best = max(expected(mean >= threshold) for threshold in np.unique(mean[mean > 0]))
    assert expected(answer.segments[0].mask.to_array()) >= best - 0.02


def test_any_image_size_gets_a_mask_that_is_not_empty():
    base = sample("t", images=1)
    tiny = [
        base.model_copy(update={"id": f"t{h}-{w}", "images": (ImageRef(path="x.jpg", height=h, width=w),)})
        for h, w in ((HEIGHT, WIDTH), (3, 500), (300, 2), (1, 1))
    ]
    train = [sample("x", [target("leg", 0, box(3, 3, 4, 4))], images=1)]
    for answer, one in zip(prior_only(train, tiny), tiny, strict=True):
        assert answer.segments[0].mask.size == (one.images[0].height, one.images[0].width)
        assert answer.segments[0].mask.area > 0


def test_few_training_images_still_know_every_phrase_and_the_seed_decides():
    train, _ = random_data(2, 60)
    test, _ = random_data(3, 3)
    assert list(prior_only(train, test, limit=1))
    assert list(prior_only(train, test, seed=4, limit=5)) == list(prior_only(train[::-1], test, seed=4, limit=5))


def test_task_without_training_truth_is_named():
    with pytest.raises(SampleError, match="no training sample of task unique_parts"):
        list(prior_only(chairs(2), [sample("t", task="unique_parts")]))
