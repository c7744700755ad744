"""``import llava_corr.auto`` registers the model, its configuration and its processor with the Auto classes."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoProcessor

from .models.configuration import LlavaCorrConfig
from .models.modeling import LlavaCorrForConditionalGeneration
from .models.processing import LlavaCorrProcessor

AutoConfig.register("llava_corr", LlavaCorrConfig, exist_ok=True)
AutoModel.register(LlavaCorrConfig, LlavaCorrForConditionalGeneration, exist_ok=True)
AutoProcessor.register(LlavaCorrConfig, LlavaCorrProcessor, exist_ok=True)
