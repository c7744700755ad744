"""Errors a user can act on: they cross processes whole."""

import copy
import pickle

import pytest

from llava_corr.cli import main
from llava_corr.errors import ImageError, LlavaCorrError, SampleError


@pytest.mark.parametrize(
    "error",
    [
        LlavaCorrError("plain"),
        SampleError("two\nlines", where="row 3"),
        ImageError("gone", where="a.png", mend="restore it"),
    ],
)
def test_pickled_errors_keep_what_where_and_mend(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert (again.what, again.where, again.mend) == (error.what, error.where, error.mend)
        assert str(again) == str(error)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("world --occlusion {empty}", "there is no finished world"),
        ("world --difficulty {empty}", "there is no finished world"),
        ("cache --config ablations/no_cem.yaml", "an overlay goes after a whole configuration"),
        (
            "predict --model data/zoo --images {empty} --ask What? --out {empty}/a.json",
            "this is a folder, not an image",
        ),
        ("size --config tiny/calico.yaml --out {file}/sizes.json", "there is a file where a folder is to be"),
    ],
)
def test_common_slips_are_answered_by_what_to_do(tmp_path, words, said, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"empty": str(tmp_path / "empty"), "file": str(tmp_path / "file")}
    assert main([word.format(**places) for word in words.split()]) == 2
    assert said in capsys.readouterr().err
