"""Which attention each part of the model runs: what the experiment asks for, where the part's class offers it."""

from __future__ import annotations

from importlib.util import find_spec

from transformers import InstructBlipQFormerModel, LlamaForCausalLM, PreTrainedModel, SamModel
from transformers.utils import is_flash_attn_2_available

from ..errors import ConfigError
from .configuration import LlavaCorrConfig
from .semantic import semantic_class
from .visual_tokens import vision_class

FLASH, FALLBACK = "flash_attention_2", "sdpa"


def attention_of_parts(wanted: str, config: LlavaCorrConfig) -> str | dict[str, str]:
    """The ``attn_implementation`` of a model: one word for all parts, or one for each where not all have flash.

    transformers' SAM has none (its encoder adds relative positions to the scores); the CEM's ``nn.MultiheadAttention``
    chooses for itself.

    Args:
        wanted: "sdpa", "eager" or "flash_attention_2".
        config: says which parts there are.

    Raises:
        ConfigError: flash attention without its package, or without a GPU.
    """
    if wanted != FLASH:
        return wanted
    if find_spec("flash_attn") is None:
        raise ConfigError(
            f"{FLASH} needs the flash-attn package",
            where="model.attention",
            mend="pip install llava-corr[gpu], or sdpa",
        )
    if not is_flash_attn_2_available():
        raise ConfigError(
            f"{FLASH} needs a GPU and flash-attn 2.3.3 or newer",
            where="model.attention",
            mend="run on a machine with both, or choose sdpa",
        )
    return {
        part: FLASH if part_class._supports_flash_attn else FALLBACK for part, part_class in _classes(config).items()
    }


def _classes(config: LlavaCorrConfig) -> dict[str, type[PreTrainedModel]]:
    classes: dict[str, type[PreTrainedModel]] = {
        "vision_config": vision_class(config),
        "text_config": LlamaForCausalLM,
        "grounding_config": SamModel,
    }
    if config.qformer_config is not None:
        classes["qformer_config"] = InstructBlipQFormerModel
    if config.semantic_config is not None:
        classes["semantic_config"] = semantic_class(config)
    return classes
