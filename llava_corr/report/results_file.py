"""Reads a file of results, scores or an anatomy, with all its faults in one error."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import ReportError
from ..files import read_text

MOST = 20  # faults that an error lists
F = TypeVar("F", bound=BaseModel)


def read_result(kind: type[F], path: str | Path, name: str, schema: int, mend: str) -> F:
    """Reads and checks a file of results with a ``schema_version``.

    Args:
        name: what the file is called in errors.
        schema: the version that this package reads.

    Raises:
        ReportError: missing or broken file, another schema version, wrong or missing fields.
    """
    try:
        file = kind.model_validate_json(read_text(path, ReportError))
    except ValidationError as cause:
        found = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in cause.errors()]
        more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
        faults = "; ".join(found[:MOST] + more)
        raise ReportError(f"not a file of {name}: {faults}", where=str(path), mend=mend) from cause
    version: int = file.schema_version  # type: ignore[attr-defined]
    if version != schema:
        raise ReportError(
            f"{name} schema {version}, this version reads {schema}",
            where=str(path),
            mend=f"{mend} with this version",
        )
    return file
