"""Where a training step's time and memory go, and what share of the machine's matrix peak it reaches. Random weights.

python perf/step_time.py --out perf/step_time.json
python perf/step_time.py --rows calico glamm lisa --device cuda --out perf/gpu/results/full-size-steps.json

A step is the processor's batch, forward, backward and AdamW on what the configuration trains. Every row runs in a
process of its own, so that its memory is its own. Rows of the first kind are of a middle size, for a CPU; those of the
second are the real configurations with random weights, for a GPU.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llava_corr.config import load_config
from llava_corr.experiment import ExperimentConfig
from llava_corr.files import write_json
from llava_corr.grammar import build_question, ground, join_words
from llava_corr.models.adapters import choose_trained
from llava_corr.models.build import Vocabulary, build_config, build_processor
from llava_corr.models.modeling import LlavaCorrForConditionalGeneration
from llava_corr.models.tokenizing import train_tokenizer
from llava_corr.records import Dialogue

TRAINED = "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]"
MIDDLE = (
    "model.weights=null",
    "model.vision={image_size: 224, patch_size: 14, hidden_size: 384, num_hidden_layers: 8, num_attention_heads: 6, "
    "intermediate_size: 1536}",
    "model.qformer={num_query_tokens: 32, hidden_size: 256, num_hidden_layers: 4, num_attention_heads: 4, "
    "intermediate_size: 1024, cross_attention_frequency: 2, dropout: 0}",
    "model.correspondence={image_size: 224, pretrained_size: 518, patch_size: 14, hidden_size: 384, "
    "num_hidden_layers: 8, num_attention_heads: 6, swiglu: false, attention_heads: 6}",
    "model.trunk={hidden_size: 512, intermediate_size: 1408, num_hidden_layers: 8, num_attention_heads: 8, "
    "max_position_embeddings: 2048}",
    "model.grounding.image_size=256",
    "training.losses.mask_size=64",
    "model.attention=sdpa",
    "training.lora={}",
    TRAINED,
)
PATCHES = ("model.qformer=null", "model.correspondence=null", "model.adaptation=null",
           "training.trainable=[visual_tokens.projection, grounding.sam.mask_decoder]")  # fmt: skip
LITTLE = ("model.trunk.num_hidden_layers=3", "model.vision.num_hidden_layers=1", "model.grounding.image_size=64",
          "training.losses.mask_size=16", "model.correspondence.num_hidden_layers=1")  # fmt: skip
# name -> configuration files, overrides
ROWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "middle": (("tiny/calico.yaml",), MIDDLE),
    "middle, image by image": (("tiny/calico.yaml",), (*MIDDLE, "model.max_images_per_tower_pass=1")),
    "middle, 256 patch tokens": (("tiny/calico.yaml",), (*MIDDLE, *PATCHES)),
    "middle, 576 patch tokens": (("tiny/calico.yaml",), (*MIDDLE, *PATCHES, "model.vision.image_size=336")),
    "little": (("tiny/calico.yaml",), (*MIDDLE, *LITTLE)),
    "calico": (("calico.yaml",), ()),
    "glamm": (("baselines/glamm.yaml",), ()),
    "lisa": (("baselines/lisa.yaml",), ()),
}
SHOWN = ("middle", "middle, image by image", "middle, 256 patch tokens", "middle, 576 patch tokens")


class Clock:
    """Seconds by part of one step; waits for the device before it reads the time."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds = device, defaultdict(float)

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Adds the time of every call of ``owner.method`` to ``part``."""
        inner: Callable = getattr(owner, method)

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = self.now()
            result = inner(*args, **kwargs)
            self.seconds[part] += self.now() - started
            return result

        setattr(owner, method, timed)


def dialogues(count: int, images: int, masks: int, words: int, side: int) -> tuple[list[Dialogue], dict]:
    """Questions about random pictures with boxes to find; answers of about ``words`` words besides."""
    rng = np.random.default_rng(0)
    pictures, out = {}, []
    for d in range(count):
        keys = [f"{d}-{k}" for k in range(images)]
        pictures |= {key: rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for key in keys}
        targets = []
        for m in range(masks):
            mask = np.zeros((side, side), bool)
            mask[10 * m + 4 : 10 * m + side // 3, side // 4 : side // 2] = True
            targets.append((m % images, mask))
        named = join_words([ground(f"the part {m}", [m % images]) for m in range(masks)])
        answer = f"The parts are {named}." + " Here they are." * (words // 3)
        out.append(Dialogue(str(d), keys, [(build_question(images, "Which parts are unique?"), answer)], targets))
    return out, pictures


def matrix_peak(device: str, dtype: torch.dtype) -> float:
    """Operations per second of the best of several large products."""
    side = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    clock, best = Clock(device), float("inf")
    for _ in range(6):
        started = clock.now()
        a @ b
        best = min(best, clock.now() - started)
    return 2 * side**3 / best


def build(config: ExperimentConfig, device: str, texts: list[str]) -> tuple[Any, Any]:
    """Model with random weights, straight on the device in the run's precision, and processor."""
    tokenizer = train_tokenizer(texts, 400)
    rows = config.model.tokenizer.vocab_size if device == "cuda" else len(tokenizer)
    own = Vocabulary.of(tokenizer)
    vocabulary = Vocabulary(max(rows, own.size), own.bos, own.eos, own.pad, own.image, own.seg)
    processor = build_processor(config.model, tokenizer, config.training.losses.mask_size)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    with torch.device(device):
        model = LlavaCorrForConditionalGeneration(build_config(config.model, vocabulary))
    torch.set_default_dtype(torch.float32)
    parts = choose_trained(model, config.training.trainable, config.training.lora, tokenizer)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.max_images_per_tower_pass = config.model.max_images_per_tower_pass
    if config.training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return parts.model.train(), processor


def measure(config: ExperimentConfig, args: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    device = args.device
    side = 640 if device == "cuda" else 256
    made, pictures = dialogues(args.batch_size, args.images, args.masks, args.words, side)
    model, processor = build(config, device, [t for d in made for turn in d.turns for t in turn if t])
    clock = Clock(device)
    for owner, method, part in (
        (model, "look", "vision tower"),
        (model, "look_for_meaning", "DINOv2"),
        (model, "encode_grounding", "SAM encoder"),
        (model.trunk.model, "forward", "trunk forward"),
        (model, "enrich", "of which CAM"),
        (model.grounding, "decode", "mask decoder forward"),
        (model, "_train", "language loss forward"),  # with the output layer
        (model, "_mask_losses", "mask losses forward"),
    ):
        clock.watch(owner, method, part)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)

    def step() -> tuple[int, int]:
        started = clock.now()
        batch = processor(made, pictures)
        tokens, trained = int(batch["attention_mask"].sum()), int((batch["labels"] != -100).sum())
        batch = batch.to(device)
        clock.seconds["data"] += clock.now() - started
        with torch.autocast(device, torch.bfloat16, enabled=args.bf16):
            started = clock.now()
            loss = model(**batch).loss
            clock.seconds["forward"] += clock.now() - started
        started = clock.now()
        loss.backward()
        clock.seconds["backward"] += clock.now() - started
        started = clock.now()
        optimiser.step()
        optimiser.zero_grad()
        clock.seconds["optimiser"] += clock.now() - started
        return tokens, trained

    with FlopCounterMode(display=False) as counter, sdpa_kernel([SDPBackend.MATH] if device == "cpu" else
                                                                [SDPBackend.FLASH_ATTENTION,
                                                                 SDPBackend.EFFICIENT_ATTENTION,
                                                                 SDPBackend.MATH]):  # fmt: skip
        tokens, _ = step()
    if device == "cuda":  # counting operations keeps tensors that a step lets go
        torch.cuda.reset_peak_memory_stats()
    runs = []
    for number in range(args.steps + 1):
        clock.seconds.clear()
        started = clock.now()
        step()
        if number:  # the first warms up
            runs.append({"step": clock.now() - started, **clock.seconds})
    seconds = {name: round(statistics.median(run.get(name, 0.0) for run in runs), 4) for name in runs[0]}
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else 1024 * resource.getrusage(
        resource.RUSAGE_SELF).ru_maxrss  # fmt: skip
    peak = matrix_peak(device, torch.bfloat16 if args.bf16 else torch.float32)
    flops = counter.get_total_flops()
    return {
        "seconds": seconds,
        "tokens_per_image": model.config.tokens_per_image,
        "tokens_per_step": tokens,
        "tokens_per_second": round(tokens / seconds["step"], 1),
        "teraflops_per_step": round(flops / 1e12, 4),
        "matrix_peak_teraflops_per_second": round(peak / 1e12, 3),
        "share_of_matrix_peak": round(flops / seconds["step"] / peak, 3),
        "peak_memory_gb": round(memory / 1e9, 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def row_arguments(description: str | None, rows: Mapping[str, Any], shown: Sequence[str]) -> argparse.ArgumentParser:
    """Options of a script whose rows run in processes of their own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=rows, default=shown)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--masks", type=int, default=4)
    parser.add_argument("--words", type=int, default=30, help="words of an answer besides its phrases")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=rows, help=argparse.SUPPRESS)
    return parser


def run_rows(script: str, args: argparse.Namespace, names: Sequence[str]) -> None:
    """Every row in a process of its own, so that its memory is its own; ``names`` are the options to pass on."""
    words = [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in ("device", *names)]
    rows = {}
    for name in args.rows:
        command = [sys.executable, script, "--one", name, *words, "--bf16" if args.bf16 else "--no-bf16"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows[name] = json.loads(done.stdout)
        print(f"{name}: {json.dumps(rows[name])}")
    machine = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads"
    settings = {name: getattr(args, name) for name in (*names, "bf16")}
    if args.out:
        write_json(args.out, {"machine": machine, "torch": torch.__version__, "settings": settings, "rows": rows})


def main() -> None:
    parser = row_arguments(__doc__, ROWS, SHOWN)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    if args.one:
        files, overrides = ROWS[args.one]
        sys.stdout.write(json.dumps(measure(load_config(files, overrides), args)))
        return
    run_rows(__file__, args, ("batch_size", "images", "masks", "words", "steps"))


if __name__ == "__main__":
    main()
