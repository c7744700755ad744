"""The tokenizer of tiny trunks: nothing is lost, identifiers and special tokens are single tokens."""

from hypothesis import given
from hypothesis import strategies as st

from llava_corr.grammar import SPECIAL_TOKENS, ground
from llava_corr.models.tokenizing import train_tokenizer

TEXTS = [
    f"The images show {ground('the chair', range(2))} and {ground('the drawer', (k,))}." for k in range(5)
] * 40  # fmt: skip
TOKENIZER = train_tokenizer(TEXTS, 400)


def ids(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def test_identifiers_and_special_tokens_are_single_tokens():
    for k in range(1, 6):
        assert len(ids(f" (IMAGE{k})")) == 1
    assert all(len(ids(token)) == 1 for token in SPECIAL_TOKENS)
    assert len({tuple(ids(f" (IMAGE{k})")) for k in range(1, 6)}) == 5


@given(st.text() | st.sampled_from(TEXTS) | st.from_regex(r"(\(IMAGE\d{0,3}\)?|\[SEG\]|'s| |a1){0,8}", fullmatch=True))
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(ids(text)) == text


def test_same_texts_same_tokenizer():
    assert train_tokenizer(TEXTS, 400).get_vocab() == TOKENIZER.get_vocab()
