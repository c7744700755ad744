"""Makes MixedParts samples: sample ``i`` depends on the seed, the split and ``i`` only, not on how many are made.

builder = Builder(pools, MixedPartsSpec(), split="train", seed=0)
write_samples("train.jsonl", builder.samples(10_000))
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ...errors import Findings, SampleError
from ...grammar import build_question
from ...records import Sample, Turn
from .answers import compose
from .pairing import Choice, choose
from .phrasings import SPLITS, questions
from .pool import Pool
from .spec import Cell, MixedPartsSpec, Schedule

logger = logging.getLogger(__name__)


class Builder:
    """Assembles samples from pools of one split.

    Attributes:
        refused: reason (``pairing.REFUSALS``, or ``class_given_up``) -> number of refused draws.
        findings: samples that are not what the schedule asked for (``relaxed_none``, ``relaxed_images``) or could not
            be made at all (``unfilled``), each with its id.
    """

    def __init__(self, pools: Sequence[Pool], spec: MixedPartsSpec, split: str, seed: int) -> None:
        self.pools = {pool.source: pool for pool in pools}
        self.spec, self.split, self.seed = spec, split, seed
        self.schedule = Schedule(spec, sorted(self.pools), seed, split)
        self.refused: Counter[str] = Counter()
        self.findings = Findings()

    def samples(self, count: int) -> Iterator[Sample]:
        """The first ``count`` samples that can be made, in the order of their indices.

        Raises:
            SampleError: more than every second index stays without a sample.
        """
        made = 0
        index = 0
        while made < count:
            sample = self.sample(index)
            index += 1
            if sample is not None:
                made += 1
                yield sample
            elif index > 2 * made + 100:
                raise SampleError(
                    f"only {made} of {count} samples could be made from {index} indices; refused: {dict(self.refused)}",
                    where=f"split {self.split}",
                    mend=(f"ask for {made} (--count {made}), " if made else "")
                    + "add images, or allow more in the spec (max_targets, margin, task_shares)",
                )
        logger.info("%d samples; refused draws: %s; %s", made, dict(self.refused), self.findings.summary())

    def sample(self, index: int) -> Sample | None:
        """Sample ``index``, or None when no choice of images was accepted for its cell (counted as ``unfilled``)."""
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        name = f"mixedparts-{self.split}-{self.seed}-{index:07d}"
        wanted = self.schedule.cell(index)
        for cell in _easier_cells(wanted):
            choice = self._choice(cell, rng)
            if choice is not None:
                if cell.none != wanted.none:
                    self.findings.add("relaxed_none", name, f"{wanted}")
                if cell.images != wanted.images:
                    self.findings.add("relaxed_images", name, f"{wanted}")
                return self._assemble(name, cell, choice, rng)
        self.findings.add("unfilled", name, f"{wanted}")
        return None

    def _choice(self, cell: Cell, rng: np.random.Generator) -> Choice | None:
        pool = self.pools[cell.source]
        about_parts = cell.task != "common_objects"
        frequencies = pool.part_frequencies if about_parts else pool.frequencies
        if not frequencies.names:
            self.refused["too_few_images"] += 1
            return None
        for _ in range(self.spec.class_draws):
            anchor = frequencies.draw(rng)
            cross = about_parts and rng.random() < self.spec.cross_class_share and pool.has_partners(anchor)
            for _ in range(self.spec.image_draws):
                choice = choose(pool, cell, anchor, cross, self.spec, rng)
                if not isinstance(choice, str):
                    return choice
                self.refused[choice] += 1
            self.refused["class_given_up"] += 1
        return None

    def _assemble(self, name: str, cell: Cell, choice: Choice, rng: np.random.Generator) -> Sample:
        asked = questions(cell.task, self.split)
        question = build_question(cell.images, asked[int(rng.random() * len(asked))])
        answer, targets = compose(cell.task, choice.views, choice.classes, choice.mentions, rng)
        shared = cell.task == "common_objects" and not cell.none
        return Sample(
            id=name,
            split=self.split,
            source=cell.source,
            task=cell.task,
            images=tuple(view.ref for view in choice.views),
            turns=(Turn(user=question, assistant=answer),),
            targets=targets,
            categories=tuple(m.name for m in choice.mentions) if shared else tuple(choice.classes),
        )


def _easier_cells(wanted: Cell) -> list[Cell]:
    """The cell itself, then without "nothing", then with two images: source and task are never given up."""
    cells = [wanted, wanted._replace(none=False), wanted._replace(none=False, images=2)]
    return list(dict.fromkeys(cells))
