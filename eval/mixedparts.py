"""Scores predictions on MixedParts; needs no GPU, no network and no images.

python eval/mixedparts.py --samples test.jsonl --predictions p.jsonl [--against q.jsonl] [--name NAME] --out scores.json

Shows a table (three tasks and their mean, 95 % intervals) and writes scores.json, whose schema is in
llava_corr/benchmarks/mixedparts_output.py. ``llava-corr score`` is the same command.
"""

import argparse
import sys

from llava_corr.benchmarks import command
from llava_corr.errors import LlavaCorrError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args())
    except LlavaCorrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
