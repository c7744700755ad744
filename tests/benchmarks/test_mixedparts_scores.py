"""The MixedParts scores: closed forms, a second implementation in plain loops, invariances, edges."""

import numpy as np
import pytest
from toy_mixedparts import HEIGHT, WIDTH, answer, box, perfect, random_data, sample, segment, target

from llava_corr.benchmarks.mixedparts import MEAN, compare, score
from llava_corr.benchmarks.mixedparts_metrics import METRICS
from llava_corr.errors import PredictionError
from llava_corr.grammar import normalise_label
from llava_corr.metrics.text import LabelEmbeddings
from llava_corr.records import Mask

LEFT, RIGHT, HALF = box(0, 0, 8, 8), box(12, 8, 20, 16), box(12, 8, 20, 12)


@pytest.fixture(scope="module")
def embeddings():
    return LabelEmbeddings()


def values(result, column="common_parts"):
    return {name: item.value for name, item in result.columns[column].scores.items()}


def iou(a, b):
    a, b = a.to_array(), b.to_array()
    return (a & b).sum() / max((a | b).sum(), 1)


def plain_scores(samples, predictions, task, cosine):
    """All averages of one task again, from pixels and strings, one image at a time."""
    answers = {p.sample_id: p for p in predictions}
    images, strict, spurious, hits, loose, truths, predicted = [], [], [], 0, 0, 0, 0
    best, words, pair_cosines, pair_words = [], [], [], []
    for one in (s for s in samples if s.task == task):
        for k in range(len(one.images)):
            true = [(normalise_label(t.phrase), t.mask) for t in one.targets if t.image_index == k]
            segments = answers[one.id].segments if one.id in answers else ()
            said = [(normalise_label(s.phrase), s.mask) for s in segments if s.image_index == k]
            truths, predicted = truths + len(true), predicted + len(said)
            pairs = sorted((-iou(m, n), i, j) for i, (_, m) in enumerate(said) for j, (_, n) in enumerate(true))
            taken = []
            for negative, i, j in pairs:
                if negative < 0 and all(i != a and j != b for _, a, b in taken):
                    taken.append((-negative, i, j))
            total = sum(t[0] for t in taken)
            if true:
                images.append(total / len(taken) if taken else 0.0)
                strict.append(total / len(true))
            if true or said:
                spurious.append(total / (len(true) + len(said) - len(taken)))
            for breaking in (True, False):
                found = []
                for negative, i, j in pairs:
                    if any(i == a or j == b for a, b in found):
                        continue
                    if -negative < 0.5:
                        break
                    if cosine(said[i][0], true[j][0]) >= 0.5:
                        found.append((i, j))
                    elif breaking:
                        break
                hits, loose = (hits + len(found), loose) if breaking else (hits, loose + len(found))
            overlap = lambda a, b: len(set(a.split()) & set(b.split())) / len(set(a.split()) | set(b.split()))  # noqa: E731
            for name, _ in true:
                best.append(max((cosine(other, name) for other, _ in said), default=0.0))
                words.append(max((overlap(other, name) for other, _ in said), default=0.0))
            pair_cosines += [cosine(said[i][0], true[j][0]) for _, i, j in taken]
            pair_words += [overlap(said[i][0], true[j][0]) for _, i, j in taken]
    mean = lambda numbers: sum(numbers) / len(numbers)  # noqa: E731
    return {
        "mIoU": mean(images),
        "mIoU_strict": mean(strict),
        "mIoU_strict_spurious": mean(spurious),
        "Recall": hits / truths,
        "Recall_nonbreaking": loose / truths,
        "SS": mean(best),
        "S-IoU": mean(words),
        "SS_matched": mean(pair_cosines),
        "S-IoU_matched": mean(pair_words),
        "predictions_per_truth": predicted / truths,
    }


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_plain_loops(seed, embeddings):
    samples, predictions = random_data(seed, 18)
    result = score(samples, predictions[:-2], embeddings, resamples=0)
    for task in ("common_objects", "common_parts", "unique_parts"):
        expected = plain_scores(
            samples, predictions[:-2], task, lambda a, b: embeddings.similarity([a], [b])[0, 0] if a else 0.0
        )
        found = values(result, task)
        assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_perfect_answers_reach_one(embeddings):
    samples, _ = random_data(1)
    result = score(samples, [perfect(s) for s in samples], embeddings, resamples=20)
    for column in result.columns.values():
        for metric in METRICS:
            if metric.direction == 1:
                assert column.scores[metric.name].value == pytest.approx(1.0)
                assert column.scores[metric.name].interval == pytest.approx((1.0, 1.0))
        assert column.scores["missing_rate"].value == 0.0


def test_closed_form_of_one_image(embeddings):
    """Two truths; one found at IoU 1 under a wrong name, one at IoU 1/2 under its own; one spurious mask."""
    one = sample("a", [target("leg", 0, LEFT), target("wing", 0, RIGHT)], images=1)
    said = [segment("headboard", 0, LEFT), segment("wing", 0, HALF), segment("lid", 0, box(0, 16, 4, 20))]
    found = values(score([one], [answer(one, said)], embeddings, resamples=0))
    assert found["mIoU"] == pytest.approx(0.75)
    assert found["mIoU_strict"] == pytest.approx(0.75)
    assert found["mIoU_strict_spurious"] == pytest.approx(0.5)
    assert found["Recall"] == 0.0  # the loop ends at the misnamed mask
    assert found["Recall_nonbreaking"] == 0.5
    assert found["AP50"] == pytest.approx(1.0)
    assert found["S-IoU"] == 0.5
    assert found["S-IoU_matched"] == 0.5
    assert found["predictions_per_truth"] == 1.5


def test_a_longer_name_is_not_the_bare_part_name(embeddings):
    one = sample("a", [target("leg", 0, LEFT)], images=1)
    found = values(score([one], [answer(one, [segment("the chair leg", 0, LEFT)])], embeddings, resamples=0))
    assert found["S-IoU"] == 0.5
    assert 0.5 < found["SS"] < 1.0


def test_text_scores_look_at_all_labels_of_the_image_but_not_of_the_other(embeddings):
    one = sample("a", [target("leg", 0, LEFT), target("wing", 1, LEFT)])
    said = [segment("leg", 0, box(16, 16, 20, 20)), segment("leg", 1, LEFT)]
    found = values(score([one], [answer(one, said)], embeddings, resamples=0))
    assert found["S-IoU"] == 0.5  # image 1: right name in the wrong place counts; image 2: no right name
    assert found["S-IoU_matched"] == 0.0


def test_samples_without_truth(embeddings):
    none = [sample(f"n{k}") for k in range(4)]
    real = sample("r", [target("leg", 0, LEFT)])
    predictions = [answer(none[0], [segment("leg", 0, LEFT)]), answer(none[1]), answer(none[2]), perfect(real)]
    found = score([*none, real], predictions, embeddings, resamples=0).columns["common_parts"].scores
    assert (found["false_segment_rate"].value, found["false_segment_rate"].n) == (0.25, 4)
    assert (found["false_segment_rate_images"].value, found["false_segment_rate_images"].n) == (1 / 9, 9)
    assert (found["missing_rate"].value, found["missing_rate"].n) == (0.2, 5)
    assert found["false_segment_rate"].per_sample == {"n0": 1.0, "n1": 0.0, "n2": 0.0, "n3": 0.0}
    assert (found["mIoU"].value, found["mIoU"].n) == (1.0, 1)
    assert found["mIoU_strict_spurious"].value == 0.5
    assert found["AP50"].value == pytest.approx(0.5)  # the false positive of "n0" is ranked before "r"
    assert found["predictions_per_truth"].value == 2.0


def test_only_samples_without_truth(embeddings):
    none = sample("n")
    found = score([none], [], embeddings).columns["common_parts"].scores
    assert set(found) == {"false_segment_rate", "false_segment_rate_images", "missing_rate"}


def test_no_prediction_at_all(embeddings):
    samples, _ = random_data(4)
    found = score(samples, [], embeddings, resamples=20).columns[MEAN].scores
    for name in ("AP50", "AP50_scored", "mIoU", "mIoU_strict", "Recall", "SS", "S-IoU", "predictions_per_truth"):
        assert found[name].value == 0.0
    assert found["missing_rate"].value == 1.0
    assert "SS_matched" not in found


def test_all_wrong(embeddings):
    one = sample("a", [target("leg", 0, LEFT)], images=1)
    found = values(score([one], [answer(one, [segment("zebra", 0, RIGHT)])], embeddings, resamples=0))
    assert found["AP50"] == found["mIoU"] == found["Recall"] == found["S-IoU"] == 0.0
    assert "SS_matched" not in found


def test_empty_masks_score_zero(embeddings):
    empty = Mask.from_array(np.zeros((HEIGHT, WIDTH)))
    one = sample("a", [target("leg", 0, empty)], images=1)
    found = values(score([one], [perfect(one)], embeddings, resamples=0))
    assert found["AP50"] == found["mIoU"] == found["Recall"] == 0.0
    assert found["SS"] == 1.0


def test_one_sample_has_no_interval(embeddings):
    one = sample("a", [target("leg", 0, LEFT)], images=1)
    result = score([one], [perfect(one)], embeddings)
    assert all(item.interval is None for column in result.columns.values() for item in column.scores.values())


def test_order_of_samples_and_predictions_changes_nothing(embeddings):
    samples, predictions = random_data(2)
    there = score(samples, predictions, embeddings, resamples=50)
    back = score(samples[::-1], predictions[::-1], embeddings, resamples=50)
    assert {k: c.scores for k, c in there.columns.items()} == {k: c.scores for k, c in back.columns.items()}


def test_renaming_that_keeps_the_order_changes_nothing_and_reversing_it_changes_only_ap(embeddings):
    samples, predictions = random_data(3, 30)
    said = {p.sample_id: p for p in predictions}

    def renamed(new_name):
        new = [s.model_copy(update={"id": new_name(k)}) for k, s in enumerate(samples)]
        return new, [
            said[old.id].model_copy(update={"sample_id": s.id, "truth": s.truth_hash()})
            for old, s in zip(samples, new, strict=True)
        ]

    before = score(samples, predictions, embeddings, resamples=50)
    kept = score(*renamed(lambda k: f"pair-{k + 500}"), embeddings, resamples=50)
    for name, column in before.columns.items():
        for metric, item in column.scores.items():
            assert (kept.columns[name].scores[metric].value, kept.columns[name].scores[metric].interval) == (
                item.value,
                item.interval,
            )
    reverse = score(*renamed(lambda k: f"pair-{900 - k}"), embeddings, resamples=0)
    changed = {m for m, v in values(reverse, MEAN).items() if abs(v - values(before, MEAN)[m]) > 1e-9}
    assert "AP50" in changed
    assert changed <= {"AP50", "AP50_scored"}


def test_ap_follows_the_documented_order_of_images(embeddings):
    """One right, one wrong: 0.505 if the right one comes first in the order of ids, 0.252 otherwise (facts 6.1)."""

    def ap(right_id, wrong_id):
        right, wrong = (sample(n, [target("leg", 0, LEFT)], images=1) for n in (right_id, wrong_id))
        predictions = [perfect(right), answer(wrong, [segment("leg", 0, RIGHT)])]
        return values(score([right, wrong], predictions, embeddings, resamples=0))["AP50"]

    assert ap("a", "b") == pytest.approx(0.505, abs=5e-4)
    assert ap("b", "a") == pytest.approx(0.252, abs=5e-4)
    assert ap("Z", "a") == pytest.approx(0.505, abs=5e-4), "code-point order: capitals first"


def test_scored_ap_ranks_by_the_predicted_scores(embeddings):
    wrong, right = (sample(n, [target("leg", 0, LEFT)], images=1) for n in "ab")
    predictions = [answer(wrong, [segment("leg", 0, RIGHT, 0.2)]), perfect(right, 0.8)]
    found = values(score([wrong, right], predictions, embeddings, resamples=0))
    assert found["AP50"] == pytest.approx(0.252, abs=5e-4)
    assert found["AP50_scored"] == pytest.approx(0.505, abs=5e-4)


def test_the_seed_and_nothing_else_decides_the_draws(embeddings):
    samples, predictions = random_data(11, 30)
    draws = [
        score(samples, predictions, embeddings, resamples=20, seed=seed).columns["common_parts"].draws["mIoU"]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_mean_is_over_the_tasks_that_define_a_score(embeddings):
    samples, predictions = random_data(5)
    result = score(samples, predictions, embeddings, resamples=0)
    tasks = ("common_objects", "common_parts", "unique_parts")
    assert values(result, MEAN)["AP50"] == pytest.approx(np.mean([values(result, t)["AP50"] for t in tasks]))
    two = score([s for s in samples if s.task != "unique_parts"], [], embeddings, resamples=0)
    assert list(two.columns) == ["common_objects", "common_parts", MEAN]
    assert two.columns[MEAN].scores["mIoU"].convention.endswith("common_objects, common_parts")


def test_ratio_intervals_equal_scores_of_resampled_files(embeddings):
    """A resample of samples is itself a data set: scoring it gives the draw, AP included."""
    samples, predictions = random_data(6, 9, tasks=("common_parts",))
    result = score(samples, predictions, embeddings, resamples=8)
    from llava_corr.benchmarks.mixedparts_units import TASKS
    from llava_corr.metrics.intervals import resample_weights

    weights = resample_weights(9, 8, (0, TASKS.index("common_parts")))
    for row, weight in enumerate(weights):
        drawn, said = [], []
        for k, (one, prediction) in enumerate(zip(samples, predictions, strict=True)):
            for copy in range(weight[k]):
                new = one.model_copy(update={"id": f"{one.id}-{copy}"})
                drawn.append(new)
                said.append(prediction.model_copy(update={"sample_id": new.id, "truth": new.truth_hash()}))
        again = values(score(drawn, said, embeddings, resamples=0))
        for name, value in again.items():
            assert result.columns["common_parts"].draws[name][row] == pytest.approx(value), name


def test_values_are_the_averages_of_per_sample_values_where_each_sample_counts_once(embeddings):
    samples, predictions = random_data(7)
    item = score(samples, predictions, embeddings, resamples=0).columns["common_parts"].scores["missing_rate"]
    assert len(item.per_sample) == item.n == 4


def test_comparison(embeddings):
    samples, predictions = random_data(8, 45)
    good = score(samples, [perfect(s) for s in samples], embeddings, resamples=200)
    poor = score(samples, predictions, embeddings, resamples=200)
    there, back = compare(good, poor), compare(poor, good)
    assert there[MEAN]["mIoU_strict"].verdict == "better"
    assert back[MEAN]["mIoU_strict"].verdict == "worse"
    assert there[MEAN]["predictions_per_truth"].verdict is None
    for column, row in there.items():
        for metric, difference in row.items():
            assert back[column][metric].value == -difference.value
    same = compare(poor, score(samples, predictions, embeddings, resamples=200))
    assert all(d.verdict in ("undecided", None) and d.value == 0 for row in same.values() for d in row.values())


def test_comparison_needs_the_same_truth_and_settings(embeddings):
    samples, predictions = random_data(9)
    first = score(samples, predictions, embeddings, resamples=20)
    with pytest.raises(PredictionError, match="cannot be paired"):
        compare(first, score(samples[:-1], predictions[:-1], embeddings, resamples=20))
    with pytest.raises(PredictionError, match="cannot be paired"):
        compare(first, score(samples, predictions, embeddings, resamples=20, seed=1))


def test_every_score_states_its_convention(embeddings):
    samples, predictions = random_data(10)
    for column in score(samples, predictions, embeddings, resamples=5).columns.values():
        for item in column.scores.values():
            assert "n counts" in item.convention
    assert len({m.name for m in METRICS}) == len({m.convention for m in METRICS}) == len(METRICS)


def test_one_sample_decides_nothing(embeddings):
    one = sample("a", [target("the leg", 0, box(0, 0, 8, 8))])
    good = score([one], [perfect(one)], embeddings, resamples=50)
    poor = score([one], [answer(one, [])], embeddings, resamples=50)
    found = compare(good, poor)
    differences = [d for column in found.values() for d in column.values()]
    assert any(d.value for d in differences)
    assert all(d.interval is None and d.verdict in (None, "undecided") for d in differences)
