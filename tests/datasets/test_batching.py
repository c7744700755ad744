"""The order of training samples: a permutation, the same for the same (seed, epoch), with shared pictures together."""

from hypothesis import given
from hypothesis import strategies as st

from llava_corr.datasets.batching import PictureSharingSampler
from llava_corr.records import ImageRef, Sample, Turn


def samples_of(pairs):
    return [
        Sample(id=str(k), split="train", source="toy", task="common_objects", turns=(Turn(user="q", assistant="a"),),
               images=tuple(ImageRef(path=str(p), height=1, width=1) for p in pair))
        for k, pair in enumerate(pairs)
    ]  # fmt: skip


PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40)


@given(PAIRS, st.integers(1, 6), st.integers(0, 3))
def test_every_sample_once_and_reproducible(pairs, group, epoch):
    first, second = (PictureSharingSampler(samples_of(pairs), group, seed=7) for _ in range(2))
    first.set_epoch(epoch)
    second.set_epoch(epoch)
    order = list(first)
    assert sorted(order) == list(range(len(pairs)))
    assert order == list(second)
    assert len(first) == len(pairs)


@given(PAIRS, st.integers(2, 6))
def test_members_of_a_group_share_pictures(pairs, group):
    sampler = PictureSharingSampler(samples_of(pairs), group, seed=0)
    for members in sampler._groups(list(range(len(pairs))), sampler.pictures):
        assert len(members) <= group
        seen = set(pairs[members[0]])
        for member in members[1:]:
            assert seen & set(pairs[member])
            seen |= set(pairs[member])


def test_fewer_pictures_per_batch():
    pairs = [(a, b) for a in range(30) for b in range(a)]

    def pictures(group):
        order = list(PictureSharingSampler(samples_of(pairs), group, seed=1))
        batches = [order[i : i + 16] for i in range(0, len(order), 16)]
        return sum(len({p for i in batch for p in pairs[i]}) for batch in batches)

    assert pictures(4) < 0.75 * pictures(1)


def test_epochs_differ():
    sampler = PictureSharingSampler(samples_of([(k, k + 1) for k in range(30)]), 1, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
