"""The tokenizer of tiny trunks: nothing is lost, identifiers and special tokens are single tokens."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from toy import small_config, write_toy
from transformers import PreTrainedTokenizerFast

from llava_corr.datasets.collate import Collator
from llava_corr.grammar import IMAGE, SPECIAL_TOKENS, ground
from llava_corr.inference.predictor import Predictor
from llava_corr.models.tokenizing import train_tokenizer
from llava_corr.training.model import build_model

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


def test_an_image_token_behind_the_rows_of_released_weights_needs_none(tmp_path):
    """As with GLaMM: 32,007 rows, and <image> added to the tokenizer behind them (facts 1.2)."""
    samples = write_toy(tmp_path, 4)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **named)
    tokenizer.add_tokens(["the", "red", "green", "blue", "common", "objects", "are", "There", "is", "no"])
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIAL_TOKENS, IMAGE]})
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    parts, processor = build_model(small_config(tmp_path, f"model.tokenizer.path={tmp_path / 'tokenizer'}"), samples)
    assert processor.image_token_id == len(processor.tokenizer) - 1
    assert parts.model.config.text_config.vocab_size == len(processor.tokenizer) - 1
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    parts.model(**batch).loss.backward()
    predictions = list(Predictor(parts.model, processor, max_new_tokens=6).predict(samples, progress=False))
    assert len(predictions) == 4
