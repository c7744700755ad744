"""Names, shapes and config.json of CoLVA's releases and their bases, written down from the fact sheets, at any size."""

from dataclasses import dataclass

from foreign import linear, norm

EXTRA = {  # what transformers of that time wrote into every section of a config.json
    "_name_or_path": "x/y", "add_cross_attention": False, "bad_words_ids": None, "chunk_size_feed_forward": 0,
    "id2label": {"0": "LABEL_0"}, "is_decoder": False, "length_penalty": 1.0, "max_length": 20, "num_beams": 1,
    "output_attentions": False, "return_dict": True, "temperature": 1.0, "tf_legacy_loss": False, "top_k": 50,
    "torch_dtype": "bfloat16", "torchscript": False, "transformers_version": "4.37.2", "typical_p": 1.0,
    "use_bfloat16": True,
}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """InternVL2-4B with RADIO."""

    vision: int = 1024
    vision_inner: int = 4096
    vision_layers: int = 24
    vision_heads: int = 16
    image: int = 448
    vision_patch: int = 14
    width: int = 3072
    inner: int = 8192
    layers: int = 32
    heads: int = 32
    rows: int = 32020
    radio: int = 1280
    radio_layers: int = 32
    radio_heads: int = 16
    radio_patch: int = 16
    radio_largest: int = 2048
    radio_tokens: int = 8
    """A summary token of each of four teachers, and registers."""


def internvit(s, below="vision_model."):
    w, side = s.vision, s.image // s.vision_patch
    e = f"{below}embeddings"
    out = {f"{e}.class_embedding": (1, 1, w), f"{e}.position_embedding": (1, side**2 + 1, w)}
    out |= {f"{e}.patch_embedding.weight": (w, 3, s.vision_patch, s.vision_patch), f"{e}.patch_embedding.bias": (w,)}
    for n in range(s.vision_layers):
        b = f"{below}encoder.layers.{n}"
        out |= {f"{b}.ls1": (w,), f"{b}.ls2": (w,)} | norm(f"{b}.norm1", w) | norm(f"{b}.norm2", w)
        out |= linear(f"{b}.attn.qkv", 3 * w, w) | linear(f"{b}.attn.proj", w, w)
        out |= linear(f"{b}.mlp.fc1", s.vision_inner, w) | linear(f"{b}.mlp.fc2", w, s.vision_inner)
    return out


def phi3(s, below="language_model."):
    out = {f"{below}model.embed_tokens.weight": (s.rows, s.width), f"{below}model.norm.weight": (s.width,)}
    for n in range(s.layers):
        b = f"{below}model.layers.{n}"
        out |= {f"{b}.{name}.weight": shape for name, shape in phi3_targets(s).items()}
        out |= {f"{b}.{name}_layernorm.weight": (s.width,) for name in ("input", "post_attention")}
    return out | {f"{below}lm_head.weight": (s.rows, s.width)}


def phi3_targets(s):
    return {"self_attn.qkv_proj": (3 * s.width, s.width), "self_attn.o_proj": (s.width, s.width),
            "mlp.gate_up_proj": (2 * s.inner, s.width), "mlp.down_proj": (s.width, s.inner)}  # fmt: skip


def internvl2(s=Sizes()):
    joined = 4 * s.vision
    projector = norm("mlp1.0", joined) | linear("mlp1.1", s.width, joined) | linear("mlp1.3", s.width, s.width)
    return internvit(s) | phi3(s) | projector


def radio(s=Sizes(), below=""):
    w, m = s.radio, f"{below}radio_model.model"
    side = s.radio_largest // s.radio_patch
    out = {f"{m}.patch_generator.pos_embed": (1, side**2, w), f"{below}radio_model.summary_idxs": (3,)}
    out |= {f"{m}.patch_generator.embedder.weight": (w, 3 * s.radio_patch**2)}
    out |= {f"{m}.patch_generator.cls_token.token": (s.radio_tokens, w)}
    out |= {f"{below}radio_model.input_conditioner.norm_{name}": (3, 1, 1) for name in ("mean", "std")}
    for n in range(s.radio_layers):
        b = f"{m}.blocks.{n}"
        out |= norm(f"{b}.norm1", w) | norm(f"{b}.norm2", w)
        out |= linear(f"{b}.attn.qkv", 3 * w, w) | linear(f"{b}.attn.proj", w, w)
        out |= linear(f"{b}.mlp.fc1", 4 * w, w) | linear(f"{b}.mlp.fc2", w, 4 * w)
    return out


def adapter(expert=1280, trunk=3072):
    return norm("ot_mlp1.0", expert) | linear("ot_mlp1.1", trunk, expert) | linear("ot_mlp1.3", trunk, trunk)


def export(s=Sizes()):
    return internvl2(s) | radio(s, "object_tokenizer.") | adapter(s.radio, s.width)


def lora(targets, layers, below, rank):
    out = {}
    for n in range(layers):
        for name, (rows, columns) in targets.items():
            m = f"{below}layers.{n}.{name}"
            out |= {f"{m}.lora_A.default.weight": (rank, columns), f"{m}.lora_B.default.weight": (rows, rank)}
    return out


def sft_internvl2(s=Sizes(), rank=128):
    return lora(phi3_targets(s), s.layers, "model.language_model.base_model.model.model.", rank)


def internvl2_config(s=Sizes()):
    """config.json of InternVL2-4B."""
    half = s.width // s.heads // 2
    vision = EXTRA | {
        "architectures": ["InternVisionModel"], "attention_dropout": 0.0, "drop_path_rate": 0.1, "dropout": 0.0,
        "hidden_act": "gelu", "hidden_size": s.vision, "image_size": s.image, "initializer_factor": 1.0,
        "initializer_range": 0.02, "intermediate_size": s.vision_inner, "layer_norm_eps": 1e-06,
        "model_type": "intern_vit_6b", "norm_type": "layer_norm", "num_attention_heads": s.vision_heads,
        "num_channels": 3, "num_hidden_layers": s.vision_layers, "patch_size": s.vision_patch,
        "qk_normalization": False, "qkv_bias": True, "use_flash_attn": True,
    }  # fmt: skip
    text = EXTRA | {
        "architectures": ["Phi3ForCausalLM"], "attention_dropout": 0.0, "attn_implementation": "flash_attention_2",
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "bos_token_id": 1, "embd_pdrop": 0.0,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": s.width, "initializer_range": 0.02,
        "intermediate_size": s.inner, "max_position_embeddings": 131072, "model_type": "phi3",
        "num_attention_heads": s.heads, "num_hidden_layers": s.layers, "num_key_value_heads": s.heads,
        "original_max_position_embeddings": 4096, "pad_token_id": 2, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": {"type": "su", "long_factor": [1.5 + n for n in range(half)],
                         "short_factor": [1.0 + n / 8 for n in range(half)]},
        "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": False, "use_cache": True,
        "vocab_size": s.rows,
    }  # fmt: skip
    return {
        "_commit_hash": None, "architectures": ["InternVLChatModel"], "auto_map": {"AutoModel": "modeling.Model"},
        "downsample_ratio": 0.5, "dynamic_image_size": True, "force_image_size": s.image, "llm_config": text,
        "max_dynamic_patch": 12, "min_dynamic_patch": 1, "model_type": "internvl_chat", "pad2square": False,
        "ps_version": "v2", "select_layer": -1, "template": "phi3-chat", "torch_dtype": "bfloat16",
        "transformers_version": None, "use_backbone_lora": 0, "use_llm_lora": 0, "use_thumbnail": True,
        "vision_config": vision,
    }  # fmt: skip


def radio_config(s=Sizes()):
    """config.json of nvidia/RADIO; of the tiny one, timm's sizes are overridden."""
    teachers = [{"name": name, "use_summary": name != "sam"} for name in ("clip", "siglip", "dino_v2", "sam")]
    full = s.radio == 1280
    own = {} if full else {"embed_dim": s.radio, "depth": s.radio_layers, "num_heads": s.radio_heads}
    args = {
        "aa": None, "amp": True, "amp_dtype": "bfloat16", "cls_token_per_teacher": True,
        "cpe_max_size": s.radio_largest, "dtype": "bfloat16", "in_chans": None, "model": "vit_huge_patch16_224",
        "model_kwargs": own, "num_classes": None, "register_multiple": 8, "teachers": teachers, "lr": 0.001,
    }  # fmt: skip
    return {
        "adaptor_names": None, "architectures": ["RADIOModel"], "args": args,
        "auto_map": {"AutoModel": "hf_model.RADIOModel"}, "max_resolution": s.radio_largest,
        "patch_size": s.radio_patch, "preferred_resolution": [432, 432], "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1", "version": "radio_v2.1", "vitdet_window_size": None,
    }  # fmt: skip


def export_config(s=Sizes()):
    return internvl2_config(s) | {"radio_config": EXTRA | radio_config(s) | {"model_type": ""}}


@dataclass(frozen=True)
class QwenSizes:
    """Qwen2-VL-2B."""

    vision: int = 1280
    vision_layers: int = 32
    vision_heads: int = 16
    patch: int = 14
    width: int = 1536
    inner: int = 8960
    layers: int = 28
    heads: int = 12
    key_heads: int = 2
    rows: int = 151936
    tied: bool = True
    image_token: int = 151655
    """Followed by that of videos, the last of all."""


SEVEN = QwenSizes(width=3584, inner=18944, heads=28, key_heads=4, rows=152064, tied=False)


def qwen2_vl(s=QwenSizes(), age="old"):
    """Names of the release, or ("new") of transformers since 4.52."""
    visual, text = ("visual", "model") if age == "old" else ("model.visual", "model.language_model")
    w = s.vision
    out = {f"{visual}.patch_embed.proj.weight": (w, 3, 2, s.patch, s.patch)}
    for n in range(s.vision_layers):
        b = f"{visual}.blocks.{n}"
        out |= norm(f"{b}.norm1", w) | norm(f"{b}.norm2", w)
        out |= linear(f"{b}.attn.qkv", 3 * w, w) | linear(f"{b}.attn.proj", w, w)
        out |= linear(f"{b}.mlp.fc1", 4 * w, w) | linear(f"{b}.mlp.fc2", w, 4 * w)
    out |= norm(f"{visual}.merger.ln_q", w) | linear(f"{visual}.merger.mlp.0", 4 * w, 4 * w)
    out |= linear(f"{visual}.merger.mlp.2", s.width, 4 * w)
    out |= {f"{text}.embed_tokens.weight": (s.rows, s.width), f"{text}.norm.weight": (s.width,)}
    for n in range(s.layers):
        b = f"{text}.layers.{n}"
        out |= {f"{b}.{name}.weight": shape for name, shape in qwen_targets(s).items()}
        out |= {f"{b}.self_attn.{q}_proj.bias": (qwen_targets(s)[f"self_attn.{q}_proj"][0],) for q in "qkv"}
        out |= {f"{b}.{name}_layernorm.weight": (s.width,) for name in ("input", "post_attention")}
    return out | ({} if s.tied else {"lm_head.weight": (s.rows, s.width)})


def qwen_targets(s):
    keys = s.width // s.heads * s.key_heads
    attention = {
        f"self_attn.{q}_proj": (rows, s.width) for q, rows in zip("qkvo", (s.width, keys, keys, s.width), strict=True)
    }
    return attention | {"mlp.gate_proj": (s.inner, s.width), "mlp.up_proj": (s.inner, s.width),
                        "mlp.down_proj": (s.width, s.inner)}  # fmt: skip


def sft_qwen(s=QwenSizes(), rank=64):
    return lora(qwen_targets(s), s.layers, "model.model.base_model.model.", rank)


def qwen2_vl_config(s=QwenSizes()):
    """config.json of the release: sizes of the language model lie at the top."""
    half = s.width // s.heads // 2
    axes = [half // 4, half * 3 // 8, half - half // 4 - half * 3 // 8]
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"], "attention_dropout": 0.0,
        "bos_token_id": s.image_token - 12, "eos_token_id": s.image_token - 10, "hidden_act": "silu",
        "hidden_size": s.width, "image_token_id": s.image_token, "initializer_range": 0.02,
        "intermediate_size": s.inner, "max_position_embeddings": 32768,
        "max_window_layers": s.layers, "model_type": "qwen2_vl", "num_attention_heads": s.heads,
        "num_hidden_layers": s.layers, "num_key_value_heads": s.key_heads, "rms_norm_eps": 1e-06,
        "rope_scaling": {"type": "mrope", "mrope_section": axes},
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": s.tied, "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2", "use_cache": True, "use_sliding_window": False,
        "video_token_id": s.image_token + 1, "vision_end_token_id": s.image_token - 2,
        "vision_start_token_id": s.image_token - 3, "vision_token_id": s.image_token - 1, "vocab_size": s.rows,
        "vision_config": {"depth": s.vision_layers, "embed_dim": s.vision, "hidden_size": s.width, "in_chans": 3,
                          "mlp_ratio": 4, "num_heads": s.vision_heads, "patch_size": s.patch, "spatial_merge_size": 2,
                          "spatial_patch_size": s.patch, "temporal_patch_size": 2},
    }  # fmt: skip
