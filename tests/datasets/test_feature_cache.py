"""The store of features: by content, whole or not at all, and never another model's."""

import json
import pickle
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from toy import toy_samples

from llava_corr.datasets import feature_cache_writer
from llava_corr.datasets.feature_cache import FeatureCache, check_made, picture_keys
from llava_corr.datasets.feature_cache_writer import writing
from llava_corr.errors import FeatureCacheError, ImageError, StorageError

MADE = {
    "patches": {"weights of the vision tower": "1", "pictures for the vision tower": "224"},
    "sizes": {"pictures for the grounding tower": "1024"},
}
KEYS = [f"{n:064d}" for n in range(10)]


def features(key):
    number = int(key)
    return {"patches": torch.full((3, 4), 0.1 + number), "sizes": torch.tensor([number, 7])}


def fill(folder, keys=KEYS, made=MADE, dtype=torch.float32):
    with writing(folder, made, dtype) as writer:
        for key in keys:
            if key not in writer.keys:
                writer.add(key, (48, 64), features(key))


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(feature_cache_writer, "SHARD_PICTURES", 4)


@pytest.fixture
def folder(tmp_path, small_shards):
    fill(tmp_path / "cache")
    return tmp_path / "cache"


def assert_whole(folder, keys=KEYS):
    cache = FeatureCache(folder)
    assert len(cache) == len(keys)
    for key in keys:
        found = cache.load(key, MADE)
        assert all(torch.equal(found[name], value) for name, value in features(key).items())
        assert cache.sizes[key] == (48, 64)


def test_what_is_stored_comes_back(folder):
    assert_whole(folder)
    assert len(list(folder.glob("*.safetensors"))) == 3
    cache = FeatureCache(folder)
    assert cache.load(KEYS[3], ["sizes"]).keys() == {"sizes"}
    assert {n: t.shape for n, t in cache.stand_in(MADE).items()} == {"patches": (3, 4), "sizes": (2,)}
    assert not cache.stand_in(["patches"])["patches"].any()
    assert "0" not in cache


def test_floats_are_stored_in_the_asked_format(tmp_path):
    fill(tmp_path, dtype=torch.bfloat16)
    found = FeatureCache(tmp_path).load(KEYS[2], MADE)
    assert found["patches"].dtype == torch.bfloat16
    assert torch.equal(found["patches"], features(KEYS[2])["patches"].bfloat16())
    assert found["sizes"].dtype == torch.int64


def test_a_shard_ends_at_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache_writer, "SHARD_BYTES", 2 * (3 * 4 * 4 + 2 * 8))
    fill(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 5


def test_keys_are_contents(tmp_path):
    """Two paths of one picture share a key; a changed file has another one; grey pictures go by their size."""
    images = [image for sample in toy_samples(tmp_path, 2) for image in sample.images]
    shutil.copy(images[0].path, tmp_path / "copy.png")
    copy = images[0].model_copy(update={"path": str(tmp_path / "copy.png")})
    keys = picture_keys([*images, copy])
    assert keys[copy.path] == keys[images[0].path]
    assert len(set(keys.values())) == 4
    shutil.copy(images[1].path, copy.path)
    assert picture_keys([copy])[copy.path] == keys[images[1].path]
    assert list(picture_keys(images, blind=True)) == ["grey 48 x 64"]
    (tmp_path / "copy.png").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        picture_keys([copy])


def test_a_second_writer_adds_and_leaves_the_rest(folder):
    before = {path: path.read_bytes() for path in folder.glob("*.safetensors")}
    more = [*KEYS, f"{77:064d}"]
    fill(folder, more)
    assert_whole(folder, more)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_what_was_added_before_an_error_is_kept(tmp_path):
    def one_and_an_error():
        with writing(tmp_path, MADE, torch.float32) as writer:
            writer.add(KEYS[0], (48, 64), features(KEYS[0]))
            raise ImageError("broken")

    with pytest.raises(ImageError):
        one_and_an_error()
    assert_whole(tmp_path, KEYS[:1])


KILLED = """
import os, signal, sys, torch
from llava_corr.datasets import feature_cache_writer as w
w.SHARD_PICTURES = 4
moment = sys.argv[2]
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if moment == "before the line": w.append_line = die
if moment == "in the line":
    add = w.append_line
    calls = []
    def half(path, line):
        calls.append(1)
        if len(calls) == 2:
            with open(path, "a") as handle: handle.write(line[:40]); handle.flush(); die()
        add(path, line)
    w.append_line = half
if moment == "in the shard":
    w.save = lambda tensors: b"half of it"
    os.fsync = die
with w.writing(sys.argv[1], {made}, torch.float32) as writer:
    for n in range(10):
        writer.add(f"{n:064d}", (48, 64), {"patches": torch.full((3, 4), 0.1 + n), "sizes": torch.tensor([n, 7])})
        if moment == "between" and n == 6: die()
"""


@pytest.mark.parametrize("moment", ["between", "before the line", "in the line", "in the shard"])
def test_a_killed_writer_is_taken_up(tmp_path, small_shards, moment):
    folder = tmp_path / "cache"
    if moment == "in the shard":
        fill(folder, [])  # the index itself goes through fsync, too
    script = KILLED.replace("{made}", repr(MADE))
    done = subprocess.run([sys.executable, "-c", script, str(folder), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    whole = {"between": 4, "before the line": 0, "in the line": 4, "in the shard": 0}[moment]
    assert len(FeatureCache(folder)) == whole
    fill(folder)
    assert_whole(folder)
    assert len(list(folder.glob("*.safetensors"))) == 3
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("fault", ["truncated", "missing"])
def test_a_damaged_shard_is_refused_and_made_again(folder, small_shards, fault, caplog):
    shard = folder / "00001.safetensors"
    shard.unlink() if fault == "missing" else shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(FeatureCacheError, match=r"00001\.safetensors (is missing|has 100 bytes)") as found:
        FeatureCache(folder)
    assert "run llava-corr cache again" in str(found.value)
    fill(folder)
    assert "its 4 pictures are made again" in caplog.text
    assert_whole(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_changed_byte_is_found_where_it_lies(tmp_path, dtype):
    fill(tmp_path, dtype=dtype)
    shard = tmp_path / "00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1  # the last tensor's last picture
    shard.write_bytes(content)
    cache = FeatureCache(tmp_path)
    for key in KEYS[:-1]:
        cache.load(key, MADE)
    with pytest.raises(FeatureCacheError, match=rf"other bytes than were written \(\w+ of picture {KEYS[-1][:12]}"):
        cache.load(KEYS[-1], MADE)


def test_a_shard_of_other_contents_is_unreadable(folder):
    shard = folder / "00000.safetensors"
    size = shard.stat().st_size
    shard.write_bytes(b"\xff" * size)
    with pytest.raises(FeatureCacheError, match="unreadable"):
        FeatureCache(folder).load(KEYS[0], MADE)
    save_file({"other": torch.zeros(size // 4)}, shard)
    lines = (folder / "index.jsonl").read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"bytes": shard.stat().st_size})
    (folder / "index.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(FeatureCacheError, match="unreadable"):
        FeatureCache(folder).load(KEYS[0], MADE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no feature cache in this folder"),
        ("", "no index"),
        ("[1]\n", "no index"),
        ('{"format": 2}\n', "no index"),
        ('{"format": 99, "made": {}, "dtype": "float32"}\n', "format 99"),
        ('{"format": 2, "made": {}, "dtype": "float32"}\n{"fi\n{"file": "0"}\n', "broken JSON"),
        ('{"format": 2, "made": {}, "dtype": "float32"}\n{"file": "0"}\n', "no index"),
    ],
)
def test_what_is_no_cache_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "index.jsonl").write_text(content)
    with pytest.raises(FeatureCacheError, match=reason):
        FeatureCache(tmp_path)


def test_every_difference_is_named(tmp_path):
    other = {"patches": {"weights of the vision tower": "2", "pictures for the vision tower": "336"}, "more": {}}
    with pytest.raises(FeatureCacheError) as found:
        check_made(MADE, other, tmp_path)
    for words in ("made with other weights of the vision tower", "made with other pictures for the vision tower",
                  "holds no more", "--out"):  # fmt: skip
        assert words in str(found.value)
    check_made(MADE, {"patches": MADE["patches"]}, tmp_path)


def test_a_writer_refuses_what_does_not_belong(tmp_path):
    fill(tmp_path / "cache", KEYS[:1])
    with pytest.raises(FeatureCacheError, match="other weights of the vision tower"):
        fill(tmp_path / "cache", made=MADE | {"patches": MADE["patches"] | {"weights of the vision tower": "2"}})
    with pytest.raises(FeatureCacheError, match="also holds sizes"):
        fill(tmp_path / "cache", made={"patches": MADE["patches"]})
    with pytest.raises(FeatureCacheError, match="--dtype float32"):
        fill(tmp_path / "cache", dtype=torch.bfloat16)
    (tmp_path / "mine.txt").write_text("a file")
    with pytest.raises(FeatureCacheError, match=r"holds other files: cache, mine\.txt"):
        fill(tmp_path)
    with pytest.raises(StorageError):
        fill(tmp_path / "mine.txt")
    assert_whole(tmp_path / "cache", KEYS[:1])


def test_two_writers_at_once(tmp_path):
    with writing(tmp_path, MADE, torch.float32) as writer:
        writer.add(KEYS[0], (48, 64), features(KEYS[0]))
        with pytest.raises(FeatureCacheError, match="another process is writing"):
            fill(tmp_path)
    fill(tmp_path)
    assert_whole(tmp_path)


class Loads(torch.utils.data.Dataset):
    def __init__(self, cache):
        self.cache = cache

    def __len__(self):
        return len(KEYS)

    def __getitem__(self, index):
        return self.cache.load(KEYS[index], ["patches"])["patches"]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_read(folder, start):
    cache = FeatureCache(folder)
    cache.load(KEYS[0], MADE)  # this process has a file open already
    loader = DataLoader(Loads(cache), batch_size=2, num_workers=2, multiprocessing_context=start)
    for batch, first in zip(loader, range(0, 10, 2), strict=True):
        assert torch.equal(batch[1], features(KEYS[first + 1])["patches"])


def test_a_cache_can_be_sent(folder):
    cache = FeatureCache(folder)
    cache.load(KEYS[0], MADE)
    again = pickle.loads(pickle.dumps(cache))
    assert torch.equal(again.load(KEYS[5], MADE)["patches"], cache.load(KEYS[5], MADE)["patches"])


def test_threads_read(folder):
    cache = FeatureCache(folder)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda key: cache.load(key, ["sizes"])["sizes"][0].item(), KEYS * 20))
    assert found == list(range(10)) * 20
