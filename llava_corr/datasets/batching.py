"""The order of training samples: shuffled, or shuffled in small groups that share pictures.

Pictures that dialogues of a batch share pass the towers once. Where the towers are trained, they are most of the cost
of a step, so groups of dialogues about the same few pictures buy more dialogues per second. Within an optimiser step
order changes no sum: dialogues with equally many pictures, which are about equally long, may lie side by side there.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice

import numpy as np
from torch.utils.data import Sampler

from ..record_files import image_paths
from ..records import Sample


class PictureSharingSampler(Sampler[int]):
    """Every sample once per epoch, in groups of up to ``group`` whose members share pictures.

    Args:
        samples: the training samples.
        group: dialogues per group; 1 is a plain shuffle.
        seed: the order depends on (seed, epoch) only.
    """

    def __init__(self, samples: Sequence[Sample], group: int, seed: int) -> None:
        self.count, self.group, self.seed, self.epoch = len(samples), group, seed, 0
        self.pictures = _Pictures(image_paths(samples)) if group > 1 else None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = [int(i) for i in rng.permutation(self.count)]
        if self.pictures is None:
            return iter(order)
        groups = self._groups(order, self.pictures)
        return (index for g in rng.permutation(len(groups)) for index in groups[g])

    def _groups(self, order: Sequence[int], pictures: _Pictures) -> list[list[int]]:
        """Greedy: a group grows by the unused sample that brings the fewest new pictures, earliest in ``order``."""
        rank = {index: r for r, index in enumerate(order)}
        showing: dict[int, set[int]] = defaultdict(set)
        for index in order:
            for picture in pictures[index]:
                showing[picture].add(index)
        unused = set(order)
        groups: list[list[int]] = []
        for start in order:
            if start not in unused:
                continue
            members: list[int] = []
            seen: set[int] = set()
            chosen: int | None = start
            while chosen is not None:
                members.append(chosen)
                seen |= pictures[chosen]
                unused.discard(chosen)
                for picture in pictures[chosen]:
                    showing[picture].discard(chosen)
                near = set().union(*(showing[picture] for picture in seen)) if len(members) < self.group else set()
                ranked = ((len(pictures[i] - seen), rank[i], i) for i in near)
                chosen = min(ranked, default=(0, 0, None))[2]
            groups.append(members)
        return groups


class _Pictures:
    """Which pictures each sample shows, as numbers: four bytes a picture."""

    def __init__(self, paths: Iterable[Sequence[str]]) -> None:
        numbers: dict[str, int] = {}
        self._shown, self._ends = array("i"), array("q", [0])
        for row in paths:
            self._shown.extend(numbers.setdefault(path, len(numbers)) for path in row)
            self._ends.append(len(self._shown))

    def __getitem__(self, index: int) -> frozenset[int]:
        return frozenset(self._shown[self._ends[index] : self._ends[index + 1]])


class SampleStream(Sampler[int]):
    """The samples of a whole run: epoch after epoch in one row, without a short batch where an epoch ends.

    Step s of a run takes samples s x G to (s + 1) x G, G being the dialogues of an optimiser step, however they are
    spread over ranks and micro-batches; so a run that is continued at step s skips s x G of them.

    Args:
        epochs: the order of one epoch; its epoch is set here.
        total: samples of the run.
        step: G; each G in turn are put in order of ``lengths``, so that micro-batches have little padding; the longest
            come first, so that a run that needs too much memory ends at once.
        lengths: of every sample, in any unit; None leaves the order alone.
    """

    def __init__(
        self, epochs: PictureSharingSampler, total: int, *, step: int = 1, lengths: Sequence[int] | None = None
    ) -> None:
        self.epochs, self.total, self.step, self.lengths = epochs, total, step, lengths

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        stream = islice(self._endless(), self.total)
        return stream if self.lengths is None else self._by_length(stream, self.lengths)

    def _by_length(self, stream: Iterator[int], lengths: Sequence[int]) -> Iterator[int]:
        while step := list(islice(stream, self.step)):
            yield from sorted(step, key=lambda index: -lengths[index])

    def _endless(self) -> Iterator[int]:
        for epoch in count():
            self.epochs.set_epoch(epoch)
            yield from self.epochs
