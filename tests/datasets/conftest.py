"""Fixtures of the data set tests: random images of the three sources, and pools of them."""

from __future__ import annotations

import numpy as np
import pytest
from random_annotations import KINDS, random_image

from llava_corr.datasets.mixedparts.classes import comparable_classes
from llava_corr.datasets.mixedparts.pool import Pool
from llava_corr.datasets.mixedparts.views import view_images
from llava_corr.errors import Findings
from llava_corr.records import AnnotatedImage


@pytest.fixture(scope="session")
def annotated():
    """``annotated(split, count, seed)``: ``count`` random images of each source."""

    def make(split: str = "train", count: int = 250, seed: int = 0) -> dict[str, list[AnnotatedImage]]:
        rng = np.random.default_rng([seed, count, len(split)])
        return {source: [random_image(source, split, k, rng) for k in range(count)] for source in KINDS}

    return make


@pytest.fixture(scope="session")
def pools_of():
    """``pools_of(images by source)``: one pool per source."""

    def make(images: dict[str, list[AnnotatedImage]], split: str = "train") -> list[Pool]:
        return [Pool(s, split, view_images(found, Findings()), comparable_classes(s)) for s, found in images.items()]

    return make
