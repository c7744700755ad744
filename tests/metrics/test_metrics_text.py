"""Likeness of labels, and the cache that keeps torch out of a second scoring."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from llava_corr.errors import ConfigError, StorageError
from llava_corr.metrics.text import LabelEmbeddings, cache_name, word_iou, word_iou_matrix


@pytest.fixture(scope="module")
def embeddings():
    return LabelEmbeddings()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("seat cushion", "seat cushion", 1.0),
        ("seat cushion", "cushion seat", 1.0),
        ("seat cushion", "seat", 1 / 2),
        ("chair leg", "leg", 1 / 2),
        ("seat", "leg", 0.0),
        ("a b c", "b c d", 2 / 4),
        ("leg leg", "leg", 1.0),
        ("", "leg", 0.0),
        ("", "", 0.0),
    ],
)
def test_word_iou(first, second, expected):
    assert word_iou(first, second) == word_iou(second, first) == expected


def test_word_iou_matrix_keeps_its_shape_when_empty():
    assert word_iou_matrix([], ["leg"]).shape == (0, 1)
    assert word_iou_matrix(["leg"], []).shape == (1, 0)
    np.testing.assert_array_equal(word_iou_matrix(["leg", "seat"], ["leg"]), [[1.0], [0.0]])


def test_packaged_model_gives_the_published_similarities(embeddings):
    """The three sentences and six cosines of the sentence-transformers quick start for all-MiniLM-L6-v2."""
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(embeddings.similarity(sentences, sentences), expected, atol=1e-4)


def test_special_cases_of_similarity(embeddings):
    values = embeddings.similarity(["leg", "", "chair leg"], ["leg", "", "wing"])
    assert values[0, 0] == 1.0
    assert (values[1] == 0.0).all()
    assert (values[:, 1] == 0.0).all()
    assert 0.5 < values[2, 0] < 1.0
    assert embeddings.similarity([], ["leg"]).shape == (0, 1)
    assert LabelEmbeddings().similarity([""], [""]).tolist() == [[0.0]]


def test_equal_labels_are_exactly_one_whatever_rounding_does(embeddings):
    names = [f"part {k}" for k in range(60)]
    assert (np.diag(embeddings.similarity(names, names)) == 1.0).all()


def test_values_do_not_depend_on_which_labels_are_asked_together(embeddings):
    alone = LabelEmbeddings().similarity(["seat"], ["back pillow"])
    names = ["seat", "wing", "a much longer label of many words"]
    assert embeddings.similarity(names, ["back pillow"])[0, 0] == pytest.approx(alone[0, 0], abs=1e-5)


def test_cache_holds_what_was_embedded(tmp_path):
    path = tmp_path / cache_name()
    first = LabelEmbeddings(cache=path)
    expected = first.similarity(["seat", "leg", ""], ["arm"])
    first.save()
    with np.load(path, allow_pickle=False) as stored:
        assert stored["labels"].tolist() == ["arm", "leg", "seat"]
        assert str(stored["model"]).startswith("all-MiniLM-L6-v2")
    np.testing.assert_array_equal(LabelEmbeddings(cache=path).similarity(["seat", "leg", ""], ["arm"]), expected)


def test_cached_labels_need_no_torch_and_the_room_imports_lightly(tmp_path):
    path = tmp_path / "cache.npz"
    embeddings = LabelEmbeddings(cache=path)
    embeddings.similarity(["seat"], ["leg"])
    embeddings.save()
    code = (
        "import sys\n"
        "import llava_corr.metrics.masks, llava_corr.metrics.detection, llava_corr.metrics.intervals\n"
        "from llava_corr.metrics.text import LabelEmbeddings\n"
        f"print(LabelEmbeddings(cache={str(path)!r}).similarity(['seat'], ['leg']).round(3).tolist())\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'deepspeed'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"
    assert done.stdout.splitlines()[0] == str(embeddings.similarity(["seat"], ["leg"]).round(3).tolist())


def test_cache_of_another_model_is_replaced(tmp_path, caplog):
    path = tmp_path / "cache.npz"
    np.savez(path, model=np.array("other"), labels=np.array(["seat", "leg"]), vectors=np.eye(2, dtype=np.float32))
    with caplog.at_level(logging.WARNING):
        embeddings = LabelEmbeddings(cache=path)
    assert "holds embeddings of other" in caplog.text
    assert embeddings.similarity(["seat"], ["leg"])[0, 0] > 0
    embeddings.save()
    with np.load(path) as stored:
        assert stored["vectors"].shape == (2, 384)


def test_broken_cache_is_named(tmp_path):
    path = tmp_path / "cache.npz"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(StorageError, match="cache of label embeddings cannot be read") as caught:
        LabelEmbeddings(cache=path)
    assert str(path) in str(caught.value)


def test_unusable_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        LabelEmbeddings(str(tmp_path)).similarity(["seat"], ["leg"])


def test_cache_names_are_plain_file_names():
    assert cache_name() == "label_embeddings.all-MiniLM-L6-v2.npz"
    assert cache_name("org/some model:v1") == "label_embeddings.some-model-v1.npz"
