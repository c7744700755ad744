"""A small tokenizer for tiny trunks: byte-level BPE trained on dialogues, with the grammar's special tokens."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..grammar import IMAGE, SPECIAL_TOKENS

BOS, EOS, PAD, UNKNOWN = "<s>", "</s>", "<pad>", "<unk>"
# GPT-2's words, and an image identifier as one word: it stands behind every [SEG], a third of an answer otherwise.
WORDS = Regex(r" ?\(IMAGE\d+\)|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Trains on ``texts``; the same texts give the same tokenizer.

    Args:
        texts: dialogues, questions and answers alike.
        vocab_size: upper bound, special tokens and the 256 bytes included.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=None, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(WORDS, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[UNKNOWN, BOS, EOS, PAD, IMAGE, *SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[IMAGE, *SPECIAL_TOKENS],
        clean_up_tokenization_spaces=False,
    )
