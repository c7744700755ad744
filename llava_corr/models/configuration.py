"""Configuration of the LVLM: the transformers configurations of its parts and what joins them.

Parts are absent, not disabled, when the configuration leaves them out (Calico's Table 2 by configuration):

========================  ================  =====================  ======================  ====================
                          qformer_config    semantic_config        adaptation_layers       guidance / requery
========================  ================  =====================  ======================  ====================
Calico                    yes               DINOv2                 (11, 22)                yes / yes
no DINO                   yes               none                   (11, 22)                yes / yes
no CEM                    yes               none                   (11, 22)                yes / no
no CAM                    yes               DINOv2                 (11, 22)                no / yes
neither                   yes               none                   ()                      -
no Q-Former               none              none                   ()                      -
========================  ================  =====================  ======================  ====================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    SamConfig,
)

from ..errors import ConfigError

VISION_TOWERS = ("instructblip_vision_model", "clip_vision_model")
SEMANTIC_TOWERS = ("dinov2", "dinov2_with_registers")


class LlavaCorrConfig(PreTrainedConfig):
    """Composite configuration.

    Args:
        vision_config: EVA-CLIP (InstructBLIP's) or CLIP tower.
        text_config: Llama-type trunk.
        grounding_config: SAM (encoder, prompt encoder, mask decoder).
        qformer_config: Q-Former, its ``encoder_hidden_size`` the tower's width; None: patches become tokens themselves.
        semantic_config: DINOv2, with or without registers, whose patches the tower's patches attend (CEM).
        num_query_tokens: Q, visual tokens per image of the Q-Former.
        projection: "linear" or "mlp" (Linear, GELU, Linear; GLaMM) into the trunk's width.
        vision_feature_layer: which of the tower's hidden states is used; -1 is its output, after the final norm.
        correspondence_heads: heads of the CEM's cross-attention.
        correspondence_residual: whether the CEM adds to the patches (facts 5.3 row 8) or replaces them.
        semantic_size: side of the pictures DINOv2 sees, pixels.
        adaptation_layers: n in "before layer n", counted from 0 (facts 5.3 row 3).
        adaptation_guidance: the CAM's queries and tokens depend on the prompt's last state.
        adaptation_requery: the CAM asks the Q-Former again; without it, the guidance itself goes back.
        image_token_id, seg_token_id: ids in the trunk's vocabulary.

    Raises:
        ConfigError: parts that cannot work together.
    """

    model_type = "llava_corr"
    sub_configs: ClassVar[dict[str, type]] = {
        "vision_config": AutoConfig,
        "qformer_config": InstructBlipQFormerConfig,
        "semantic_config": AutoConfig,
        "text_config": LlamaConfig,
        "grounding_config": SamConfig,
    }

    def __init__(
        self,
        vision_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: LlamaConfig | dict[str, Any] | None = None,
        grounding_config: SamConfig | dict[str, Any] | None = None,
        qformer_config: InstructBlipQFormerConfig | dict[str, Any] | None = None,
        semantic_config: PreTrainedConfig | dict[str, Any] | None = None,
        num_query_tokens: int = 32,
        projection: str = "linear",
        vision_feature_layer: int = -1,
        correspondence_heads: int = 16,
        correspondence_residual: bool = True,
        semantic_size: int = 224,
        adaptation_layers: Sequence[int] = (),
        adaptation_guidance: bool = True,
        adaptation_requery: bool = True,
        image_token_id: int = 32007,
        seg_token_id: int = 32004,
        **kwargs: Any,
    ) -> None:
        self.vision_config = _tower(vision_config or InstructBlipVisionConfig(), VISION_TOWERS)
        self.text_config = _part(text_config or {}, LlamaConfig)
        self.grounding_config = _part(grounding_config or {}, SamConfig)
        self.qformer_config = None if qformer_config is None else _part(qformer_config, InstructBlipQFormerConfig)
        self.semantic_config = None if semantic_config is None else _tower(semantic_config, SEMANTIC_TOWERS)
        self.num_query_tokens = num_query_tokens
        self.projection = projection
        self.vision_feature_layer = vision_feature_layer
        self.correspondence_heads = correspondence_heads
        self.correspondence_residual = correspondence_residual
        self.semantic_size = semantic_size
        self.adaptation_layers = list(adaptation_layers)
        self.adaptation_guidance = adaptation_guidance
        self.adaptation_requery = adaptation_requery
        self.image_token_id = image_token_id
        self.seg_token_id = seg_token_id
        super().__init__(**kwargs)
        self._refuse_what_cannot_work()

    @property
    def hidden_size(self) -> int:
        """Trunk width; DeepSpeed's ``auto`` values ask for it."""
        return self.text_config.hidden_size

    @property
    def patches_per_image(self) -> int:
        """Patches of the vision tower, without CLS."""
        return (self.vision_config.image_size // self.vision_config.patch_size) ** 2

    @property
    def tokens_per_image(self) -> int:
        """Positions that an image takes in the trunk."""
        return self.patches_per_image if self.qformer_config is None else self.num_query_tokens

    def _refuse_what_cannot_work(self) -> None:
        layers, count = self.adaptation_layers, self.text_config.num_hidden_layers
        qformer = self.qformer_config
        for fault, mend in (
            (
                bool(layers) and qformer is None and "adaptation needs Q-Former tokens: it asks the Q-Former again",
                "add a Q-Former, or leave the adaptation out",
            ),
            (
                self.semantic_config is not None
                and not (layers and self.adaptation_requery)
                and "correspondence extraction without an adaptation that asks again: nothing would use it",
                "add adaptation layers with requery, or leave the correspondence out",
            ),
            (
                bool(layers)
                and not (self.adaptation_guidance or self.adaptation_requery)
                and "adaptation with neither guidance nor requery adds nothing",
                "switch one of them on, or leave the adaptation out",
            ),
            (
                sorted(set(layers)) != layers and f"adaptation before layers {layers}",
                "name every layer once, in rising order",
            ),
            (
                any(not 0 <= n < count for n in layers) and f"adaptation before layers {layers} of {count}",
                f"choose from 0 to {count - 1}",
            ),
            (
                qformer is not None
                and qformer.encoder_hidden_size != self.vision_config.hidden_size
                and f"the Q-Former attends patches {qformer.encoder_hidden_size} wide, "
                f"the tower's are {self.vision_config.hidden_size}",
                "make them equal",
            ),
            (self.projection not in ("linear", "mlp") and f"projection {self.projection!r}", "linear or mlp"),
            (
                self.semantic_config is not None
                and self.vision_config.hidden_size % self.correspondence_heads != 0
                and f"{self.correspondence_heads} heads do not divide the patches' width "
                f"{self.vision_config.hidden_size}",
                "choose a divisor",
            ),
        ):
            if fault:
                raise ConfigError(str(fault), where="model", mend=mend)


def _part(given: Any, cls: type) -> Any:
    return given if isinstance(given, cls) else cls(**given)


def _tower(given: Any, known: Sequence[str]) -> Any:
    if isinstance(given, PreTrainedConfig):
        values: dict[str, Any] = {}
        kind: Any = given.model_type
    else:
        values = dict(given)
        kind = values.pop("model_type", known[0])
    if kind not in known:
        raise ConfigError(f"a tower of type {kind!r}", where="model", mend=f"one of {', '.join(known)}")
    return given if isinstance(given, PreTrainedConfig) else CONFIG_MAPPING[kind](**values)


# Here and not in auto.py: AutoTokenizer asks for the configuration of the folder it loads from.
AutoConfig.register(LlavaCorrConfig.model_type, LlavaCorrConfig, exist_ok=True)
