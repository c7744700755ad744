"""Vicuna (Llama) as a trunk: its own keys, and an injection before chosen layers of the first pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from ..correspondence import Injection


class VicunaTrunk(LlamaForCausalLM):
    """Llama whose forward takes an :class:`Injection`; the pass over cached keys takes none.

    The injection travels through the call and ends at each layer's hook: the model holds no state between calls.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        for layer in self.model.layers:
            layer.register_forward_pre_hook(_inject, with_kwargs=True)

    def forward(  # every name is spelled out: generate() looks here for what it may pass on
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        injection: Injection | None = None,
        **kwargs: Any,
    ) -> Any:
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            injection=injection,
            **kwargs,
        )

    def _update_model_kwargs_for_generation(
        self,
        outputs: Any,
        model_kwargs: dict[str, Any],
        is_encoder_decoder: bool = False,
        num_new_tokens: int = 1,
    ) -> dict[str, Any]:
        """After the first pass the cache holds what was injected."""
        model_kwargs["injection"] = None
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, is_encoder_decoder, num_new_tokens)


def _inject(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Tensor, ...], dict]:
    injection = kwargs.pop("injection", None)
    if injection is not None:
        number: Any = layer.self_attn
        args = (injection(number.layer_idx, args[0]), *args[1:])
    return args, kwargs
