"""Tokenizers of Llama-type releases, with the ids that their weights were trained on (facts 1.2, 2 and 10).

Those were made by the slow tokenizer of their time, which drops the spaces around added tokens (not around <s>, </s>
and <unk>) and lets every piece of text between them begin with a word boundary. transformers' own loading puts a lone
boundary before every special token, and by way of ``AutoTokenizer`` drops the first one of a text: other ids, so other
states at every [SEG].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import sentencepiece
from tokenizers import normalizers
from transformers import AddedToken, LlamaTokenizer, PreTrainedTokenizerFast

from ...errors import CheckpointError
from ...grammar import IMAGE, SEG, SPECIAL_TOKENS
from .model_folder import named

FILES = ("tokenizer.model", "tokenizer.json")


# Of the rows of a release; the second of LISA's is its 13B's.
LAST: dict[str, list[tuple[str, ...]]] = {
    "glamm": [(SEG, "<p>", "</p>")],
    "lisa": [(SEG,), (SEG, "<im_start>", "<im_end>")],
}


def load_llama_tokenizer(
    folder: str | Path, rows: int, *, extend: bool = False, last: Sequence[Sequence[str]] = ()
) -> PreTrainedTokenizerFast:
    """The tokenizer of a release, with <image> behind the rows of its weights: its positions are filled with visual
    tokens, so it needs none.

    Args:
        folder: of the release, or another with its tokenizer.
        rows: of the embedding.
        extend: it is of a release that knows none of the grammar's special tokens; they are added, before <image>.
        last: tokens that the last rows are known to be of, in order; one of these must be so.

    Raises:
        CheckpointError: there is none, it does not know [SEG], or its ids are not those of the rows.
    """
    path = Path(folder)
    if not any((path / name).is_file() for name in FILES):
        mend = f"take the release's whole folder, or name one with {FILES[0]}: --tokenizer FOLDER"
        raise CheckpointError("there is no tokenizer", where=str(path), mend=mend)
    if (path / FILES[0]).is_file():
        check_pieces(path / FILES[0])
    with named(path, TypeError, KeyError):
        tokenizer = LlamaTokenizer.from_pretrained(path, legacy=True, trust_remote_code=False)
    known = tokenizer.get_vocab()
    if SEG not in known and not extend:
        raise CheckpointError(f"the tokenizer does not know {SEG}", where=str(path), mend="take the release's own")
    if (found := 1 + max(known.values())) != rows:
        raise CheckpointError(
            f"the tokenizer has ids for {found} rows, the embedding has {rows}",
            where=str(path),
            mend="take tokenizer and weights of one release",
        )
    faults = [_misplaced(tokens, known, rows) for tokens in last]
    if faults and all(faults):
        raise CheckpointError(faults[0], where=str(path), mend="take tokenizer and weights of one release")
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]  # a word boundary before every piece of text
    )
    tokenizer.backend_tokenizer.pre_tokenizer = None
    if extend:
        tokenizer.add_tokens(list(SPECIAL_TOKENS), special_tokens=True)
    unstripped = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token}
    for token in (*(added.content for added in tokenizer.added_tokens_decoder.values()), IMAGE):
        sides = {"lstrip": token not in unstripped, "rstrip": token not in unstripped}
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=True, **sides)], special_tokens=True)
    return PreTrainedTokenizerFast(  # LlamaTokenizer would put its own splitting back when it is loaded again
        tokenizer_object=tokenizer.backend_tokenizer,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        unk_token=tokenizer.unk_token,
        pad_token=tokenizer.pad_token or tokenizer.unk_token,
        clean_up_tokenization_spaces=False,
    )


def _misplaced(tokens: Sequence[str], known: Mapping[str, int], rows: int) -> str:
    """What is wrong where the last rows should be of these tokens; empty if nothing is."""
    wrong = [f"{t} is {known.get(t)}" for k, t in enumerate(reversed(tokens), 1) if known.get(t) != rows - k]
    return (
        f"the last of {rows} rows are of {', '.join(tokens)}, but by the tokenizer {', '.join(wrong)}" if wrong else ""
    )


def check_pieces(file: Path) -> None:
    """What sentencepiece cannot read transformers takes for a file of another library, which it asks for.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError) as cause:
        raise CheckpointError(
            f"the file is damaged: {cause}",
            where=str(file),
            mend="download it again, and compare its size with the one its page shows",
        ) from cause
