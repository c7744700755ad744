"""The arguments of a command, as its parser gives them; for tests that call ``run`` themselves."""

import argparse
from typing import Any


def parse(module: Any, *arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args([str(a) for a in arguments])
