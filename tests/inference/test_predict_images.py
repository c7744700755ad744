"""``predict --images``: a record and a picture of it, and every option that does not fit named."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from llava_corr import cli
from llava_corr.datasets.mixedparts.phrasings import QUESTIONS, in_words
from llava_corr.errors import SampleError
from llava_corr.inference.show import draw_answers
from llava_corr.models.checkpoints.model_folder import identify
from llava_corr.record_files import iter_predictions
from llava_corr.records import Mask, Prediction, Segment


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (60, 80)), ("b.jpg", (50, 40))):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(tmp_path / name)
    return [str(tmp_path / "a.png"), str(tmp_path / "b.jpg")]


def predict(*words):
    return cli.main(["predict", *map(str, words)])


@pytest.mark.parametrize("kind", ["--run", "--model"])
def test_end_to_end(tmp_path, tiny_run, pictures, kind):
    run, _ = tiny_run
    out = tmp_path / "answers" / "answer.json"
    folder = run if kind == "--run" else run / "model"
    asked = ["Which parts do they share?", "Find the common objects."]
    assert predict(kind, folder, "--images", *pictures, "--ask", asked[0], "--ask", asked[1], "--out", out) == 0
    written = json.loads(out.read_text())
    assert [i["path"] for i in written["images"]] == pictures
    assert [(i["height"], i["width"]) for i in written["images"]] == [(60, 80), (50, 40)]
    assert [row["question"] for row in written["answers"]] == asked
    for row in written["answers"]:
        prediction = Prediction.model_validate(row["prediction"])
        assert prediction.image_sizes == ((60, 80), (50, 40))
    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.size[0] > 2 * 448


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("--run RUN --images A B --out x.json", "--images and --ask belong together"),
        ("--run RUN --samples S --ask What? --out x.json", "--images and --ask belong together"),
        ("--run RUN --samples S --images A B --ask What? --out x.json", "give either --samples"),
        ("--run RUN --out x.json", "give either --samples"),
        ("--run RUN --images A B --ask What? --out x.png", "name a .json file"),
        ("--run RUN --model M --images A B --ask What? --out x.json", "either --run RUN or --model"),
        ("--images A B --ask What? --out x.json", "either --run RUN or --model"),
        ("--run RUN --images A B --ask What? --out x.json --limit 3", "are for --samples"),
        ("--run RUN --images A B --ask What? --out x.json --verify", "are for --samples"),
        ("--model nowhere --samples S --out x.jsonl", "there is no model"),
        ("--samples S --out x.jsonl", "either --run RUN or --model"),
        ("--run RUN --images A B --ask common_part --out x.json", "did you mean 'common_parts'"),
        ("--run RUN --samples S --out x.jsonl --limit 0", "counted from 1"),
        ("--run RUN --samples S --out x.jsonl --verify -1", "neither is negative"),
        ("--run RUN --images A nothing.jpg --ask What? --out x.json", "does not exist"),
        ("--run RUN --images A BROKEN --ask What? --out x.json", "cannot be read"),
        ("--run RUN --images A --ask <image> --out x.json", "ask in words"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, tiny_run, pictures, words, fault, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    places = {"RUN": tiny_run[0], "S": tiny_run[1], "A": pictures[0], "B": pictures[1], "BROKEN": "broken.jpg"}
    assert predict(*(places.get(word, word) for word in words.split())) == 2
    assert fault in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


def test_a_task_is_asked_in_words(tmp_path, tiny_run, pictures):
    words = ("--run", tiny_run[0], "--images", *pictures, "--ask", "common_parts", "--out", tmp_path / "x.json")
    assert predict(*words) == 0
    (answer,) = json.loads((tmp_path / "x.json").read_text())["answers"]
    assert answer["question"] == QUESTIONS["common_parts"][0]
    assert predict(*words[:-4], "--ask", QUESTIONS["common_parts"][0], "--out", tmp_path / "y.json") == 0
    (again,) = json.loads((tmp_path / "y.json").read_text())["answers"]
    assert again["prediction"] == answer["prediction"]


@pytest.mark.parametrize("question", ["请分割共同部分", "Describe", "Why?"])
def test_questions_of_one_word_are_asked(question):
    assert in_words(question, 1) == (question, None)


def test_a_task_wants_two_pictures():
    assert in_words("common_parts", 2) == (QUESTIONS["common_parts"][0], "common_parts")
    with pytest.raises(SampleError, match="compares pictures, and there is 1"):
        in_words("common_parts", 1)
    assert in_words(" common-parts ", 2)[1] == "common_parts"
    for word in ("comon_parts", "Common-Part"):
        with pytest.raises(SampleError, match="did you mean 'common_parts'"):
            in_words(word, 2)


def test_a_model_folder_answers_a_samples_file_like_its_run(tmp_path, tiny_run):
    run, samples = tiny_run
    for option, folder in (("--run", run), ("--model", run / "model")):
        words = (option, folder, "--samples", samples, "--limit", 3, "--batch-size", 3)
        assert predict(*words, "--out", tmp_path / f"{option[2:]}.jsonl") == 0
    by_run, by_model = ([p.text for p in iter_predictions(tmp_path / f"{n}.jsonl")] for n in ("run", "model"))
    assert [text[:20] for text in by_model] == [text[:20] for text in by_run]  # the run ends answers earlier


def test_photos_are_drawn_upright(tmp_path, tiny_run, pictures):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    with Image.open(pictures[0]) as picture:
        picture.save(tmp_path / "turned.png", exif=exif)
    shown = (tmp_path / "turned.png", pictures[1])
    assert predict("--run", tiny_run[0], "--images", *shown, "--ask", "What?", "--out", tmp_path / "x.json") == 0
    written = json.loads((tmp_path / "x.json").read_text())
    assert (written["images"][0]["height"], written["images"][0]["width"]) == (80, 60)
    assert written["answers"][0]["prediction"]["image_sizes"][0] == [80, 60]


def test_only_an_earlier_answer_is_replaced(tmp_path, tiny_run, pictures, capsys):
    asked = ("--run", tiny_run[0], "--ask", "What?", "--images", *pictures)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert predict(*asked, "--out", tmp_path / "a.json") == 2
    assert f"would overwrite --images {pictures[0]}" in capsys.readouterr().err
    for name in ("notes.json", "other.png"):
        (tmp_path / name).write_text("{}")
        assert predict(*asked, "--out", (tmp_path / name).with_suffix(".json")) == 2
        assert f"{name} is there, and is not of an earlier answer" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "{}"
    assert {file: file.read_bytes() for file in before} == before
    for _ in range(2):
        assert predict(*asked, "--out", tmp_path / "new.json") == 0


def square(side, x0, x1):
    pixels = np.zeros((side, side), bool)
    pixels[:, x0:x1] = True
    return Mask.from_array(pixels)


def test_the_picture_grows_with_the_answer_and_cuts_nothing():
    grey = np.full((100, 100, 3), 128, np.uint8)
    sizes = ((100, 100),) * 2
    segment = Segment(phrase="leg", image_index=1, mask=square(100, 10, 60), score=0.9, sentence="The leg.")
    heights = []
    for words in ("<p> the leg </p> [SEG] (IMAGE2).", "word " * 300, "x" * 900, ""):
        answer = Prediction(sample_id="q", truth="", text=words, image_sizes=sizes, segments=(segment,))
        drawn = draw_answers([grey, grey], [("Which?", answer)], ["a.jpg", "b.jpg"])
        assert (drawn.dtype, drawn.shape[2]) == (np.uint8, 3)
        assert (drawn[:, -4:] == 255).all(), "no letter reaches the edge"
        heights.append(drawn.shape[0])
    assert heights[1] > heights[0] + 200
    assert heights[2] > heights[0] + 100
    assert heights[3] == heights[0]


def test_phrases_wear_the_colours_of_their_masks():
    from llava_corr.drawing.colours import label_colours

    grey = np.full((100, 100, 3), 128, np.uint8)
    segment = Segment(phrase="leg", image_index=0, mask=square(100, 10, 60), score=0.9, sentence="A leg.")
    text = "Here is <p> the leg </p> [SEG] (IMAGE1)."
    answer = Prediction(sample_id="q", truth="", text=text, image_sizes=((100, 100),), segments=(segment,))
    drawn = draw_answers([grey], [("Which?", answer)], ["a.jpg"])
    below = drawn[-40:]
    assert (below == label_colours(["leg"])["leg"]).all(-1).sum() > 100


def test_a_base_that_was_moved_is_named(tmp_path, tiny_run, pictures, capsys):
    base, parts = tmp_path / "base", tmp_path / "parts"
    shutil.copytree(tiny_run[0] / "model", base)
    shutil.copytree(base, parts, ignore=shutil.ignore_patterns("*.safetensors"))
    name = "seg_projection.layers.0.bias"
    tensors = {name: load_file(base / "model.safetensors")[name]}
    save_file(tensors, parts / "trained.safetensors")
    manifest = {"base": identify(base), "adapter": False, "tensors": {name: list(tensors[name].shape)}}
    (parts / "trained.json").write_text(json.dumps(manifest))
    moved = base.rename(tmp_path / "moved")
    words = ("--model", parts, "--images", *pictures, "--ask", "What do they share?", "--out", tmp_path / "answer.json")
    assert predict(*words) == 2
    errors = capsys.readouterr().err
    assert "the base of these trained parts is missing" in errors
    assert str(base) in errors
    assert "--base" in errors
    assert predict(*words, "--base", moved) == 0
