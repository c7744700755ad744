"""Consistency against hand-made models: perfect, tied to places, tied to company; and against a slow reckoning."""

import json

import numpy as np
import pytest
from toy_mixedparts import PARTS, answer, box, perfect, random_box, random_data, sample, segment, target

from llava_corr import cli
from llava_corr.benchmarks.consistency import (
    PARTNER_METRICS,
    SWAP_METRICS,
    mask_iou,
    partner_consistency,
    swap_consistency,
    swap_sample,
)
from llava_corr.benchmarks.verified import verdict_path
from llava_corr.datasets.checks import check_sample
from llava_corr.errors import PredictionError, SampleError
from llava_corr.grammar import build_question, ground
from llava_corr.record_files import read_samples, write_records, write_samples
from llava_corr.records import Mask, Turn

OBJECTS = "The images show these objects."


def swapped(samples):
    return [swap_sample(s) for s in samples]


def values(scores, task="common_parts"):
    return {name: score.value for name, score in scores[task].items()}


# ---- swapping samples ------------------------------------------------------------------------------------------------


def grounded(images=2, follow_up=""):
    """A sample whose text is what the doctor expects."""
    said = f"The images show {ground('the chair', [0])} and {ground('the stool', [1])}. "
    said += f"The common parts are {ground('the leg', range(images))}."
    masks = [box(k, 0, k + 5, 5) for k in range(images)]
    targets = [target("chair", 0, masks[0], "object"), target("stool", 1, masks[1], "object")]
    targets += [target("leg", k, mask) for k, mask in enumerate(masks)]
    made = sample("s", targets, images=images, question=build_question(images, "Segment the parts."))
    turns = (Turn(user=made.turns[0].user + follow_up, assistant=said),)
    return made.model_copy(update={"turns": turns, "categories": ("chair", "stool", "bench")[:images]})


@pytest.mark.parametrize("images", [2, 3])
def test_a_swapped_sample_is_in_order(images):
    made = grounded(images)
    found = swap_sample(made)
    assert check_sample(made) == check_sample(found) == []
    assert found.turns[0].user == made.turns[0].user
    assert "<p> the chair </p> [SEG] (IMAGE2) and <p> the stool </p> [SEG] (IMAGE1)" in found.turns[0].assistant
    assert [i.path for i in found.images][:2] == ["s-1.jpg", "s-0.jpg"]
    assert found.images[2:] == made.images[2:]
    assert found.categories[:2] == ("stool", "chair")
    assert {(t.phrase, found.images[t.image_index].path, t.mask) for t in found.targets} == {
        (t.phrase, made.images[t.image_index].path, t.mask) for t in made.targets
    }


def test_twice_swapped_is_the_sample():
    made = grounded(3, " What sets (IMAGE2) apart?")
    assert swap_sample(made).turns[0].user.endswith("What sets (IMAGE1) apart?"), "this one names a picture"
    assert swap_sample(swap_sample(made)).model_copy(update={"id": "s"}) == made


def test_one_image_cannot_be_swapped():
    with pytest.raises(SampleError, match="one image"):
        swap_sample(sample("s", images=1))


# ---- swap ------------------------------------------------------------------------------------------------------------


def test_perfect_answers_agree():
    samples, _ = random_data(1, 30)
    samples = [s for s in samples if s.targets]
    scores = swap_consistency(samples, [perfect(s) for s in samples], [perfect(s) for s in swapped(samples)])
    assert list(scores) == ["common_objects", "common_parts", "unique_parts"]
    for row in scores.values():
        assert set(row) == set(SWAP_METRICS)
        assert all((s.value, s.interval) == (1.0, (1.0, 1.0)) for s in row.values())


def test_answers_tied_to_places_do_not():
    """One mask for IMAGE1, another for IMAGE2, whatever they show."""
    samples = [s for s in random_data(2, 30)[0] if s.task == "common_parts"]
    left, right = box(0, 0, 6, 6), box(3, 0, 9, 6)

    def said(to):
        return answer(to, [segment("leg", 0, left), segment("leg", 1, right)])

    found = values(swap_consistency(samples, [said(s) for s in samples], [said(s) for s in swapped(samples)]))
    third = pytest.approx(1 / 3)
    assert found == dict.fromkeys(SWAP_METRICS, third) | {"same_labels": 1.0}

    def named(to):
        return answer(to, [segment("leg", 0, left), segment("arm", 1, right)])

    found = values(swap_consistency(samples, [named(s) for s in samples], [named(s) for s in swapped(samples)]))
    assert found == {"iou_by_label_strict": 0, "iou_by_mask": third, "iou_by_mask_strict": third, "same_labels": 0}


def best_joined(masks):
    return np.logical_or.reduce([m.to_array() for m in masks])


def slow_iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_against_a_slow_reckoning():
    """Masks decoded, pairs by hand; greedy matching by trying every order where IoUs are distinct."""
    rng = np.random.default_rng(5)
    samples = [sample(f"s{k}", task="common_parts") for k in range(12)]

    def random_answer(to):
        names = ("leg", "arm", "seat")
        return answer(
            to,
            [segment(str(rng.choice(names)), k, box(*random_box(rng))) for k in (0, 1) for _ in range(rng.integers(4))],
        )

    first, second = [random_answer(s) for s in samples], [random_answer(s) for s in swapped(samples)]
    sums = {name: np.zeros(2) for name in SWAP_METRICS}
    for a, b in zip(first, second, strict=True):
        same = True
        for k in (0, 1):
            ours = [s for s in a.segments if s.image_index == k]
            theirs = [s for s in b.segments if s.image_index == 1 - k]
            labels = {s.phrase for s in ours}, {s.phrase for s in theirs}
            same &= labels[0] == labels[1]
            for label in labels[0] | labels[1]:
                own = [[s.mask for s in side if s.phrase == label] for side in (ours, theirs)]
                value = slow_iou(*map(best_joined, own)) if all(own) else 0.0
                sums["iou_by_label_strict"] += (value, 1)
                if all(own):
                    sums["iou_by_label"] += (value, 1)
            pairs = sorted(
                ((slow_iou(s.mask.to_array(), t.mask.to_array()), i, j)
                 for i, s in enumerate(ours) for j, t in enumerate(theirs)),
                key=lambda p: (-p[0], p[1], p[2]),
            )  # fmt: skip
            taken = []
            for value, i, j in pairs:
                if value > 0 and all(i != x and j != y for _, x, y in taken):
                    taken.append((value, i, j))
            total = sum(p[0] for p in taken)
            sums["iou_by_mask"] += (total, len(taken))
            sums["iou_by_mask_strict"] += (total, len(ours) + len(theirs) - len(taken))
        sums["same_labels"] += (same, 1)
    scores = swap_consistency(samples, first, second, resamples=50)
    assert values(scores) == pytest.approx({name: top / below for name, (top, below) in sums.items()})
    for name, score in scores["common_parts"].items():
        assert score.interval[0] <= score.value <= score.interval[1], name
        assert score.n == sums[name][1]


def test_the_order_of_files_and_ids_does_not_matter():
    samples, predictions = random_data(3, 18)
    names = ["a", "a-b", "a:b", *map(str, range(15))]  # which sort otherwise with a suffix
    renamed = [s.model_copy(update={"id": name}) for s, name in zip(samples, names, strict=True)]
    answers = [
        p.model_copy(update={"sample_id": s.id, "truth": s.truth_hash()})
        for s, p in zip(renamed, predictions, strict=True)
    ]
    mirrored = [perfect(s) for s in swapped(renamed)]
    one = swap_consistency(renamed, answers, mirrored, resamples=20)
    two = swap_consistency(renamed[::-1], answers[::-1], mirrored[3:] + mirrored[:3], resamples=20)
    assert one == two


def test_what_a_part_task_does_not_count_is_left_out():
    made = grounded()
    objects = [segment("chair", 0, box(0, 0, 9, 9), sentence=OBJECTS)]
    part = segment("leg", 0, box(0, 0, 4, 4), sentence=PARTS)
    moved = part.model_copy(update={"image_index": 1})
    scores = swap_consistency([made], [answer(made, [*objects, part])], [answer(swap_sample(made), [moved])])
    assert values(scores)["iou_by_mask_strict"] == 1.0
    assert scores["common_parts"]["same_labels"].interval is None, "one sample has no interval"


def test_empty_answers_agree_and_average_nothing():
    samples = [sample("a"), sample("b")]
    scores = swap_consistency(samples, [answer(s) for s in samples], [answer(s) for s in swapped(samples)])
    assert values(scores) == {"same_labels": 1.0}


def test_two_empty_masks_say_the_same():
    made = sample("a")
    empty = [segment("leg", k, box(0, 0, 0, 0)) for k in (0, 1)]
    found = values(swap_consistency([made], [answer(made, empty[:1])], [answer(swap_sample(made), empty[1:])]))
    assert found == dict.fromkeys(SWAP_METRICS, 1.0)


def test_files_that_do_not_belong_together_are_refused():
    samples, predictions = random_data(4, 6)
    with pytest.raises(PredictionError, match="answer no sample"):
        swap_consistency(samples, predictions, predictions)
    with pytest.raises(PredictionError, match="no sample is answered in both"):
        swap_consistency(samples, predictions[:2], [perfect(s) for s in swapped(samples[2:])])
    partly = swap_consistency(samples, predictions[:4], [perfect(s) for s in swapped(samples[2:])])
    assert sum(row["same_labels"].n for row in partly.values()) == 2


# ---- partner ---------------------------------------------------------------------------------------------------------


def paired(name, first, second, names=("chair", "chair"), task="common_parts"):
    """A sample of two pictures from a pool, whole objects named as in ``names``."""
    masks = {p: box(p, 0, p + 8, 8) for p in (first, second)}
    role = "object" if task != "common_objects" else "common"
    targets = [target(n, k, masks[p], role) for k, (n, p) in enumerate(zip(names, (first, second), strict=True))]
    made = sample(name, targets, task)
    images = tuple(i.model_copy(update={"path": f"{p}.jpg"}) for i, p in zip(made.images, (first, second), strict=True))
    return made.model_copy(update={"images": images})


def shown(to, boxes, labels=("chair", "chair"), sentence=OBJECTS):
    found = zip(boxes, labels, strict=True)
    return answer(to, [segment(label, k, mask, sentence=sentence) for k, (mask, label) in enumerate(found)])


def test_partners_of_a_perfect_and_of_an_impressionable_model():
    samples = [paired("a", 1, 2), paired("b", 3, 1), paired("c", 1, 4)]
    truthful = [shown(s, [t.mask for t in s.targets]) for s in samples]
    found = partner_consistency(samples, truthful)["common_parts"]
    assert {n: s.value for n, s in found.items()} == dict.fromkeys(PARTNER_METRICS, 1.0)
    assert list(found["object_iou"].per_sample) == ["1.jpg"], "the others have one partner each"

    right, half = box(0, 0, 8, 8), box(0, 0, 4, 8)
    swayed = [shown(samples[0], [right, right]), shown(samples[1], [right, half]),
              shown(samples[2], [right, right], ("stool", "chair"))]  # fmt: skip
    found = partner_consistency(samples, swayed)["common_parts"]
    assert found["object_iou"].value == pytest.approx((0.5 + 1.0 + 0.5) / 3)
    assert found["object_labels"].value == pytest.approx(1 / 3)


def test_only_like_is_compared():
    """Other objects asked for, the same partner again, another task, no object at all: no pair of any of them."""
    apart = [
        [paired("a", 1, 2), paired("b", 1, 3, ("stool", "stool"))],
        [paired("a", 1, 2), paired("b", 2, 1)],
        [paired("a", 1, 2), paired("b", 1, 3, task="common_objects")],
        [paired(n, 1, p).model_copy(update={"targets": ()}) for n, p in (("a", 2), ("b", 3))],
    ]
    for samples in apart:
        with pytest.raises(PredictionError, match="no picture stands beside two partners"):
            partner_consistency(samples, [perfect(s) for s in samples])


def test_missed_objects_count_and_parts_do_not():
    samples = [paired("a", 1, 2), paired("b", 1, 3)]
    right = box(0, 0, 8, 8)
    only_parts = shown(samples[1], [right, right], sentence=PARTS)
    found = partner_consistency(samples, [shown(samples[0], [right, right]), only_parts])["common_parts"]
    assert (found["object_iou"].value, found["object_labels"].value) == (0.0, 0.0)
    both = partner_consistency(samples, [shown(samples[0], [right, right], sentence=PARTS), only_parts])
    assert {n: s.value for n, s in both["common_parts"].items()} == {"object_labels": 1.0}, "nothing to overlap"


def test_a_picture_counts_once_however_many_partners_it_has():
    many = [paired(f"a{k}", 1, 10 + k) for k in range(5)]
    few = [paired("b0", 2, 20), paired("b1", 2, 21)]
    right, half = box(0, 0, 8, 8), box(0, 0, 4, 8)
    said = [shown(s, [right, right]) for s in many] + [shown(few[0], [right, right]), shown(few[1], [half, right])]
    assert values(partner_consistency([*many, *few], said))["object_iou"] == pytest.approx((1 + 0.5) / 2)
    assert partner_consistency([*few, *many], said[::-1]) == partner_consistency([*many, *few], said)


def test_empty_masks_agree_however_they_are_written():
    spelled = Mask(size=(40, 60), counts="P[2"), Mask(size=(40, 60), counts="P[20")
    for mask in spelled:
        mask.check()
    assert mask_iou(spelled[:1], [*spelled, Mask(size=(40, 60), counts="05kZ2")]).tolist() == [[1.0, 1.0, 0.0]]


# ---- command ---------------------------------------------------------------------------------------------------------


def test_commands_from_samples_to_figures(tmp_path, capsys):
    samples, predictions = random_data(6, 12)
    samples += [paired("x1", 1, 2), paired("x2", 1, 3)]
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in ("samples", "swapped", "first", "second")}
    write_samples(paths["samples"], samples)
    write_records(paths["first"], [*predictions, *(perfect(s) for s in samples[-2:])])
    swap = ["consistency", "swap-samples", "--samples", paths["samples"], "--out", paths["swapped"]]
    assert cli.main(swap) == 0
    mirrored = read_samples(paths["swapped"])
    assert [s.id for s in mirrored] == [f"{s.id}:swapped" for s in samples]
    write_records(paths["second"], [perfect(s) for s in mirrored])
    files = ["--samples", paths["samples"], "--predictions", paths["first"]]
    out = tmp_path / "swap.json"
    compare = ["consistency", "swap", *files, "--swapped", paths["second"], "--out", str(out), "--resamples", "20"]
    assert cli.main(compare) == 0
    written = json.loads(out.read_text())
    assert set(written["tasks"]["common_parts"]) == set(SWAP_METRICS)
    assert written["settings"] == {"resamples": 20, "seed": 0}
    assert "iou_by_mask_strict" in capsys.readouterr().out
    partner = tmp_path / "partner.json"
    assert cli.main(["consistency", "partner", *files, "--out", str(partner)]) == 0
    assert json.loads(partner.read_text())["tasks"]["common_parts"]["object_labels"]["value"] == 1.0
    assert cli.main([*compare[:-1], "-1"]) == 2
    assert "must not be negative" in capsys.readouterr().err
    write_records(paths["second"], [perfect(s) for s in mirrored[1:]])
    write_records(paths["first"], [perfect(s) for s in samples[:-1]])
    capsys.readouterr()
    assert cli.main(compare) == 0
    counts = json.loads(out.read_text())["findings"]["counts"]
    assert (counts["unanswered"], counts["unanswered_swapped"]) == (1, 1)
    assert f"2 of {len(samples)} samples left out" in capsys.readouterr().out
    write_records(paths["first"], [perfect(s) for s in samples[:-3]])
    assert cli.main(["consistency", "partner", *files, "--out", str(partner)]) == 2
    assert f"in the {len(samples) - 3} of {len(samples)} samples that are answered" in capsys.readouterr().err
    verdict_path(paths["second"]).write_text("{}")
    assert cli.main(compare) == 2


def test_the_command_overwrites_nothing_that_it_reads(tmp_path, capsys):
    samples, predictions = random_data(3, 6)
    given = {"samples": samples, "predictions": predictions, "swapped": predictions}
    files = {name: tmp_path / f"{name}.jsonl" for name in given}
    for name, path in files.items():
        write_samples(path, samples) if name == "samples" else write_records(path, predictions)
    before = {path: path.read_bytes() for path in files.values()}
    for check, read in (("swap-samples", 1), ("partner", 2), ("swap", 3)):
        words = [word for name in list(files)[:read] for word in (f"--{name}", str(files[name]))]
        for name in list(files)[:read]:
            assert cli.main(["consistency", check, *words, "--out", str(files[name])]) == 2
            assert f"would overwrite --{name}" in capsys.readouterr().err
    words = ["--samples", str(files["samples"]), "--out", str(files["predictions"])]
    assert cli.main(["consistency", "swap-samples", *words]) == 2
    assert "is no file of samples" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files.values()} == before
