"""Where a release lies: a folder, a file, or a hub id, which is downloaded into the hub's own cache."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from ...errors import CheckpointError
from .model_folder import refuse_absent

# Weights once, as safetensors where there are any, and what says how they are to be read.
SETTINGS = ("*.json", "*.model")
WEIGHTS = ("*.safetensors", "*.bin")


def local(place: str) -> Path:
    """The place itself if it is there, otherwise the snapshot of a hub id.

    Raises:
        CheckpointError: neither a file nor a folder, and no model on the hub or, offline, in its cache.
    """
    if place and Path(place).exists():
        return Path(place)
    if Path(place).suffix in (".pth", ".pt", ".bin", ".safetensors") or place.count("/") != 1:
        raise CheckpointError("there is no such file or folder", where=place, mend="correct the path, or name a hub id")
    refuse_absent(place)
    try:
        folder = Path(snapshot_download(place, allow_patterns=[*SETTINGS, WEIGHTS[0]]))
        if not any(folder.glob(WEIGHTS[0])):
            folder = Path(snapshot_download(place, allow_patterns=[*SETTINGS, WEIGHTS[1]]))
        return folder
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as cause:
        reason = str(cause).strip().split("\n")[0]
        raise CheckpointError(
            f"the hub does not give it: {reason}",
            where=place,
            mend="download it where there is a network and name the folder; gated models want hf auth login",
        ) from cause
