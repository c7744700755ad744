"""Configuration of the LVLM: four transformers configurations and what joins them."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import (
    AutoConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    SamConfig,
)


class LlavaCorrConfig(PreTrainedConfig):
    """Composite configuration.

    Args:
        vision_config: EVA-CLIP tower.
        qformer_config: Q-Former; its ``encoder_hidden_size`` must be the tower's width.
        text_config: Llama-type trunk.
        grounding_config: SAM (encoder, prompt encoder, mask decoder).
        num_query_tokens: Q, visual tokens per image.
        image_token_id, seg_token_id: ids in the trunk's vocabulary.
    """

    model_type = "llava_corr"
    sub_configs: ClassVar[dict[str, type]] = {
        "vision_config": InstructBlipVisionConfig,
        "qformer_config": InstructBlipQFormerConfig,
        "text_config": LlamaConfig,
        "grounding_config": SamConfig,
    }

    def __init__(
        self,
        vision_config: InstructBlipVisionConfig | dict[str, Any] | None = None,
        qformer_config: InstructBlipQFormerConfig | dict[str, Any] | None = None,
        text_config: LlamaConfig | dict[str, Any] | None = None,
        grounding_config: SamConfig | dict[str, Any] | None = None,
        num_query_tokens: int = 32,
        image_token_id: int = 32007,
        seg_token_id: int = 32004,
        **kwargs: Any,
    ) -> None:
        given = locals()
        for name, cls in self.sub_configs.items():
            value = given[name]
            setattr(self, name, value if isinstance(value, cls) else cls(**(value or {})))
        self.num_query_tokens = num_query_tokens
        self.image_token_id = image_token_id
        self.seg_token_id = seg_token_id
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Trunk width; DeepSpeed's ``auto`` values ask for it."""
        return self.text_config.hidden_size


# Here and not in auto.py: AutoTokenizer asks for the configuration of the folder it loads from.
AutoConfig.register(LlavaCorrConfig.model_type, LlavaCorrConfig, exist_ok=True)
