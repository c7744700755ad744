"""Where a release lies: a folder, a file, a hub id, or an address; what is fetched stays in a cache."""

from __future__ import annotations

import hashlib
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from ...errors import CheckpointError
from .model_folder import refuse_absent

# Weights once, as safetensors where there are any, and what says how they are to be read.
SETTINGS = ("*.json", "*.model", "*.txt", "*.jinja")
WEIGHTS = ("*.safetensors", "*.bin")


def local(place: str) -> Path:
    """The place itself if it is there, otherwise the file of an address or the snapshot of a hub id.

    Raises:
        CheckpointError: neither a file nor a folder, and nothing on the net or, offline, in the cache.
    """
    if place and Path(place).exists():
        return Path(place)
    if is_address(place):
        return _fetched(place)
    if not may_be_fetched(place):
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


def may_be_fetched(place: str) -> bool:
    """Whether what is not there looks like something that lies elsewhere: an address, or OWNER/NAME of the hub."""
    if place and Path(place).exists():
        return False
    files = (".pth", ".pt", ".bin", ".safetensors")
    return is_address(place) or (place.count("/") == 1 and Path(place).suffix not in files)


def is_address(place: str) -> bool:
    return place.startswith(("https://", "http://"))


def cached(place: str) -> Path | None:
    """Where a place already lies on this machine, if it does."""
    if Path(place).exists():
        return Path(place)
    if is_address(place):
        return _home_of(place) if _home_of(place).exists() else None
    try:
        return Path(snapshot_download(place, allow_patterns=[*SETTINGS, *WEIGHTS], local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _home_of(address: str) -> Path:
    """In torch's own cache, beside the files of torch.hub; two addresses have two places there.

    Raises:
        CheckpointError: the address does not end in the name of a file.
    """
    name = Path(unquote(urlsplit(address).path)).name
    if name in ("", ".", ".."):
        raise CheckpointError("the address names no file", where=address, mend="take the address of the file itself")
    code = hashlib.sha256(address.encode()).hexdigest()[:8]
    return Path(torch.hub.get_dir()) / "checkpoints" / "llava_corr" / code / name


def _fetched(address: str) -> Path:
    """The file of an address; it appears in the cache only when it is whole."""
    file = _home_of(address)
    if file.exists():
        return file
    part = file.with_name(f"{file.name}.part")
    try:
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        file.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(Request(address, method="HEAD"), timeout=60) as answer:
            wanted = int(answer.headers.get("Content-Length") or 0)
        torch.hub.download_url_to_file(address, str(part))
        if wanted and part.stat().st_size != wanted:
            raise OSError(f"{part.stat().st_size} bytes came of {wanted}: the connection broke off")
        part.replace(file)
    except (HTTPException, OSError, ValueError) as cause:
        part.unlink(missing_ok=True)
        raise CheckpointError(
            f"it cannot be fetched: {cause}",
            where=address,
            mend="try again, or download it where there is a network and name the file",
        ) from cause
    return file
