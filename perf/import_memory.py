"""Memory and time of reading a release into a model, beside a plain copy of the same bytes.

    python perf/import_memory.py [--layers 7] [--width 4096] [--folder FOLDER] [--out result.json]

Writes a release in GLaMM's layout with random numbers (two shards, trunk and region encoder in bfloat16, SAM and [SEG]
projection in float32; 6.5 GB at the default sizes), copies it, and reads it in a process of its own. Memory is the
anonymous memory of that process above what it has once everything is imported; the bound is the model and 1.2 times its
largest tensor. The CLIP tower is two layers, made on the spot. Files should come from the page cache, for the copy,
too: `read_from_disk_gb` says how much did not, and made the reading as slow as the disk.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
READ_EVERY = 0.02  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=7, help="of the trunk")
    parser.add_argument("--width", type=int, default=4096, help="of the trunk")
    parser.add_argument("--sam-layers", type=int, default=32)
    parser.add_argument("--vision", type=int, default=1024, help="width of CLIP and of the region encoder")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if not given")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(args, Path(folder))
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    write(args, folder / "release")
    start = time.monotonic()
    shutil.copytree(folder / "release", folder / "copy")
    copying = time.monotonic() - start
    shutil.rmtree(folder / "copy")
    sizes = ["--layers", str(args.layers), "--width", str(args.width), "--sam-layers", str(args.sam_layers)]
    sizes += ["--vision", str(args.vision)]
    words = [sys.executable, __file__, *sizes, "--folder", str(folder), "--read"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {
        "release_gb": round(sum(f.stat().st_size for f in (folder / "release").iterdir()) / 1e9, 3),
        "copy_seconds": round(copying, 2),
        **found,
    }


def sizes_of(args: argparse.Namespace) -> tuple[Any, Any]:
    import foreign

    inner = 11008 * args.width // 4096
    trunk = foreign.TrunkSizes(width=args.width, inner=inner, layers=args.layers)
    reach = tuple(range(args.sam_layers // 4 - 1, args.sam_layers, args.sam_layers // 4))
    return trunk, foreign.SamSizes(layers=args.sam_layers, global_layers=reach)


def write(args: argparse.Namespace, folder: Path) -> None:
    import foreign
    import torch

    trunk, sam = sizes_of(args)
    whole = ("grounding_encoder", "text_hidden_fcs")
    tensors = {
        name: torch.empty(shape, dtype=torch.float32 if any(w in name for w in whole) else torch.bfloat16).normal_()
        for name, shape in foreign.glamm(trunk, sam, args.vision).items()
    }
    foreign.write_sharded(folder, tensors)


def read(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from llava_corr.config import load_config
    from llava_corr.models.build import Vocabulary, build_config
    from llava_corr.models.checkpoints.composing import Release, compose
    from llava_corr.models.checkpoints.glamm import glamm_layout
    from llava_corr.models.checkpoints.tensor_files import open_tensors
    from llava_corr.models.visual_tokens import vision_class

    trunk, sam = sizes_of(args)
    section = load_config(
        ["baselines/glamm.yaml"],
        [
            f"model.trunk.hidden_size={trunk.width}",
            f"model.trunk.intermediate_size={trunk.inner}",
            f"model.trunk.num_hidden_layers={trunk.layers}",
            f"model.trunk.num_attention_heads={trunk.width // 128}",
            f"model.grounding.num_hidden_layers={sam.layers}",
            f"model.grounding.global_attn_indexes={list(sam.global_layers)}",
            "model.vision.num_hidden_layers=2",
            f"model.vision.hidden_size={args.vision}",
        ],
    ).model
    config = build_config(section, Vocabulary(trunk.rows, bos=1, eos=2, pad=0, image=trunk.rows, seg=32004))
    tower = vision_class(config)._from_config(config.vision_config).to(torch.bfloat16)
    found: dict[str, Any] = {}
    base = anonymous() - sum(p.nbytes for p in tower.parameters())
    with watched() as peak:
        start, fetched = time.monotonic(), from_disk()
        release = Release(glamm_layout(config), open_tensors(args.folder / "release"))
        model, _ = compose(config, [release], {"visual_tokens.vision_model": tower}, dtype=torch.bfloat16)
        found["read_seconds"] = round(time.monotonic() - start, 2)
        found["read_from_disk_gb"] = gb(from_disk() - fetched)
    size = sum(p.nbytes for p in model.parameters())
    largest = max(p.nbytes for p in model.parameters())
    found |= {"model_gb": gb(size), "largest_tensor_gb": gb(largest), "read_peak_gb": gb(peak[0] - base)}
    with watched() as peak:
        start = time.monotonic()
        model.save_pretrained(args.folder / "written", max_shard_size="2GB")
        found["write_seconds"] = round(time.monotonic() - start, 2)
    found |= {"write_peak_gb": gb(peak[0] - base), "bound_gb": gb(size + 1.2 * largest)}
    found["within"] = max(found["read_peak_gb"], found["write_peak_gb"]) <= found["bound_gb"]
    return found


def gb(count: float) -> float:
    return round(count / 1e9, 3)


def anonymous() -> int:
    """Bytes that the process has and no file backs."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def from_disk() -> int:
    """Bytes that the process has made the disk read, of mapped files, too."""
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


@contextmanager
def watched() -> Iterator[list[int]]:
    """The most anonymous memory at any look."""
    peak, done = [anonymous()], threading.Event()

    def look() -> None:
        while not done.wait(READ_EVERY):
            peak[0] = max(peak[0], anonymous())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main()
