"""Errors a user can act on: they cross processes whole."""

import copy
import pickle

import pytest

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
