"""What the image towers made of pictures, kept while a file of questions is answered: pairs share their pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.processing import LlavaCorrProcessor
from ..records import Dialogue
from .pictures import Picture

ROOM = 2**30  # bytes: some 1,600 pictures of the tiny twins, some 150 at full size


class TowerMemo:
    """Features by picture, those asked for longest ago forgotten first.

    Args:
        model, processor: whose towers look.
        room: bytes of features that are kept, in the machine's memory; a batch has its own in any case.
    """

    def __init__(
        self, model: LlavaCorrForConditionalGeneration, processor: LlavaCorrProcessor, room: int = ROOM
    ) -> None:
        self.model, self.processor, self.room = model, processor, room
        self._known: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._bytes = 0

    @torch.no_grad()
    def of(self, dialogues: Sequence[Dialogue], pictures: Mapping[str, Picture]) -> dict[str, dict[str, Tensor]]:
        """Features of all pictures of the dialogues, each as the processor takes it; new ones are looked at together.

        Args:
            pictures: key -> H x W x 3 uint8; a key must name the same picture in every call.
        """
        keys = list(dict.fromkeys(key for dialogue in dialogues for key in dialogue.image_keys))
        new = [key for key in keys if key not in self._known]
        found = {key: self._known[key] for key in keys if key in self._known} | self._look(new, pictures)
        for key in keys:
            self._keep(key, found[key])
        return found

    def _look(self, keys: Sequence[str], pictures: Mapping[str, Picture]) -> dict[str, dict[str, Tensor]]:
        if not keys:
            return {}
        pixels = self.processor.pixels([pictures[key] for key in keys])
        seen = self.model.features(**{name: values.to(self.model.device) for name, values in pixels.items()})
        seen = {name: values.cpu() for name, values in seen.items()} | {"grounding_sizes": pixels["grounding_sizes"]}
        return {key: {name: values[row].clone() for name, values in seen.items()} for row, key in enumerate(keys)}

    def _keep(self, key: str, features: dict[str, Tensor]) -> None:
        if key not in self._known:
            self._bytes += _size(features)
        self._known[key] = features
        self._known.move_to_end(key)
        while self._bytes > self.room:
            self._bytes -= _size(self._known.popitem(last=False)[1])


def _size(features: Mapping[str, Tensor]) -> int:
    return sum(values.nbytes for values in features.values())
