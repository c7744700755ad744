"""``import llava_corr.auto`` makes the model and its processor known to the Auto classes (the configuration is)."""

from __future__ import annotations

from transformers import AutoModel, AutoProcessor

from .models.configuration import LlavaCorrConfig
from .models.modeling import LlavaCorrForConditionalGeneration
from .models.processing import LlavaCorrProcessor

AutoModel.register(LlavaCorrConfig, LlavaCorrForConditionalGeneration, exist_ok=True)
AutoProcessor.register(LlavaCorrConfig, LlavaCorrProcessor, exist_ok=True)
