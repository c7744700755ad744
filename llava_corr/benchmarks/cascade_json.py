"""JSON as language models write it: between words and code fences, with single quotes, cut off in the middle."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

_ENDS = 100  # places at which a JSON that was cut off is tried
_LONGEST = 20_000  # characters looked at
_STARTS = 50  # brackets at which a JSON may begin


def loose_json(text: str) -> tuple[Any, list[str]]:
    """The first JSON object or list that holds anything like one, and the repairs that it took.

    Returns:
        (value, rules of :data:`.cascade_names.RULES`); (None, []) where there is none.
    """
    text = text[:_LONGEST]
    start = min((k for k in (text.find("{"), text.find("[")) if k >= 0), default=-1)
    for _ in range(_STARTS):
        if start < 0:
            break
        end, open_brackets = _closing(text, start)
        value, repairs = _load(text[start:end]) if not open_brackets else _load_unclosed(text[start:])
        if isinstance(value, (dict, list)) and value:
            around = text[:start].strip() or (text[end:].strip() if not open_brackets else "")
            return value, [*(["names_surrounded"] if around else []), *repairs]
        later = [k for k in (text.find("{", start + 1), text.find("[", start + 1)) if k >= 0]
        start = min(later, default=-1) if not open_brackets else -1
    return None, []


def _closing(text: str, start: int) -> tuple[int, list[str]]:
    """Where the bracket at ``start`` is closed, and the brackets still open at the end of the text if it is not."""
    stack: list[str] = []
    quoted = False
    k = start
    while k < len(text):
        sign = text[k]
        if quoted:
            k += sign == "\\"
            quoted = sign != '"'
        elif sign == '"':
            quoted = True
        elif sign in "{[":
            stack.append("}" if sign == "{" else "]")
        elif sign in "}]" and stack:
            stack.pop()
            if not stack:
                return k + 1, []
        k += 1
    return len(text), stack


def _load(text: str) -> tuple[Any, list[str]]:
    """Strict JSON first, then what Python or a careless hand would write."""
    repeated: list[str] = []

    def joined(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if key in out:
                repeated.append(key)
                value = [*_listed(out[key]), *_listed(value)]
            out[key] = value
        return out

    plain = re.sub(r"^\s*//.*$", "", text, flags=re.M)
    for candidate, repairs in ((text, []), (re.sub(r",(\s*[}\]])", r"\1", plain), ["names_loose_json"])):
        repeated.clear()
        try:
            value = json.loads(candidate, object_pairs_hook=joined)
        except (ValueError, RecursionError):
            continue
        return value, [*repairs, *(["names_repeated_key"] if repeated else [])]
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None, []
    return _with_text_keys(value), ["names_loose_json"]


def _load_unclosed(text: str) -> tuple[Any, list[str]]:
    """What is whole of a JSON that was cut off: cut behind its last value that can be closed."""
    ends = [len(text), *(m.start() for m in reversed(list(re.finditer(r'[,\]}"]', text))))]
    for end in ends[:_ENDS]:
        for head in (text[:end], text[: end + 1]):
            _, open_brackets = _closing(head, 0)
            value, repairs = _load(head.rstrip().rstrip(",") + "".join(reversed(open_brackets)))
            if value is not None:
                return value, ["names_unclosed", *repairs]
    return None, []


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _with_text_keys(value: Any) -> Any:
    """Python's literals may have any key; JSON's are text."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_with_text_keys(item) for item in value]
    return value
