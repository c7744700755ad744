"""``llava-corr export``: one whole model folder from a run, to be used or published without its base.

    llava-corr export --run runs/calico --out calico-7b --dtype bfloat16 --scores scores.json --push me/calico-7b

A run's ``model/`` may hold only what was trained, with the name of its base. Here both become one: safetensors,
configuration, processor and a README.md. The folder appears when it is whole.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import load_config
from ..errors import CheckpointError, ConfigError, StorageError
from ..files import read_json

if TYPE_CHECKING:  # torch is loaded when the command runs
    from ..report.scores_file import ScoresFile

logger = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``export``."""
    parser.add_argument("--run", type=Path, required=True, help="run folder of training")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="model folder to write")
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="where the run's base lies now, if it was moved")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights that are written")
    parser.add_argument("--scores", type=Path, help="scores file of this model, for the README.md")
    parser.add_argument("--push", metavar="REPO_ID", help="also upload the folder to the Hugging Face hub, as private")


def run(args: argparse.Namespace) -> int:
    """Writes the folder, and uploads it if asked to.

    Raises:
        LlavaCorrError: no finished run, a base that is missing or another one, a target that is in the way, or a disk
            or hub that refuses.
    """
    from transformers.utils.logging import disable_progress_bar

    from ..report.scores_file import read_scores

    disable_progress_bar()

    scores = read_scores(args.scores) if args.scores else None
    export(args.run, args.out, base=args.base, dtype=args.dtype, scores=scores)
    logger.info("the whole model is in %s", args.out)
    if args.push:
        push(args.out, args.push)
        logger.info("uploaded to %s", args.push)
    return 0


def export(
    run_folder: Path, out: Path, *, base: Path | None = None, dtype: str = "float32", scores: ScoresFile | None = None
) -> None:
    """Merges a run's trained parts into their base and writes the whole model.

    Args:
        base: where the base lies now, if not where the run says.
        dtype: of the weights that are written, "float32" or "bfloat16".
        scores: of this model, for the README.md.

    Raises:
        CheckpointError: no finished run, or weights that do not fit.
        ConfigError: ``out`` holds something already.
        StorageError: it could not be written; nothing is left where ``out`` should be.
    """
    import torch

    from ..models.adapters import MANIFEST, read_trained
    from ..models.checkpoints.model_folder import load_model, load_processor, written_whole
    from .model_card import write_card

    source = run_folder / "model"
    if not (run_folder / "config.yaml").is_file() or not source.is_dir():
        raise CheckpointError("there is no finished run", where=str(run_folder), mend="name a run of training")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is not empty", mend="name a new folder; nothing is written over")
    parts = (source / MANIFEST).is_file()
    if base is not None and not parts:
        raise ConfigError("--base: this run's model is whole already", mend="leave --base out")
    experiment, facts = load_config(run_folder / "config.yaml"), read_json(run_folder / "run.json", CheckpointError)
    merged_into = read_trained(source)[0]["base"] if parts else None
    model, processor = load_model(source, base=base, dtype=getattr(torch, dtype)), load_processor(source)
    parameters = sum(p.numel() for p in model.parameters())
    model = model.to(getattr(torch, dtype))  # buffers, too
    card = write_card(
        model.config, experiment, facts, parameters=parameters, dtype=dtype, base=merged_into, scores=scores
    )
    with written_whole(out) as part:
        model.save_pretrained(part)
        processor.save_pretrained(part)
        (part / "README.md").write_text(card, encoding="utf-8")


def push(folder: Path, repo_id: str) -> None:
    """Uploads a model folder to the hub, where the repository is made as a private one if there is none.

    Raises:
        StorageError: not logged in, no such name, no connection.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    # HTTPError of whichever httpx the hub's library brings along: no connection, time-outs
    connection: Any = HfHubHTTPError.__mro__[1]
    hub = HfApi()
    try:
        hub.create_repo(repo_id, private=True, exist_ok=True)
        hub.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Model written by llava-corr export")
    except (connection, HFValidationError, OfflineModeIsEnabled, OSError) as cause:
        raise StorageError(
            f"could not upload the model: {cause}",
            where=repo_id,
            mend=f"{folder} itself is whole: log in with `hf auth login`, then `hf upload {repo_id} {folder}`",
        ) from cause
