"""Ids of the dialogue grammar are those that the released weights were trained on."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_llama import GLAMM, LISA, slow_ids, write_tokenizer

from llava_corr.errors import CheckpointError
from llava_corr.grammar import IMAGE
from llava_corr.models.build import Vocabulary
from llava_corr.models.checkpoints.tokenizers import LAST, load_llama_tokenizer

DIALOGUES = [
    "USER: The (IMAGE1) and (IMAGE2) provide an overview. ASSISTANT: The <p> the leg </p> [SEG] (IMAGE1).</s>",
    "<p> the dog </p> [SEG] (IMAGE1) [SEG] (IMAGE2)</s>",
    "A. USER: x ASSISTANT: [SEG]</s>USER: y ASSISTANT: <p>no spaces</p>[SEG](IMAGE2),[SEG]</s>",
    "two  spaces,\nlines, digits 1234, é, 中 and \t tabs",
    " begins with a space [SEG] ",
    "spaces are dropped here [SEG] and kept there </s> <s> and <unk> . </s>",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(path)
    return path


@pytest.mark.parametrize("text", DIALOGUES)
def test_ids_of_the_slow_tokenizer(folder, text):
    tokenizer = load_llama_tokenizer(folder, 337)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == slow_ids(folder, text)


PIECES = st.lists(
    st.sampled_from([*GLAMM, "</s>", "<s>", "<unk>", " ", "  ", "the leg", " (IMAGE1)", ", ", ".", "é", "7", "\n"]),
    max_size=12,
)


@given(PIECES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_of_the_slow_tokenizer_whatever_the_text(folder, pieces):
    tokenizer = load_llama_tokenizer(folder, 337)
    text = "".join(pieces)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == slow_ids(folder, text)


def test_image_needs_no_row(folder):
    tokenizer = load_llama_tokenizer(folder, 337)
    vocabulary = Vocabulary.of(tokenizer)
    assert (vocabulary.size, vocabulary.image, vocabulary.seg, vocabulary.pad) == (337, 337, 334, 0)
    assert (
        tokenizer.convert_ids_to_tokens(tokenizer(f"The {IMAGE} (IMAGE1)", add_special_tokens=False)["input_ids"])[1]
        == IMAGE
    )


def test_it_is_the_same_when_saved_and_loaded(folder, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = load_llama_tokenizer(folder, 337)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llava_corr"}')
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in DIALOGUES:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_a_tokenizer_of_another_release(tmp_path, folder):
    rows = write_tokenizer(tmp_path / "lisa", LISA)
    assert Vocabulary.of(load_llama_tokenizer(tmp_path / "lisa", rows)).seg == 333
    with pytest.raises(CheckpointError, match="ids for 334 rows, the embedding has 337"):
        load_llama_tokenizer(tmp_path / "lisa", 337)
    with pytest.raises(CheckpointError, match="ids for 337 rows, the embedding has 334"):
        load_llama_tokenizer(folder, 334)
    write_tokenizer(tmp_path / "vicuna", ())
    with pytest.raises(CheckpointError, match="does not know"):
        load_llama_tokenizer(tmp_path / "vicuna", 330)


@pytest.mark.parametrize(("added", "fits"), [
    (LISA, True), (("[SEG]", "<im_start>", "<im_end>"), True), (("[SEG]", "<im_end>", "<im_start>"), False),
    (("<im_start>", "[SEG]", "<im_end>"), False),
])  # fmt: skip
def test_the_last_rows_are_of_tokens_that_are_known(tmp_path, added, fits):
    """[SEG] of LISA's 7B is the last, that of its 13B lies before the marks of images."""
    rows = write_tokenizer(tmp_path, added)
    if fits:
        assert load_llama_tokenizer(tmp_path, rows, last=LAST["lisa"])
        return
    with pytest.raises(CheckpointError, match=r"the last of 333 rows are of \[SEG\], but by the tokenizer \[SEG\] is"):
        load_llama_tokenizer(tmp_path, rows, last=LAST["lisa"])


def test_no_tokenizer_or_a_broken_one(tmp_path, folder):
    (tmp_path / "none").mkdir()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load_llama_tokenizer(tmp_path / "none", 337)
    (tmp_path / "none" / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes()[:100])
    with pytest.raises(CheckpointError):
        load_llama_tokenizer(tmp_path / "none", 337)
