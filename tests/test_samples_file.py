"""Samples files read row by row: the same samples as read whole, whatever is asked for; every fault with its row."""

import multiprocessing
import pickle
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_corr import record_files
from llava_corr.errors import SampleError
from llava_corr.record_files import SamplesFile, image_paths, read_samples, write_samples
from llava_corr.records import ImageRef, Sample, Turn


@pytest.fixture
def rows(tmp_path):
    """Path of a file, and a function that writes lines (bytes) into it."""
    path = tmp_path / "x.jsonl"
    return path, lambda data: path.write_bytes(data) and path


def make_sample(name, path="a.png"):
    image, turn = ImageRef(path=path, height=4, width=4), Turn(user="q", assistant="a")
    return Sample(id=name, split="train", source="toy", task="caption", images=(image,), turns=(turn,))


def line(name):
    return make_sample(name).model_dump_json().encode()


def ids(samples):
    return [sample.id for sample in samples]


@given(st.slices(7), st.lists(st.integers(-7, 6), max_size=5))
def test_slices_are_those_of_a_list(tmp_path_factory, part, picks):
    path = tmp_path_factory.mktemp("s") / "x.jsonl"
    write_samples(path, [make_sample(f"é{k}", f"{k}.png") for k in range(7)])
    whole, file = read_samples(path), SamplesFile(path)
    assert len(file[part]) == len(whole[part])
    assert list(file[part]) == whole[part]
    assert [file[k] for k in picks] == [whole[k] for k in picks]
    assert list(image_paths(file[part])) == list(image_paths(whole[part]))
    assert list(file[:3][1:]) == whole[1:3]
    with pytest.raises(IndexError):
        file[7]


@pytest.mark.parametrize(
    "data",
    [b"\n \n%a\n\t\r\n\n%b\n\n", b"%a\r\n%b\r\n", b"%a\n%b", b"%a\n%b\n  ", b"  %a  \n\n%b"],
    ids=["blank lines", "carriage returns", "no last newline", "blank last line", "spaces"],
)
def test_blank_lines_and_line_ends_do_not_count(rows, data):
    path, write = rows
    write(data.replace(b"%a", line("a")).replace(b"%b", line("b")))
    assert ids(SamplesFile(path)) == ids(read_samples(path)) == ["a", "b"]


@pytest.mark.parametrize("data", [b"", b"\n", b" \n\r\n\t"])
def test_an_empty_file_holds_nothing(rows, data):
    path, _ = rows
    path.write_bytes(data)
    assert len(SamplesFile(path)) == 0
    assert list(SamplesFile(path)[:5].checked()) == read_samples(path) == []


def test_faults_name_their_row(rows, tmp_path):
    path, write = rows
    write(line("a") + b"\n\n" + line("b")[:-7])
    file = SamplesFile(path)
    assert file[0].id == "a"
    with pytest.raises(SampleError, match="row 3") as caught:
        file[1]
    assert str(path) in caught.value.where
    with pytest.raises(SampleError, match="row 3"):
        list(file.image_paths())
    write(line("a") + b"\n" + line("\u00e9").replace("é".encode(), b"\xe9") + b"\n")
    for read in (lambda: SamplesFile(path)[1], lambda: read_samples(path)):
        with pytest.raises(SampleError, match=rf"not UTF-8 text: .* at byte {len(line('a')) + 1 + len(b'{.id.:.')}"):
            read()
    write(b'{"images": 3}\n')
    with pytest.raises(SampleError, match="row 1"):
        list(SamplesFile(path).image_paths())
    with pytest.raises(SampleError, match="does not exist"):
        SamplesFile(tmp_path / "none.jsonl")
    with pytest.raises(SampleError, match="cannot be read"):
        SamplesFile(tmp_path)


def test_duplicates_name_both_rows_and_equal_digests_are_none(rows, monkeypatch):
    path, write = rows
    write(b"\n".join([line("a"), b"", line("b"), line("c"), line("b")]))
    with pytest.raises(SampleError, match="'b' occurs twice") as caught:
        list(SamplesFile(path).checked())
    assert "rows 3 and 5" in caught.value.where
    assert ids(SamplesFile(path)[:3].checked()) == ["a", "b", "c"]  # what a limit leaves out is not looked at
    monkeypatch.setattr(record_files, "_digest", lambda name: 7)
    with pytest.raises(SampleError, match="rows 3 and 5"):
        list(SamplesFile(path).checked())
    assert ids(SamplesFile(path)[:3].checked()) == ["a", "b", "c"]


def first_id(file):
    return file[0].id


def test_other_processes_read_it(rows):
    path, write = rows
    write(line("a") + b"\n" + line("b"))
    file = SamplesFile(path)
    assert file[0].id == "a"  # the file is open now
    copy = pickle.loads(pickle.dumps(file[1:]))
    assert ids(copy) == ["b"]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(first_id, [file, file[1:]]) == ["a", "b"]


def test_a_file_changed_in_use_is_refused(rows):
    path, write = rows
    write(line("a") + b"\n" + line("b"))
    file = SamplesFile(path)
    write(line("b") + b"\n" + line("b2"))
    with pytest.raises(SampleError, match="changed while it was in use"):
        file[0]


def test_hash_is_of_content_and_rows_taken(rows):
    path, write = rows
    write(line("a") + b"\n" + line("b"))
    file = SamplesFile(path)
    hashes = [file.content_hash(), file[:1].content_hash(), file[1:].content_hash()]
    assert len(set(hashes)) == 3
    assert SamplesFile(path)[:1].content_hash() == hashes[1]
    write(line("a") + b"\n" + line("c"))
    assert SamplesFile(path).content_hash() not in hashes


def test_memory_does_not_grow_with_the_samples(rows):
    path, write = rows
    write(b"\n".join(line(str(k)) for k in range(3000)))
    tracemalloc.start()
    file = SamplesFile(path)
    assert sum(1 for _ in file.checked()) == 3000
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3000 * 100  # a parsed sample takes thousands of bytes
    assert peak < 3000 * 200
