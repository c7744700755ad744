"""What is common and what is unique, decided by what is visible in the given images, never by class lists.

Evidence that the paper does it this way: its own figures list a knife's handle as unique although scissors have a
handle too (facts, 7.5 point 5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from .views import ImageView


def shared_classes(views: Sequence[ImageView]) -> list[str]:
    """Classes visible in every image, in alphabetical order."""
    return sorted(set.intersection(*(set(view.classes) for view in views)))


def common_parts(part_names: Sequence[frozenset[str]]) -> list[str]:
    """Part names visible in every image, in alphabetical order."""
    return sorted(frozenset.intersection(*part_names))


def unique_parts(part_names: Sequence[frozenset[str]]) -> list[list[str]]:
    """Per image, the part names visible in that image only, in alphabetical order."""
    counts = Counter(name for names in part_names for name in names)
    return [sorted(name for name in names if counts[name] == 1) for names in part_names]


def is_clear_choice(
    views: Sequence[ImageView], classes: Sequence[str], kin: Mapping[str, frozenset[str]], margin: float
) -> bool:
    """Whether ``classes``, one per image, are what a viewer would compare in these images.

    The question does not name the objects. A choice of mutually comparable classes, one per image, weighs the
    geometric mean of the shares of the image that they cover. The choice is clear when every other choice weighs
    less than ``margin`` times as much; classes without annotated parts compete too, because a viewer sees them.

    Args:
        kin: class -> classes it may be compared with, itself included; other classes are never compared.
        margin: in (0, 1]; smaller is stricter.
    """
    chosen = [view.classes[name].share for view, name in zip(views, classes, strict=True)]
    bar = prod(chosen) * margin ** len(views)
    shares = [{n: c.share for n, c in view.classes.items() if n in kin} for view in views]
    ceiling = [1.0] * (len(views) + 1)  # the most that images k, k+1, ... can still contribute
    for k in reversed(range(len(views))):
        ceiling[k] = ceiling[k + 1] * max(shares[k].values())

    def rival(k: int, weight: float, allowed: frozenset[str] | None, differs: bool) -> bool:
        if k == len(views):
            return differs
        for name, share in shares[k].items():
            if (allowed is None or name in allowed) and weight * share * ceiling[k + 1] >= bar:
                rest = kin[name] if allowed is None else allowed & kin[name]
                if rival(k + 1, weight * share, rest, differs or name != classes[k]):
                    return True
        return False

    return not rival(0, 1.0, None, False)
