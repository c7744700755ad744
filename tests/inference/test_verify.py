"""``predict --verify``: equal answers pass, a changed row is found and its file is not scored any more."""

import json

import pytest

from llava_corr import cli
from llava_corr.benchmarks.verified import Verification, require_verified, verdict_path
from llava_corr.errors import PredictionError
from llava_corr.inference.prediction_file import made_path
from llava_corr.inference.verify import difference
from llava_corr.record_files import iter_predictions, write_records
from llava_corr.records import Mask, Prediction, Segment


@pytest.fixture(scope="module")
def predicted(tiny_run, tmp_path_factory):
    """The content of a finished file."""
    run, samples = tiny_run
    path = tmp_path_factory.mktemp("predicted") / "p.jsonl"
    assert cli.main(["predict", "--run", str(run), "--samples", str(samples), "--out", str(path), "--verify"]) == 0
    return path


@pytest.fixture
def call(tiny_run, predicted, tmp_path):
    """(function that verifies N answers of a copy of the file, path of the copy)"""
    run, samples = tiny_run
    path = tmp_path / "p.jsonl"
    path.write_bytes(predicted.read_bytes())
    made_path(path).write_bytes(made_path(predicted).read_bytes())
    words = ["predict", "--run", str(run), "--samples", str(samples), "--out", str(path)]
    return lambda *more: cli.main([*words, *map(str, more)]), path


def verdict(path):
    return Verification.model_validate_json(verdict_path(path).read_text())


def change(path, **update):
    rows = list(iter_predictions(path))
    rows[5] = rows[5].model_copy(update=update)
    write_records(path, rows)
    return rows[5]


def test_equal_answers_pass(predicted):
    found = verdict(predicted)
    assert (len(found.checked), found.equal, found.agreement, found.differing) == (4, 4, 1.0, ())
    assert found.dtype == "float32"
    require_verified(predicted)
    assert all(p.segments for p in iter_predictions(predicted)), "or masks are not compared"


def test_a_file_without_a_verdict_passes(tmp_path):
    require_verified(tmp_path / "p.jsonl")


def test_a_finished_file_is_verified_without_predicting_it_again(call):
    verify, path = call
    before = path.stat()
    assert verify("--verify", 3, "--verify-seed", 1) == 0
    assert len(verdict(path).checked) == 3
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_text_is_found_and_scoring_refuses(call, tiny_run, capsys):
    verify, path = call
    change(path, text="The common objects are gone.", segments=())
    assert verify("--verify", 12) == 1
    (found,) = verdict(path).differing
    assert found.sample_id == "toy5"
    assert "text" in found.kinds
    assert found.texts[0] == "The common objects are gone."
    score = ["score", "--samples", str(tiny_run[1]), "--predictions", str(path), "--out", str(path) + ".scores"]
    assert cli.main(score) == 2
    said = capsys.readouterr().err
    assert "1 of 12 answers came out differently" in said
    assert "toy5" in said
    assert "--restart --verify" in said
    assert not path.with_name("p.jsonl.scores").exists()
    assert verify("--restart", "--verify") == 0  # the way out that the message names
    require_verified(path)


def test_a_changed_mask_is_found(call):
    verify, path = call
    (first, *rest) = list(iter_predictions(path))[5].segments
    pixels = first.mask.to_array()
    pixels[0, 0] = not pixels[0, 0]  # one pixel
    change(path, segments=(first.model_copy(update={"mask": Mask.from_array(pixels)}), *rest))
    assert verify("--verify", 12) == 1
    (found,) = verdict(path).differing
    assert (found.sample_id, found.kinds, found.texts) == ("toy5", ("masks",), None)
    assert 0.5 < found.ious[0] < 1
    assert found.ious[1:] == (1.0,) * len(rest)


def test_a_file_changed_after_it_was_verified_is_refused(call):
    verify, path = call
    assert verify("--verify", 1) == 0
    change(path, text="another")
    with pytest.raises(PredictionError, match="changed after it was verified"):
        require_verified(path)


def test_in_low_precision_a_difference_is_a_rate(call, caplog):
    """bfloat16 runs end to end; whatever it finds, it refuses nothing."""
    verify, path = call
    caplog.set_level("INFO")
    assert verify("--dtype", "bfloat16", "--verify", 12, "--restart") == 0
    found = verdict(path)
    assert found.dtype == "bfloat16"
    assert found.agreement == pytest.approx(found.equal / 12)
    change(path, text="another")
    assert verify("--dtype", "bfloat16", "--verify", 12) == 0
    assert verdict(path).agreement < 1
    require_verified(path)
    assert f"{verdict(path).equal} of 12 answers equal" in caplog.text


def test_a_file_of_another_model_or_other_samples_is_not_verified(call, tiny_run, capsys):
    verify, path = call
    record = json.loads(made_path(path).read_text())
    record["settings"]["model"] = "another"
    made_path(path).write_text(json.dumps(record))
    assert verify("--verify") == 2
    assert "the finished file was made otherwise" in capsys.readouterr().err
    assert verify("--verify", "--limit", 5) == 2
    assert "not those to the 5 samples" in capsys.readouterr().err
    made_path(path).unlink()
    assert verify("--verify") == 0  # nothing is recorded: the answers themselves tell


def test_unreadable_verdicts_are_named(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text("")
    verdict_path(path).write_text("{}")
    with pytest.raises(PredictionError, match="not a valid Verification"):
        require_verified(path)


def box(x0, x1, y1=8):
    import numpy as np

    pixels = np.zeros((10, 20), bool)
    pixels[0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def answer(*segments, text="t"):
    return Prediction(sample_id="s", truth="t", text=text, image_sizes=((10, 20),), segments=segments)


def segment(mask, phrase="leg", score=0.9, image_index=0):
    return Segment(phrase=phrase, image_index=image_index, mask=mask, score=score)


@pytest.mark.parametrize(
    ("other", "kinds", "ious"),
    [
        ([segment(box(0, 4))], None, None),
        ([segment(box(0, 4), score=0.9004)], None, None),
        ([segment(box(0, 4), score=0.8)], ("scores",), (1.0,)),
        ([segment(box(0, 4), score=float("nan"))], ("scores",), (1.0,)),
        ([segment(box(0, 2))], ("masks",), (0.5,)),
        ([segment(box(0, 4), phrase="arm")], ("labels",), (1.0,)),
        ([segment(box(0, 4), image_index=1)], ("labels",), (1.0,)),
        ([], ("labels", "masks"), None),
        ([segment(box(0, 4)), segment(box(0, 4))], ("labels", "masks"), None),
    ],
)
def test_what_differs(other, kinds, ious):
    found = difference(answer(segment(box(0, 4))), answer(*other))
    assert (found and found.kinds) == kinds
    assert (found and found.ious) == ious


def test_differing_texts_are_shown():
    assert difference(answer(), answer(text="u")).texts == ("t", "u")
