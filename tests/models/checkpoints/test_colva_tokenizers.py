"""The ids of CoLVA's conversations are those of the tokenizer it was trained with, and one token is added."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_phi3 import ADDED, ROWS, their_ids, write_phi3_tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llava_corr.errors import CheckpointError
from llava_corr.models.checkpoints.colva_tokenizers import (
    VPT,
    add_object_token,
    load_phi3_tokenizer,
    load_qwen_tokenizer,
)

TEXTS = [
    "<|system|>\n你是 InternVL.<|end|><|user|>\nImage-1: <img><IMG_CONTEXT></img>\nWhich?<|end|><|assistant|>\n",
    "begins with words <|end|>  two blanks",
    "no special token at all, é and 中",
    "<|end|><|end|> <img> x </img> y",
]


@pytest.fixture(scope="module", params=[False, True, None], ids=["legacy off", "legacy on", "legacy absent"])
def tokens(request, tmp_path_factory):
    """A tokenizer, its folder, and whether every piece of text begins with a word boundary."""
    folder = tmp_path_factory.mktemp("phi3")
    write_phi3_tokenizer(folder, legacy=request.param)
    return load_phi3_tokenizer(folder), folder, request.param is not False


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_the_slow_tokenizer(tokens, text, tmp_path):
    tokenizer, folder, legacy = tokens
    assert tokenizer(text)["input_ids"] == [1, *their_ids(folder, text, legacy)]
    add_object_token(tokenizer, ROWS, folder)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text)["input_ids"] == [1, *their_ids(folder, text, legacy)]


PIECES = st.lists(st.sampled_from([*ADDED[-12:], "<|end|>", " ", "the leg", " of", ", ", "é", "7", "\n"]), max_size=10)


@given(PIECES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_of_the_slow_tokenizer_whatever_follows(tokens, pieces):
    tokenizer, folder, legacy = tokens
    text = "<|user|>" + "".join(pieces)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == their_ids(folder, text, legacy)


def test_no_beginning_where_the_release_has_none(tmp_path):
    write_phi3_tokenizer(tmp_path, bos=False)
    assert load_phi3_tokenizer(tmp_path)("<|user|>")["input_ids"] == [330 + ADDED.index("<|user|>")]


def test_one_token_is_added_and_stands_by_itself(tmp_path):
    write_phi3_tokenizer(tmp_path)
    tokenizer = load_phi3_tokenizer(tmp_path)
    before = their_ids(tmp_path, "<|user|><object-1>") + their_ids(tmp_path, "<|end|>, two")[1:]
    add_object_token(tokenizer, ROWS, tmp_path)
    found = tokenizer(f"<|user|><object-1>{VPT}, two", add_special_tokens=False)["input_ids"]
    assert [one for one in found if one != ROWS] == before
    assert found.count(ROWS) == 1
    add_object_token(tokenizer, ROWS, tmp_path)  # the release may have it already
    assert len(tokenizer) == ROWS + 1


def test_a_tokenizer_json_is_taken_as_it_is(tmp_path):
    write_phi3_tokenizer(tmp_path / "slow")
    whole = load_phi3_tokenizer(tmp_path / "slow")
    whole.save_pretrained(tmp_path / "fast")
    (tmp_path / "fast" / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer", "legacy": true}')
    assert load_phi3_tokenizer(tmp_path / "fast")(TEXTS[0])["input_ids"] == whole(TEXTS[0])["input_ids"]


def test_other_tokenizers_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load_phi3_tokenizer(tmp_path)
    write_phi3_tokenizer(tmp_path)
    tokenizer: PreTrainedTokenizerFast = load_phi3_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match=f"has {ROWS} ids before {VPT}, which must be 32020"):
        add_object_token(tokenizer, 32020, tmp_path)
    tokenizer.add_tokens(["<more>", VPT])
    with pytest.raises(CheckpointError, match="which must be"):
        add_object_token(tokenizer, ROWS, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "InternLM2Tokenizer"}')
    with pytest.raises(CheckpointError, match="of class InternLM2Tokenizer"):
        load_phi3_tokenizer(tmp_path)


@pytest.mark.parametrize("spoil", [lambda content: content[:-20], lambda _: b"", lambda _: b"not a model"])
def test_a_damaged_file_is_named(tmp_path, spoil):
    write_phi3_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.model"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(CheckpointError, match="the file is damaged") as caught:
        load_phi3_tokenizer(tmp_path)
    assert caught.value.where == str(file)


def test_words_without_their_merges_are_no_tokenizer(tmp_path):
    """Every word would fall into letters."""
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(CheckpointError, match=r"there is no tokenizer: tokenizer.json or vocab.json and merges.txt"):
        load_qwen_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    assert "a" in load_qwen_tokenizer(tmp_path).get_vocab()
