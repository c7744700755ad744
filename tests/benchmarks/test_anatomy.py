"""Fates of masks against a slow reckoning on decoded pixels, and on cases whose answer is known."""

import os

import numpy as np
import pytest
from toy_mixedparts import answer, box, perfect, random_box, random_data, sample, segment, target

from llava_corr.benchmarks.anatomy import KINDS, anatomy_of
from llava_corr.benchmarks.anatomy_facts import BINS, NOT_KNOWN, Knowledge, read_occlusion
from llava_corr.benchmarks.anatomy_tables import cross_tabulate, fates, named_first
from llava_corr.benchmarks.mixedparts_metrics import tally
from llava_corr.benchmarks.mixedparts_units import align
from llava_corr.grammar import normalise_label
from llava_corr.record_files import write_records
from llava_corr.records import PictureOcclusion, VisibleArea

OBJECTS = "The images show these objects."
LEFT, RIGHT = box(0, 0, 8, 8), box(12, 8, 20, 16)


def kinds(to, segments):
    found = anatomy_of(to, answer(to, segments))
    return [fate.kind for fate in found.truths], [mask.segment for mask in found.spurious]


# ---- known cases -----------------------------------------------------------------------------------------------------


def test_one_of_each_kind():
    to = sample(
        "s",
        [
            target("the seat", 0, LEFT),
            target("the back", 0, RIGHT),
            target("the arm", 1, LEFT),
            target("the leg", 1, RIGHT),
            target("the rim", 1, box(20, 0, 24, 4)),
        ],
    )
    said = [
        segment("seat", 0, LEFT),
        segment("A back", 0, box(0, 16, 4, 20)),
        segment("shade", 1, LEFT),
        segment("leg", 0, RIGHT),
        segment("knob", 0, LEFT),
    ]
    assert kinds(to, said) == (list(KINDS), [4])
    fate = anatomy_of(to, answer(to, said)).truths
    assert [f.segment for f in fate] == [0, 1, 2, 3, None]
    assert [f.iou for f in fate] == [1.0, 0.0, 1.0, None, None]


def test_the_right_name_goes_before_the_right_place():
    """A seat drawn elsewhere and a back drawn on it: the seat has the wrong mask, and the back covers nothing."""
    to = sample("s", [target("seat", 0, LEFT)])
    assert kinds(to, [segment("seat", 0, RIGHT), segment("back", 0, LEFT)]) == (["wrong_mask"], [1])
    assert kinds(to, [segment("back", 0, LEFT)]) == (["wrong_name"], [])
    assert kinds(to, [segment("back", 0, LEFT), segment("seat", 1, LEFT)]) == (["wrong_name"], [1])


def test_a_mask_that_is_of_use_where_it_lies_is_not_in_the_wrong_image():
    to = sample("s", [target("leg", 0, LEFT), target("leg", 1, RIGHT)])
    assert kinds(to, [segment("leg", 1, RIGHT)]) == (["missed", "found"], [])
    assert kinds(to, [segment("leg", 1, RIGHT), segment("leg", 1, LEFT)]) == (["wrong_image", "found"], [])


def test_several_masks_of_one_name():
    to = sample("s", [target("leg", 0, LEFT)])
    halves = [segment("leg", 0, box(0, 0, 8, 2)), segment("leg", 0, box(0, 2, 8, 8))]
    assert kinds(to, halves) == (["found"], [0])
    assert kinds(to, [segment("leg", 0, box(0, 0, 8, 2)), segment("leg", 0, box(0, 2, 8, 5))]) == (["wrong_mask"], [0])
    two = sample("s", [target("leg", 0, LEFT), target("leg", 0, RIGHT)])
    assert kinds(two, [segment("leg", 0, RIGHT)]) == (["missed", "found"], [])
    assert kinds(two, [segment("leg", 0, RIGHT), segment("leg", 0, box(0, 16, 4, 20))]) == (["wrong_mask", "found"], [])


def test_half_is_enough_and_just_below_is_not():
    to = sample("s", [target("leg", 0, box(0, 0, 8, 10))])
    assert kinds(to, [segment("leg", 0, box(0, 0, 8, 5))])[0] == ["found"]
    assert kinds(to, [segment("leg", 0, box(0, 0, 7, 5))])[0] == ["wrong_mask"]
    assert kinds(to, [segment("arm", 0, box(0, 0, 8, 5))])[0] == ["wrong_name"]
    assert kinds(to, [segment("arm", 0, box(0, 0, 7, 5))])[0] == ["missed"]


def test_nothing_said_nothing_to_find():
    to = sample("s", [target("leg", 0, LEFT)])
    assert [f.kind for f in anatomy_of(to, None).truths] == ["missed"]
    assert kinds(to, []) == (["missed"], [])
    nothing = sample("s", [])
    assert kinds(nothing, [segment("leg", 0, LEFT), segment("leg", 1, LEFT)]) == ([], [0, 1])
    assert anatomy_of(nothing, None) == ([], [])


def test_empty_names_and_empty_masks():
    to = sample("s", [target("leg", 0, LEFT), target("", 1, RIGHT)])
    assert kinds(to, [segment("", 0, LEFT), segment("", 1, RIGHT)])[0] == ["wrong_name", "wrong_name"]
    empty = box(0, 0, 0, 0)
    assert kinds(to, [segment("leg", 0, empty)])[0] == ["wrong_mask", "missed"]
    assert kinds(sample("s", [target("leg", 0, empty)]), [segment("leg", 0, empty)])[0] == ["wrong_mask"]


def test_whole_objects_of_part_tasks_are_among_themselves():
    to = sample("s", [target("chair", 0, LEFT, "object"), target("leg", 0, RIGHT)])
    said = [segment("chair", 0, LEFT, sentence=OBJECTS), segment("leg", 0, RIGHT, sentence=OBJECTS)]
    found = anatomy_of(to, answer(to, said))
    assert [(f.kind, f.counted) for f in found.truths] == [("found", False), ("missed", True)]
    assert [tuple(m) for m in found.spurious] == [(1, False)]


def test_a_similar_name_will_do_where_it_is_asked_for():
    to = sample("s", [target("leg", 0, LEFT)])

    def like(predicted, true):
        return np.array([[0.5 if p == "foot" else 0.49 for _ in true] for p in predicted]).reshape(
            len(predicted), len(true)
        )

    for name, kind in (("foot", "found"), ("arm", "wrong_name")):
        assert anatomy_of(to, answer(to, [segment(name, 0, LEFT)]), like).truths[0].kind == kind


def test_overlap_goes_before_likeness_and_likeness_before_order():
    like = {"leg": 1.0, "foot": 0.6}

    def likeness(predicted, true):
        return np.array([[like[p] for _ in true] for p in predicted]).reshape(len(predicted), len(true))

    def taken(*said):
        to = sample("s", [target("leg", 0, LEFT)])
        return anatomy_of(to, answer(to, said), likeness).truths[0].segment

    assert taken(segment("leg", 0, box(0, 0, 8, 6)), segment("foot", 0, LEFT)) == 1, "as Recall pairs them"
    assert taken(segment("foot", 0, LEFT), segment("leg", 0, LEFT)) == 1
    assert taken(segment("leg", 0, LEFT), segment("leg", 0, LEFT)) == 0
    assert taken(segment("foot", 1, LEFT), segment("leg", 1, RIGHT)) == 1


# ---- a slow reckoning ------------------------------------------------------------------------------------------------


def slow(to, said):
    """Kinds of all truths and the spurious masks; one pair at a time, the best of all that is left, on pixels."""

    def iou(a, b):
        a, b = a.mask.to_array(), b.mask.to_array()
        return (a & b).sum() / (a | b).sum() if (a | b).any() else 0.0

    def named(a, b):
        return normalise_label(a.phrase) == normalise_label(b.phrase) != ""

    truths, drawn = dict(enumerate(to.targets)), dict(enumerate(said))
    result = {}
    for kind in KINDS[:-1]:
        while True:
            best = None
            for s, mask in drawn.items():
                for t, truth in truths.items():
                    here = mask.image_index == truth.image_index
                    value = iou(mask, truth) if here else 0.0
                    fits = {
                        "found": here and value >= 0.5 and named(mask, truth),
                        "wrong_mask": here and value < 0.5 and named(mask, truth),
                        "wrong_name": here and value >= 0.5,
                        "wrong_image": not here and named(mask, truth),
                    }[kind]
                    rank = (-value, not named(mask, truth), s, t)
                    if fits and (best is None or rank < best[0]):
                        best = rank, s, t
            if best is None:
                break
            del drawn[best[1]]
            del truths[best[2]]
            result[best[2]] = kind
    return [result.get(t, "missed") for t in range(len(to.targets))], sorted(drawn)


def messy(rng, name):
    """A sample and an answer with repeated names, masks in wrong images, and shifted masks."""
    names = ("leg", "arm", "The leg", "seat")
    targets = [
        target(str(rng.choice(names)), int(rng.integers(3)), box(*random_box(rng))) for _ in range(rng.integers(0, 6))
    ]
    said = [
        segment(
            str(rng.choice(names)) if rng.random() < 0.5 else t.phrase,
            t.image_index if rng.random() < 0.7 else int(rng.integers(3)),
            t.mask if rng.random() < 0.5 else box(*random_box(rng)),
        )
        for t in targets
        if rng.random() < 0.85
    ]
    said += [
        segment(str(rng.choice(names)), int(rng.integers(3)), box(*random_box(rng))) for _ in range(rng.integers(0, 3))
    ]
    return sample(name, targets, images=3), said


def test_against_a_slow_reckoning_and_every_mask_once():
    rng = np.random.default_rng(3)
    seen = set()
    for number in range(300):
        to, said = messy(rng, f"s{number}")
        found = anatomy_of(to, answer(to, said))
        assert ([f.kind for f in found.truths], [m.segment for m in found.spurious]) == slow(to, said)
        used = [f.segment for f in found.truths if f.segment is not None]
        assert sorted([*used, *(m.segment for m in found.spurious)]) == list(range(len(said)))
        assert [f.target for f in found.truths] == list(range(len(to.targets)))
        seen |= {f.kind for f in found.truths}
    assert seen == set(KINDS)


def exact(first, second):
    return np.array([[float(a == b != "") for b in second] for a in first]).reshape(len(first), len(second))


def test_found_is_what_recall_counts():
    samples, answers = random_data(11, 60)
    units = align(samples, answers).tasks
    hits = sum(
        tally(own, missing=False, cosine=exact, words=exact)["Recall_nonbreaking"][0]
        for group in units.values()
        for own in group.units
    )
    rows = fates(samples, {a.sample_id: a for a in answers}, Knowledge())
    assert hits == sum(row.kind == "found" and row.counted for row in rows) > 20


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_counts_add_up_in_every_dimension():
    samples, answers = random_data(4, 30)
    answers = answers[:-3]
    rows = fates(samples, {a.sample_id: a for a in answers}, Knowledge(seen=["leg"]))
    truths = sum(len(s.targets) for s in samples)
    drawn = sum(len(a.segments) for a in answers)
    tables = cross_tabulate(rows, samples, resamples=20, seed=0)
    assert set(tables) == {"all", "common_objects", "common_parts", "unique_parts"}
    for dimension in ("all", *BINS):
        cells = tables["all"][dimension]
        assert sum(cell.masks for cell in cells) == truths
        for cell in cells:
            assert sum(share.number for share in cell.kinds.values()) == cell.masks
            if cell.masks:
                assert sum(share.share for share in cell.kinds.values()) == pytest.approx(1.0)
        if dimension != "shown":
            assert sum(cell.predicted for cell in cells) == drawn
            used = sum(c.kinds[k].number for c in cells for k in KINDS[:-1])
            assert sum(cell.spurious.number for cell in cells) == drawn - used
    for task in ("common_objects", "common_parts", "unique_parts"):
        assert tables[task]["all"][0].masks == sum(len(s.targets) for s in samples if s.task == task)


def test_shares_and_intervals_against_drawing_samples_by_hand():
    samples, answers = random_data(8, 12, tasks=("common_parts",))
    rows = fates(samples, {a.sample_id: a for a in answers}, Knowledge())
    cell = cross_tabulate(rows, samples, resamples=50, seed=7)["common_parts"]["all"][0]
    by_sample = {s.id: [r.kind for r in rows if r.sample == s.id and r.kind in KINDS] for s in samples}
    ids = sorted(by_sample)
    drawn = []
    for row in range(50):
        chosen = np.random.default_rng([7, 1, row]).integers(len(ids), size=len(ids))
        pooled = [kind for k in chosen for kind in by_sample[ids[k]]]
        drawn.append(pooled.count("found") / len(pooled))
    assert cell.kinds["found"].interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    everything = [kind for own in by_sample.values() for kind in own]
    assert cell.kinds["found"].share == everything.count("found") / len(everything)


def test_a_single_sample_has_no_interval():
    to = sample("s", [target("leg", 0, LEFT)])
    tables = cross_tabulate(fates([to], {"s": perfect(to)}, Knowledge()), [to], resamples=10, seed=0)
    assert tables["all"]["all"][0].kinds["found"] == (1, 1.0, None)


def test_objects_named_first_stand_apart():
    to = sample("s", [target("chair", 0, LEFT, "object"), target("leg", 0, RIGHT)])
    rows = fates([to], {"s": answer(to, [segment("chair", 0, LEFT, sentence=OBJECTS)])}, Knowledge())
    assert cross_tabulate(rows, [to], resamples=2, seed=0)["all"]["all"][0].masks == 1
    cell = named_first(rows, [to], resamples=2, seed=0)
    assert (cell.masks, cell.kinds["found"].number, cell.predicted) == (1, 1, 1)
    plain = sample("s", [target("leg", 0, RIGHT)])
    assert named_first(fates([plain], {}, Knowledge()), [plain], resamples=2, seed=0) is None


# ---- what is known of a mask -----------------------------------------------------------------------------------------


def test_sizes_fall_into_their_bins():
    def size(mask):
        to = sample("s", [target("leg", 0, mask)])
        return Knowledge().of_target(to, to.targets[0]).bins()["size"]

    assert [size(box(0, 0, *c)) for c in ((0, 0), (1, 1), (2, 2), (4, 3), (6, 6), (6, 8), (24, 20))] == [
        "under 0.3 %", "under 0.3 %", "0.3 to 1 %", "1 to 3 %", "3 to 10 %", "10 % and more", "10 % and more",
    ]  # fmt: skip


def test_how_much_shows_is_summed_over_instances():
    to = sample("s", [target("a leg", 0, LEFT), target("chair", 1, LEFT, "object")])
    to = to.model_copy(update={"categories": ("Stool", "chair")})
    areas = {("stool", "leg"): (30, 60), ("stool", None): (90, 90), ("chair", None): (99, 100)}
    known = Knowledge({os.path.realpath(i.path): areas for i in to.images})
    leg, chair = (known.of_target(to, t) for t in to.targets)
    assert (leg.visible, leg.category, leg.bins()["shown"]) == (0.5, "stool", "50 to 75 %")
    assert (chair.visible, chair.bins()["shown"]) == (0.99, "95 % and more")
    unknown = Knowledge().of_target(to, to.targets[0])
    assert (unknown.visible, unknown.seen) == (None, None)
    assert unknown.bins()["shown"] == unknown.bins()["category"] == NOT_KNOWN


def test_an_occlusion_file_is_read_by_name_and_summed(tmp_path):
    legs = [VisibleArea(category="Stool", part=p, visible=v, alone=20) for p, v in (("leg_(x)", 5), ("Leg", 10))]
    row = PictureOcclusion(path="a/b.jpg", areas=(*legs, VisibleArea(category="stool", visible=30, alone=40)))
    write_records(tmp_path / "o.jsonl", [row])
    known = read_occlusion(tmp_path / "o.jsonl")
    assert known == {os.path.realpath(tmp_path / "a/b.jpg"): {("stool", "leg"): (15, 40), ("stool", None): (30, 40)}}


def test_seen_and_unseen():
    known = Knowledge(seen=["The Chair"])
    parts = sample("s", [target("leg", 0, LEFT), target("leg", 1, LEFT)])
    parts = parts.model_copy(update={"categories": ("chair", "stool")})
    assert [known.of_target(parts, t).seen for t in parts.targets] == [True, False]
    assert known.of_segment(parts, segment("chair", 1, LEFT)).seen is False, "a part: its picture decides"
    assert known.of_segment(parts, segment("chair", 1, LEFT, sentence=OBJECTS)).seen is True
    lone = parts.model_copy(update={"categories": ("chair",)})
    assert known.of_target(lone, lone.targets[1]).seen is True
    vague = parts.model_copy(update={"categories": ("chair", "stool", "bed")})
    assert known.of_target(vague, vague.targets[0]).seen is None
    objects = sample("s", [target("chair", 0, LEFT, "object"), target("bed", 1, LEFT, "object")], "common_objects")
    objects = objects.model_copy(update={"categories": ("bed", "chair")})
    assert [known.of_target(objects, t).seen for t in objects.targets] == [True, False]
