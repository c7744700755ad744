"""Memory and time of putting a CoLVA-4B together: base, RADIO, LoRA and adapter, merged and written in bfloat16.

    python perf/import_colva.py [--little] [--folder FOLDER] [--out result.json]

Writes the four releases in their own layouts with random numbers, at full size but for the vocabulary (350 rows: its
tokenizer is made on the spot), and imports them in a process of its own. Memory is as in import_memory.py: what is
expected is two of the written files, of 1 GB each. Needs 21 GB of disk and 12 GB of memory, most of it to write the
releases.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from import_memory import ROOT, anonymous, from_disk, gb, watched

sys.path.insert(0, str(ROOT / "tests" / "support"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--little", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if not given")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args.folder)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        write(Path(folder), little=args.little)
        words = [sys.executable, __file__, "--folder", folder, "--read"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def write(folder: Path, *, little: bool) -> None:
    import foreign
    import foreign_colva
    import tiny_colva
    import torch
    from slow_phi3 import ROWS, write_phi3_tokenizer

    sizes = tiny_colva.SIZES if little else foreign_colva.Sizes(rows=ROWS)

    def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
        return {name: torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02) for name, shape in shapes.items()}

    tiny_colva.write_json(folder / "internvl2" / "config.json", foreign_colva.internvl2_config(sizes))
    foreign.write_sharded(folder / "internvl2", drawn(foreign_colva.internvl2(sizes)), kind="safetensors")
    write_phi3_tokenizer(folder / "internvl2")
    tiny_colva.write_json(folder / "radio" / "config.json", foreign_colva.radio_config(sizes))
    radio = tiny_colva.values(foreign_colva.radio(sizes), 1, torch.float32)
    foreign.write_sharded(folder / "radio", radio, kind="safetensors")
    tiny_colva.write_training(folder / "4b_sft.pth", drawn(foreign_colva.sft_internvl2(sizes)))
    tiny_colva.write_training(folder / "4b_adapter.pth", drawn(foreign_colva.adapter(sizes.radio, sizes.width)))


def read(folder: Path) -> dict[str, Any]:
    import tiny_colva
    import torch

    from llava_corr.models.checkpoints.colva import plan_training_files
    from llava_corr.models.checkpoints.colva_folder import write_colva

    places = dict(word.split("=", 1) for word in tiny_colva.places(folder))
    out, base = folder / "out", anonymous()
    with watched() as peak:
        start, fetched = time.monotonic(), from_disk()
        found = plan_training_files({kind: Path(place) for kind, place in places.items()}, None)
        write_colva(found, out, places, torch.bfloat16)
        seconds = time.monotonic() - start
    size = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
    return {
        "releases_gb": gb(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and out not in f.parents)),
        "read_from_disk_gb": gb(from_disk() - fetched),
        "written_gb": gb(size),
        "seconds": round(seconds, 1),
        "peak_gb": gb(peak[0] - base),
    }


if __name__ == "__main__":
    main()
