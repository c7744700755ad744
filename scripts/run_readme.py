"""Runs or lists the commands that README.md tags.

python scripts/run_readme.py --tag ci         runs every fenced block that starts with ```bash ci
python scripts/run_readme.py --tag long --list
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```bash (?P<tag>ci|long|gpu)\n(?P<body>.*?)^```$", re.M | re.S)


def tagged_commands(tag: str) -> list[str]:
    """Commands of the README's blocks with this tag, in order; continued lines are joined."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    bodies = [m["body"].replace("\\\n", " ") for m in BLOCK.finditer(text) if m["tag"] == tag]
    lines = [line.split("  #")[0].strip() for body in bodies for line in body.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the commands of README.md that carry a tag.")
    parser.add_argument("--tag", choices=("ci", "long", "gpu"), required=True)
    parser.add_argument("--list", action="store_true", help="print them, run none")
    parser.add_argument("--skip", action="append", default=[], help="a command that has been run already")
    args = parser.parse_args()
    environment = os.environ | {"PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    for command in (c for c in tagged_commands(args.tag) if c not in args.skip):
        print(f"$ {command}", flush=True)
        if args.list:
            continue
        started = time.monotonic()
        done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, check=False)
        print(f"# exit {done.returncode} after {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
