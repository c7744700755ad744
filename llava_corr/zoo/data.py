"""What the stages read: pictures with labels, and what is told of each picture."""

from __future__ import annotations

import logging
from itertools import chain
from pathlib import Path

from ..datasets.alignment.build import Builder as AlignmentBuilder
from ..datasets.alignment.command import load_subjects
from ..datasets.mixedparts.build import Builder
from ..datasets.mixedparts.command import load_pools, read_images, source_roots
from ..datasets.mixedparts.spec import MixedPartsSpec
from ..datasets.mixedparts.views import view_images
from ..errors import Findings
from .pictures import open_pictures, write_pictures
from .recipe import ZooRecipe
from .words import Told, told

logger = logging.getLogger(__name__)


def make_pictures(recipe: ZooRecipe, out: Path) -> dict[str, float]:
    """Arrays of the world's training and validation pictures; returns how many."""
    counts: dict[str, float] = {}
    names = None
    for split in ("train", "val"):
        findings = Findings()
        views = [
            view
            for name, root in source_roots([], str(out / "world")).items()
            for view in view_images(read_images(name, root, split, findings, without_test=False), findings)
        ]
        folder = out / "pictures" / split
        unknown = write_pictures(folder, views, {"world": recipe.world.model_dump(), "split": split}, names)
        names = open_pictures(folder).names  # a label means the same in both
        logger.info(
            "%s: %d pictures; names not in training: %s; %s", split, len(views), len(unknown), findings.summary()
        )
        counts[split] = float(len(views))
    return counts


def dialogues_in_words(recipe: ZooRecipe, out: Path, split: str, count: int, captions: int = 0) -> list[Told]:
    """Dialogues with captions in the place of pictures.

    Args:
        count: of MixedParts dialogues.
        captions: of dialogues of the alignment stage, behind them.
    """
    findings = Findings()
    subjects, pools = [], []
    for name, root in source_roots([], str(out / "world")).items():
        subjects += load_subjects(name, root, split, findings)
        pools += load_pools(name, root, split, findings)
    told_of = {subject.ref.path: subject.captions for subject in subjects}
    mixed = Builder(pools, MixedPartsSpec(), split, recipe.seed).samples(count)
    single = AlignmentBuilder(subjects, split, recipe.seed).samples(captions)
    return list(told(chain(mixed, single), told_of, recipe.seed))
