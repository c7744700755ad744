"""The verdict beside a prediction file: were some of its answers found again when asked for one at a time?

``p.jsonl`` has its verdict in ``p.jsonl.verified.json``. ``llava-corr predict --verify``
writes it, scoring reads it. It names the file by its contents, so a verdict never speaks for a file that was changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import PredictionError
from ..files import file_hash, read_text, write_lines
from ..record_files import parse_record
from ..records import Record

Kind = Literal["text", "masks", "labels", "scores"]
_SHOWN = 5


class Difference(Record):
    """How the answer to one sample differs when it is asked for alone.

    Attributes:
        kinds: what differs. "masks" are other pixels or another number of masks, "labels" other phrases or images.
        texts: the file's answer and the one found again, where they differ.
        ious: IoU of every mask with its counterpart, in order; None where their numbers or images differ.
    """

    sample_id: str
    kinds: tuple[Kind, ...]
    texts: tuple[str, str] | None = None
    ious: tuple[float, ...] | None = None


class Verification(Record):
    """Outcome of asking for some answers again at batch size 1.

    Attributes:
        predictions: SHA-256 of the prediction file.
        dtype: of the model's numbers. In float32 a difference is a fault; in lower precision it is a rate to know.
        checked: ids of the samples that were asked again.
        differing: those whose answers differ.
    """

    schema_version: int = 1
    predictions: str
    dtype: str
    seed: int
    checked: tuple[str, ...]
    equal: int
    agreement: float
    differing: tuple[Difference, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether the file must not be scored."""
        return bool(self.differing) and self.dtype == "float32"


def verdict_path(predictions: str | Path) -> Path:
    """``p.jsonl.verified.json`` for ``p.jsonl``."""
    return Path(f"{predictions}.verified.json")


def write_verdict(predictions: str | Path, verification: Verification) -> None:
    """Writes the verdict beside its prediction file."""
    write_lines(verdict_path(predictions), [verification.model_dump_json(indent=1)])


def require_verified(predictions: str | Path) -> None:
    """Lets a prediction file pass unless the verdict beside it speaks against it; one without a verdict passes.

    Raises:
        PredictionError: answers differed, the verdict is of another file, or it is unreadable.
    """
    sidecar = verdict_path(predictions)
    if not sidecar.exists():
        return
    verdict = parse_record(Verification, read_text(sidecar, PredictionError), str(sidecar), PredictionError)
    if verdict.predictions != file_hash(predictions, PredictionError):
        raise PredictionError(
            "the prediction file was changed after it was verified",
            where=f"{predictions}, verdict in {sidecar}",
            mend="verify it again (llava-corr predict --verify), or remove the verdict if you know why it changed",
        )
    if verdict.refuses:
        named = [f"{d.sample_id} ({', '.join(d.kinds)})" for d in verdict.differing[:_SHOWN]]
        more = f" and {len(verdict.differing) - _SHOWN} more" if len(verdict.differing) > _SHOWN else ""
        raise PredictionError(
            f"{len(verdict.differing)} of {len(verdict.checked)} answers came out differently when asked for alone: "
            f"{'; '.join(named)}{more}",
            where=f"{predictions}, verdict in {sidecar}",
            mend="predict again (llava-corr predict --restart --verify); if it still differs, batching is broken: "
            "use --batch-size 1 and report it",
        )
