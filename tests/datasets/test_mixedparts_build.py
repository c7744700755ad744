"""Samples against an independent recount from the annotations: decoded arrays and plain sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product
from statistics import geometric_mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.datasets.doctor import examine
from llava_corr.datasets.mixedparts import phrasings
from llava_corr.datasets.mixedparts.build import Builder
from llava_corr.datasets.mixedparts.classes import SOURCES, class_parts, comparable_pairs
from llava_corr.datasets.mixedparts.pool import Pool
from llava_corr.datasets.mixedparts.spec import Cell, MixedPartsSpec, Schedule
from llava_corr.datasets.mixedparts.views import view_images
from llava_corr.errors import ConfigError, Findings, SampleError
from llava_corr.grammar import names_parts, parse_answer
from llava_corr.record_files import write_samples

SPEC = MixedPartsSpec(none_share=0.15, set_share=0.25, cross_class_share=0.6)
COUNT = 2500


@pytest.fixture(scope="module")
def images(annotated):
    return annotated("train", 250)


@pytest.fixture(scope="module")
def builder(images, pools_of):
    return Builder(pools_of(images), SPEC, "train", 0)


@pytest.fixture(scope="module")
def samples(builder):
    return list(builder.samples(COUNT))


class Recount:
    """What is in one image, from decoded arrays."""

    def __init__(self, image):
        self.objects = defaultdict(lambda: np.zeros((image.height, image.width), bool))
        self.parts = defaultdict(lambda: np.zeros((image.height, image.width), bool))
        for item in image.objects:
            self.objects[item.category] |= item.mask.to_array()
            for part in item.parts:
                self.parts[item.category, part.name] |= part.mask.to_array()
        self.objects = {k: v for k, v in self.objects.items() if v.any()}
        self.parts = {k: v for k, v in self.parts.items() if v.any()}

    def part_names(self, category):
        return {part for owner, part in self.parts if owner == category}


@pytest.fixture(scope="module")
def recounts(images):
    return {image.path: Recount(image) for found in images.values() for image in found}


def expected_truth(sample, seen):
    """Set of (role, phrase, image) -> array that the sample has to hold, from scratch."""
    if sample.task == "common_objects":
        shared = set.intersection(*(set(view.objects) for view in seen))
        return {("object", name, k): view.objects[name] for k, view in enumerate(seen) for name in shared}
    truth = {("object", c, k): view.objects[c] for k, (c, view) in enumerate(zip(sample.categories, seen, strict=True))}
    names = [view.part_names(c) for c, view in zip(sample.categories, seen, strict=True)]
    for k, (category, view) in enumerate(zip(sample.categories, seen, strict=True)):
        others = [n for j, n in enumerate(names) if j != k]
        if sample.task == "common_parts":
            role, wanted = "common", names[k].intersection(*others)
        else:
            role, wanted = "unique", names[k].difference(*others)
        truth |= {(role, name, k): view.parts[category, name] for name in wanted}
    return truth


def test_truth_of_every_sample(samples, recounts):
    assert len(samples) == COUNT
    for sample in samples:
        truth = expected_truth(sample, [recounts[image.path] for image in sample.images])
        assert {(t.role, t.phrase, t.image_index) for t in sample.targets} == set(truth), sample.id
        assert len(sample.targets) == len(truth)
        for target in sample.targets:
            assert (target.mask.to_array() == truth[target.role, target.phrase, target.image_index]).all()


def test_text_of_every_sample(samples):
    for sample in samples:
        (turn,) = sample.turns
        answer = parse_answer(turn.assistant, len(sample.images))
        assert not answer.trail, turn.assistant
        assert answer.seg_count == len(answer.segments) == len(sample.targets)
        for segment, target in zip(answer.segments, sample.targets, strict=True):
            assert (segment.phrase, segment.image_index) == (f"the {target.phrase}", target.image_index)
            assert names_parts(segment.sentence) == (target.role != "object")
        assert any(turn.user.endswith(question) for question in phrasings.QUESTIONS[sample.task])
        assert turn.user.count("<image>") == len(sample.images) == len({image.path for image in sample.images})


def test_compared_objects_are_the_clear_choice(samples, recounts):
    kin = {source: {frozenset(p) for p in comparable_pairs(source)} for source in SOURCES}
    checked = 0
    for sample in samples:
        if sample.task == "common_objects":
            continue
        seen = [recounts[image.path] for image in sample.images]
        pairs = kin[sample.source]

        def fits(choice, pairs=pairs):
            return all(a == b or frozenset((a, b)) in pairs for a in choice for b in choice)

        def weight(choice, seen=seen):
            return geometric_mean([view.objects[c].mean() for c, view in zip(choice, seen, strict=True)])

        assert fits(sample.categories)
        assert all(view.part_names(c) for c, view in zip(sample.categories, seen, strict=True))
        known = class_parts(sample.source)
        options = product(*([c for c in view.objects if c in known] for view in seen))
        rivals = [weight(choice) for choice in options if fits(choice) and choice != sample.categories]
        assert max(rivals, default=0) < SPEC.margin * weight(sample.categories) * (1 + 1e-9)
        checked += bool(rivals)
    assert checked > 100


def test_shares(samples, builder):
    sources = Counter(sample.source for sample in samples)
    assert max(sources.values()) - min(sources.values()) <= 10
    tasks = Counter(sample.task for sample in samples)
    assert tasks["common_objects"] == pytest.approx(COUNT / 2, abs=10)
    assert tasks["common_parts"] == pytest.approx(COUNT / 4, abs=10)
    sizes = Counter(len(sample.images) for sample in samples)
    relaxed = builder.findings.counts()
    assert sizes[2] / COUNT == pytest.approx(0.75, abs=0.02 + relaxed.get("relaxed_images", 0) / COUNT)
    assert sizes[3] > sizes[4] > sizes[5] > 20
    nothing = sum(
        all(t.role == "object" for t in s.targets) and (s.task != "common_objects" or not s.targets) for s in samples
    )
    assert nothing / COUNT == pytest.approx(0.15, abs=0.01 + relaxed.get("relaxed_none", 0) / COUNT)
    parts = [s for s in samples if s.task != "common_objects"]
    assert {len(set(s.categories)) for s in parts} == {1, 2}
    for task in ("common_parts", "unique_parts"):
        empty = [s for s in parts if s.task == task and all(t.role == "object" for t in s.targets)]
        assert len(empty) > 20
    assert set(builder.refused) >= {"ambiguous_objects", "nothing_found"}


def test_class_frequencies_are_those_of_the_source(images, pools_of):
    spec = MixedPartsSpec(cross_class_share=0, none_share=0, set_share=0, task_shares={"common_parts": 1}, margin=1)
    pools = pools_of({"partimagenet": images["partimagenet"]})
    made = list(Builder(pools, spec, "train", 1).samples(1500))
    got = Counter(sample.categories[0] for sample in made)
    held = Counter(
        i.objects[0].category for i in images["partimagenet"] if any(p.mask.area for p in i.objects[0].parts)
    )
    for name, count in held.items():
        assert got[name] / 1500 == pytest.approx(count / held.total(), abs=0.05)


def test_samples_depend_on_seed_split_and_index_only(images, pools_of, samples, builder):
    again = Builder(pools_of({s: found[::-1] for s, found in images.items()}), SPEC, "train", 0)
    by_id = {sample.id: sample for sample in samples}
    for index in (700, 3, 1999, 0):
        sample = again.sample(index)
        assert sample == by_id[sample.id]
    assert list(again.samples(50)) == samples[:50]
    other = [s.model_dump(exclude={"id"}) for s in Builder(pools_of(images), SPEC, "train", 1).samples(50)]
    assert sum(a == s.model_dump(exclude={"id"}) for a, s in zip(other, samples, strict=False)) < 5


def test_test_split_asks_held_out_questions_and_shares_no_image(annotated, pools_of, samples, tmp_path):
    made = list(Builder(pools_of(annotated("test", 60, 1), "test"), SPEC, "test", 0).samples(300))
    assert all(s.turns[0].user.endswith(phrasings.HELD_OUT_QUESTIONS[s.task]) for s in made)
    write_samples(tmp_path / "train.jsonl", samples)
    write_samples(tmp_path / "test.jsonl", made)
    assert examine([tmp_path / "train.jsonl", tmp_path / "test.jsonl"]).faults == []


def test_limit_refuses_instead_of_cutting(images, pools_of):
    limited = Builder(pools_of(images), MixedPartsSpec(max_targets=4, set_share=0), "train", 0)
    made = list(limited.samples(400))
    assert max(len(sample.targets) for sample in made) == 4
    assert limited.refused["too_many_targets"] > 0


def test_what_cannot_be_made_is_an_error_with_the_reasons(annotated, pools_of):
    images = annotated("train", 2, 5)
    pools = pools_of({"partimagenet": images["partimagenet"]})
    spec = MixedPartsSpec(max_targets=1, none_share=0)
    with pytest.raises(SampleError, match=r"too_many_targets|too_few_images"):
        list(Builder(pools, spec, "train", 0).samples(10))
    with pytest.raises(SampleError, match="a pair needs two"):
        Pool("partimagenet", "train", [], {})


def test_relaxed_cells_are_listed(images, pools_of):
    """Cats always show a head here, so no pair of them has nothing in common."""
    cats = [i for i in images["partimagenet"] if i.objects[0].category == "cat"]
    cats = [i for i in cats if any(p.name == "head" and p.mask.area for p in i.objects[0].parts)]
    spec = MixedPartsSpec(none_share=1, set_share=0, task_shares={"common_parts": 1})
    made = Builder(pools_of({"partimagenet": cats}), spec, "train", 0)
    assert len(list(made.samples(10))) == 10
    assert made.findings.counts() == {"relaxed_none": 10}


def test_bad_images_are_counted(images):
    good = images["paco_lvis"][0]
    small = good.model_copy(update={"image_id": "small", "path": "small", "height": 19})
    bare = good.model_copy(update={"image_id": "bare", "path": "bare", "objects": ()})
    findings = Findings()
    assert len(view_images([good, small, bare, good], findings)) == 1
    kinds = findings.counts()
    assert (kinds["mask_of_another_size"], kinds["image_without_objects"], kinds["duplicate_image"]) == (1, 1, 1)


def test_names_become_words_and_every_change_is_listed(images):
    found = next(i for i in images["partimagenet"] if any(o.parts for o in i.objects))
    item = next(o for o in found.objects if o.parts)
    part = item.parts[0]
    odd = item.model_copy(
        update={
            "category": "Coffee_Table",
            "parts": (part.model_copy(update={"name": "Left_<p>Leg"}), part.model_copy(update={"name": "[]"})),
        }
    )
    findings = Findings()
    (view,) = view_images([found.model_copy(update={"objects": (odd,)})], findings)
    assert list(view.classes) == ["coffee table"]
    assert list(view.classes["coffee table"].parts) == ["left p leg"]
    assert findings.counts() == {"renamed": 2, "unspeakable_name": 1}
    assert "'Coffee_Table' is 'coffee table'" in findings.to_json()[0]["detail"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1), st.lists(st.floats(0.1, 5), min_size=3, max_size=3))
def test_schedule_keeps_any_shares(seed, none_share, set_share, weights):
    tasks = ("common_objects", "common_parts", "unique_parts")
    spec = MixedPartsSpec(
        none_share=none_share, set_share=set_share, task_shares=dict(zip(tasks, weights, strict=True))
    )
    schedule = Schedule(spec, ["a", "b"], seed, "val")
    cells = [schedule.cell(k) for k in range(1000)]
    assert all(isinstance(cell, Cell) for cell in cells)
    assert Counter(c.source for c in cells)["a"] == pytest.approx(500, abs=8)
    for task, weight in zip(tasks, weights, strict=True):
        share = sum(c.task == task for c in cells)
        assert share == pytest.approx(1000 * weight / sum(weights), abs=16)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"none_share": 1.5}, "none_share is 1.5"),
        ({"margin": 0}, "margin is 0"),
        ({"max_targets": 0}, "max_targets is 0"),
        ({"task_shares": {"common_part": 1}}, "did you mean 'common_parts'"),
        ({"task_shares": {}}, "task_shares needs weights"),
        ({"source_shares": {"a": -1}}, "source_shares needs weights"),
        ({"set_sizes": {2: 1}}, "set_sizes are numbers of images from 3 on"),
    ],
)
def test_unusable_specs_are_refused(values, fault):
    with pytest.raises(ConfigError, match=fault):
        MixedPartsSpec(**values)


def test_spec_from_json(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text('{"set_sizes": {"4": 1}, "none_share": 0}')
    assert MixedPartsSpec.from_json(path) == MixedPartsSpec(set_sizes={4: 1}, none_share=0)
    path.write_text('{"nome_share": 0}')
    with pytest.raises(ConfigError, match="did you mean 'none_share'"):
        MixedPartsSpec.from_json(path)
    with pytest.raises(ConfigError, match="not given: b"):
        Schedule(MixedPartsSpec(source_shares={"b": 1}), ["a"], 0, "train")
