"""Tokenizers of CoLVA's bases, with the one token that CoLVA adds (facts 1.4).

``<VPT_CONTEXT>`` stands where an object's vector goes. It lies behind all others and has no row of the embedding: its
id is to be exchanged for the image token's before look-up (facts 8 row 5).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers
from transformers import AddedToken, AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerFast

from ...errors import CheckpointError
from ...files import read_json
from .model_folder import named
from .tokenizers import check_pieces

VPT = "<VPT_CONTEXT>"
FAULTS = (TypeError, KeyError, AttributeError)
MEND = "take the release's own tokenizer: --tokenizer FOLDER"
BYTE_PAIRS = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # files of a Qwen2-VL's, in new form and in old
SENTENCEPIECE = ("LlamaTokenizer", "LlamaTokenizerFast")


def load_phi3_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of InternVL2-4B: sentencepiece, with special tokens of its own.

    With tokenizer.json it is as that file says. Without, it is put together as transformers did when CoLVA was
    trained: ``legacy`` in tokenizer_config.json decides whether every piece of text between special tokens begins with
    a word boundary, or the first one alone. Newer versions have other defaults.

    Raises:
        CheckpointError: there is none, or it needs code of its own.
    """
    settings = _settings(folder)
    kind = settings.get("tokenizer_class", SENTENCEPIECE[0])
    if kind not in SENTENCEPIECE:
        raise CheckpointError(f"a tokenizer of class {kind}, not {SENTENCEPIECE[0]}", where=str(folder), mend=MEND)
    if (folder / "tokenizer.json").is_file():
        with named(folder, *FAULTS):
            whole: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        return whole
    if not (folder / "tokenizer.model").is_file():
        raise CheckpointError("there is no tokenizer", where=str(folder), mend=MEND)
    check_pieces(folder / "tokenizer.model")
    with named(folder, *FAULTS):
        tokenizer = LlamaTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    backend = tokenizer.backend_tokenizer
    if settings.get("legacy") in (True, None):  # absent meant true
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    else:
        backend.normalizer = None
        backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        unk_token=tokenizer.unk_token,
        pad_token=tokenizer.pad_token,
        chat_template=tokenizer.chat_template,
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
    )


def load_qwen_tokenizer(folder: Path) -> Any:
    """The tokenizer of Qwen2-VL, as transformers loads it.

    Raises:
        CheckpointError: there is none.
    """
    if not any(all((folder / name).is_file() for name in names) for names in BYTE_PAIRS):
        listing = " or ".join(" and ".join(names) for names in BYTE_PAIRS)
        raise CheckpointError(f"there is no tokenizer: {listing}", where=str(folder), mend=MEND)
    with named(folder, *FAULTS):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    settings = read_json(file, CheckpointError) if file.is_file() else {}
    return settings if isinstance(settings, dict) else {}


def id_of(tokenizer: Any, token: str, where: Path) -> int:
    """The id of a token.

    Raises:
        CheckpointError: the tokenizer does not know it.
    """
    if token not in (known := tokenizer.get_vocab()):
        raise CheckpointError(f"the tokenizer does not know {token}", where=str(where), mend=MEND)
    return int(known[token])


def add_object_token(tokenizer: Any, expected: int, where: Path) -> None:
    """Adds :data:`VPT`, which the release may have, too.

    Args:
        expected: its id.

    Raises:
        CheckpointError: it would get, or has, another id: the tokenizer is not the one of the weights.
    """
    ids = tokenizer.get_vocab()
    free = 1 + max(number for token, number in ids.items() if token != VPT)
    if free != expected or ids.get(VPT, expected) != expected:
        raise CheckpointError(
            f"the tokenizer has {free} ids before {VPT}, which must be {expected} for these weights",
            where=str(where),
            mend=MEND,
        )
    tokenizer.add_tokens([AddedToken(VPT, normalized=False, special=True)], special_tokens=True)
    assert id_of(tokenizer, VPT, where) == expected
