"""Coloured squares on grey: samples that a tiny model can learn, with exact masks; for model and training tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from llava_corr.config import load_config
from llava_corr.experiment import ExperimentConfig
from llava_corr.grammar import build_question, ground, join_words
from llava_corr.record_files import write_samples
from llava_corr.records import ImageRef, Mask, Sample, Target, Turn

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 50, 200)}

# The tiny experiment from scratch, with every number small enough for a test.
SMALL = [
    "model.weights=null",
    "training.lora=null",
    "training.trainable=[all]",
    "training.batch_size=8",
    "training.learning_rate=1.0e-3",
    "training.warmup_steps=30",
    "training.losses.dice=4.0",
    "model.attention=sdpa",
    "model.random_frozen=true",
    "model.tokenizer.vocab_size=400",
    "model.vision={image_size: 32, patch_size: 8, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "intermediate_size: 64}",
    "model.qformer={num_query_tokens: 4, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "intermediate_size: 64, cross_attention_frequency: 2, dropout: 0}",
    "model.correspondence={image_size: 32, pretrained_size: 32, patch_size: 8, hidden_size: 24, num_hidden_layers: 1, "
    "num_attention_heads: 2, mlp_ratio: 2, swiglu: false, attention_heads: 2}",
    "model.trunk={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 3, num_attention_heads: 2, "
    "max_position_embeddings: 256}",
    "model.grounding={image_size: 64, patch_size: 8, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "window_size: 0, global_attn_indexes: [], use_rel_pos: false, prompt_size: 32, decoder_mlp: 64, decoder_heads: 2}",
    "training.losses.mask_size=32",
    "training.bf16=false",
    "training.max_minutes=null",
    "training.memory_log=false",
    "prediction.max_new_tokens=40",
]


def small_config(folder: Path, *overrides: str) -> ExperimentConfig:
    """The tiny experiment, smaller still, on the samples that :func:`write_toy` put into ``folder``."""
    places = [f"data.train={folder / 'train.jsonl'}", f"output_dir={folder / 'runs'}"]
    return load_config("tiny/calico.yaml", [*SMALL, *places, *overrides])


def toy_image(folder: Path, index: int, size: tuple[int, int]) -> tuple[ImageRef, dict[str, np.ndarray]]:
    rng = np.random.default_rng(index)
    height, width = size
    picture = np.full((height, width, 3), 110, np.uint8)
    rows, columns = np.mgrid[:height, :width]
    masks: dict[str, np.ndarray] = {}
    for colour in rng.permutation(list(COLOURS))[:2]:
        x, y, half = rng.integers(12, width - 12), rng.integers(12, height - 12), rng.integers(8, 14)
        inside = (abs(columns - x) < half) & (abs(rows - y) < half)
        masks = {name: mask & ~inside for name, mask in masks.items()} | {str(colour): inside}
        picture[inside] = COLOURS[colour]
    path = folder / f"{index}.png"
    Image.fromarray(picture).save(path)
    return ImageRef(path=str(path), height=height, width=width), {n: m for n, m in masks.items() if m.any()}


def toy_samples(
    folder: Path, count: int, *, images: int | Sequence[int] = 2, size: tuple[int, int] = (48, 64)
) -> list[Sample]:
    """Common-object dialogues over ``images`` pictures each, in turn where it is a sequence; of three pictures and
    more, some have nothing in common."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = [images] if isinstance(images, int) else images
    samples: list[Sample] = []
    first = 0
    for number in range(count):
        n = counts[number % len(counts)]
        made = [toy_image(folder, first + k, size) for k in range(n)]
        first += n
        common = sorted(set.intersection(*(set(masks) for _, masks in made)))
        targets = [
            Target(phrase=name, image_index=k, mask=Mask.from_array(masks[name]), turn=0, role="common")
            for name in common
            for k, (_, masks) in enumerate(made)
        ]
        named = join_words([ground(f"the {name}", range(n)) for name in common])
        answer = f"The common objects are {named}." if common else "There is no common object."
        samples.append(
            Sample(
                id=f"toy{number}",
                split="train",
                source="toy",
                task="common_objects",
                images=tuple(image for image, _ in made),
                turns=(Turn(user=build_question(n, "Find the common objects."), assistant=answer),),
                targets=tuple(targets),
            )
        )
    return samples


def write_toy(folder: Path, count: int, *, images: int | Sequence[int] = 2) -> list[Sample]:
    samples = toy_samples(folder, count, images=images)
    write_samples(folder / "train.jsonl", samples)
    return samples
