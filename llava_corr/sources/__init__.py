"""Readers: one public annotation format per file, all yielding :class:`llava_corr.records.AnnotatedImage`.

A reader is a function ``read(root, split, *, findings, ...)``; ``SOURCES.load(name)`` imports it on first use. To add a
source, write one file and one line here.
"""

from __future__ import annotations

from ..registry import Registry

SOURCES = Registry(
    "source",
    {
        "ade20k_part_234": "llava_corr.sources.ade20k_part_234:read",
        "grand": "llava_corr.sources.grand:read",
        "jsonl": "llava_corr.sources.jsonl:read",
        "paco_lvis": "llava_corr.sources.paco_lvis:read",
        "partimagenet": "llava_corr.sources.partimagenet:read",
    },
)
