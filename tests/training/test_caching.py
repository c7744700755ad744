"""Training from cached features is training from the towers; a cache that does not fit is refused before step 1."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy import small_config, toy_samples, write_toy
from training_runs import arguments, finish, log_of

from llava_corr.cli import main
from llava_corr.datasets import collate
from llava_corr.datasets.collate import Collator
from llava_corr.datasets.feature_cache import FeatureCache, picture_keys
from llava_corr.datasets.images import dialogue_key
from llava_corr.errors import FeatureCacheError, ImageError
from llava_corr.models.modeling import LlavaCorrForConditionalGeneration
from llava_corr.record_files import write_samples
from llava_corr.records import Turn
from llava_corr.training import cache_building
from llava_corr.training.cache_building import build_cache
from llava_corr.training.caching import TOWERS, made_with, open_features
from llava_corr.training.model import build_model
from llava_corr.training.sft import train

FROZEN = (
    "training.lora={rank: 4, alpha: 8, dropout: 0}",
    "training.trainable=[correspondence.attention, adaptation, grounding.sam.mask_decoder]",
    "training.max_steps=6",
    "training.batch_size=4",
    "training.logging_steps=1",
    "training.learning_rate=0.01",
    "training.warmup_steps=0",
)
LOSSES = ("loss", "language", "mask", "dice", "grad_norm")


def frozen(folder, *overrides):
    return small_config(folder, *FROZEN, *overrides)


def cached(folder, *overrides):
    return frozen(folder, f"data.features={folder / 'cache'}", *overrides)


def opened(config, samples):
    parts, processor = build_model(config, samples)
    return parts, processor, open_features(config, parts.model, processor, samples)


def curve(folder):
    return [row[name] for row in log_of(folder) if "grad_norm" in row for name in LOSSES]


def text_only(sample, name):
    turn = Turn(user="Say something.", assistant="There is no common object.")
    return sample.model_copy(update={"id": name, "images": (), "targets": (), "turns": (turn,)})


@pytest.fixture
def samples(tmp_path):
    return write_toy(tmp_path, 8)


@pytest.fixture
def cache(tmp_path, samples):
    build_cache(frozen(tmp_path), tmp_path / "cache", batch_size=5)
    return tmp_path / "cache"


@pytest.fixture
def no_towers(monkeypatch):
    """Any use of a picture or a tower is a failure."""

    def used(*_, **__):
        raise AssertionError("a tower was run or a picture was opened")

    def forbid():
        for name in ("look", "look_for_meaning", "encode_grounding"):
            monkeypatch.setattr(LlavaCorrForConditionalGeneration, name, used)
        monkeypatch.setattr(collate, "load_picture", used)

    return forbid


@pytest.mark.parametrize(
    ("bf16", "dtype", "rel"),
    [(False, "float32", 1e-6), (True, "bfloat16", 1e-2), (True, "float32", 1e-6), (False, "bfloat16", 1e-2)],
)
def test_the_loss_curve_is_that_of_uncached_towers(tmp_path, samples, no_towers, bf16, dtype, rel):
    write_samples(tmp_path / "validation.jsonl", toy_samples(tmp_path / "more", 11)[8:])
    plainly = "training.deepspeed=null"  # which is how train() runs here
    more = (
        f"training.bf16={bf16}",
        plainly,
        f"data.validation={tmp_path / 'validation.jsonl'}",
        "training.save_steps=3",
    )
    built = build_cache(frozen(tmp_path, *more), tmp_path / "cache", batch_size=4, dtype=getattr(torch, dtype))
    assert built.added == built.pictures == 22 == len(FeatureCache(tmp_path / "cache"))
    plain = train(frozen(tmp_path, "name=plain", *more))
    no_towers()
    fast = train(cached(tmp_path, "name=cached", *more))
    assert curve(fast) == pytest.approx(curve(plain), rel=rel)
    # it does learn, and what is trained of the correspondence is no longer at its start
    assert curve(plain)[-5] < 0.97 * curve(plain)[0]
    scored = [[row for row in log_of(folder) if "validation_mask" in row][-1] for folder in (plain, fast)]
    for term in ("language", "mask", "dice"):
        assert scored[1][f"validation_{term}"] == pytest.approx(scored[0][f"validation_{term}"], rel=rel)


def test_workers_change_nothing(tmp_path, cache):
    plain = train(cached(tmp_path, "name=plain"))
    workers = train(cached(tmp_path, "name=workers", "data.workers=2"))
    assert curve(workers) == curve(plain)


def test_a_run_goes_on_from_its_checkpoint(tmp_path, cache):
    whole = train(cached(tmp_path, "name=whole", "training.save_steps=3"))
    halves = train(cached(tmp_path, "name=halves", "training.save_steps=3"))
    shutil.rmtree(halves / "model")
    shutil.rmtree(halves / "checkpoints" / "checkpoint-6")
    train(cached(tmp_path, "name=halves", "training.save_steps=3"))
    assert curve(halves) == curve(whole)


def test_batches_without_pictures(tmp_path, samples, no_towers):
    """Words only, words beside pictures: the same losses and gradients as with the towers."""
    samples = [*samples[:2], *(text_only(samples[0], f"words{n}") for n in range(2))]
    write_samples(tmp_path / "train.jsonl", samples)
    build_cache(frozen(tmp_path), tmp_path / "cache")
    parts, processor, features = opened(cached(tmp_path), samples)

    def run(chosen, **options):
        batch = Collator(processor, **options)(chosen)
        batch.pop("sample_ids")
        parts.model.zero_grad()
        output = parts.model(**batch)
        output.loss.backward()
        return output.loss.item(), {
            n: p.grad.norm().item() for n, p in parts.model.named_parameters() if p.requires_grad
        }

    batches = (samples[2:], samples[1:3])
    expected = [run(chosen) for chosen in batches]
    no_towers()
    for chosen, (loss, gradients) in zip(batches, expected, strict=True):
        found, found_gradients = run(chosen, features=features)
        assert found == pytest.approx(loss, rel=1e-6)
        assert found_gradients == pytest.approx(gradients, rel=1e-4, abs=1e-6)


def test_a_blind_run(tmp_path, samples, cache, no_towers):
    """Grey pictures are cached like others, beside them."""
    blind = "data.blind=true"
    with pytest.raises(FeatureCacheError, match="1 of 1 pictures are not in the feature cache:\n    grey 48 x 64"):
        train(cached(tmp_path, blind))
    plain = train(frozen(tmp_path, "name=plain", blind))
    assert build_cache(frozen(tmp_path, blind), cache).added == 1
    no_towers()
    assert curve(train(cached(tmp_path, "name=cached", blind))) == pytest.approx(curve(plain), rel=1e-6)


def test_without_masks_the_grounding_tower_is_left_out(tmp_path, samples, no_towers):
    words = ("training.losses.mask=0", "training.losses.dice=0", "training.trainable=[adaptation]")
    build_cache(frozen(tmp_path, *words), tmp_path / "cache")
    assert FeatureCache(tmp_path / "cache").made.keys() == {"patches", "semantic"}
    plain = train(frozen(tmp_path, "name=plain", *words))
    with pytest.raises(FeatureCacheError, match="holds no grounding_features"):
        train(cached(tmp_path))
    no_towers()
    assert curve(train(cached(tmp_path, "name=cached", *words))) == pytest.approx(curve(plain), rel=1e-6)


@pytest.mark.parametrize(
    ("ablation", "held"),
    [
        (("model.correspondence=null",), {"patches", "grounding_features"}),
        (
            ("model.qformer=null", "model.adaptation=null", "model.correspondence=null"),
            {"patches", "grounding_features"},
        ),
        (("model.correspondence.image_size=16",), {"patches", "semantic", "grounding_features"}),
        (("model.vision.feature_layer=-2",), {"patches", "semantic", "grounding_features"}),
    ],
)
def test_other_compositions(tmp_path, samples, no_towers, ablation, held):
    build_cache(frozen(tmp_path, *ablation), tmp_path / "cache")
    assert FeatureCache(tmp_path / "cache").made.keys() - {"grounding_sizes"} == held
    plain = train(frozen(tmp_path, "name=plain", *ablation))
    no_towers()
    assert curve(train(cached(tmp_path, "name=cached", *ablation))) == pytest.approx(curve(plain), rel=1e-6)


TRAINED = {
    "patches": "visual_tokens.vision_model",
    "semantic": "correspondence.semantic_model",
    "grounding_features": "grounding.sam.vision_encoder",
}


@pytest.mark.parametrize("name", TOWERS)
def test_a_trained_tower_is_not_cached(tmp_path, samples, cache, name, caplog):
    """The others are, and it goes on looking at pictures; a cache that holds its features is refused."""
    more = (f"training.trainable=[adaptation, {TRAINED[name]}]", "training.learning_rate=0.001")
    with pytest.raises(FeatureCacheError, match=f"trains the {TOWERS[name]}: features made before"):
        train(cached(tmp_path, *more))
    shutil.rmtree(cache)
    caplog.set_level("INFO")
    build_cache(frozen(tmp_path, *more), cache)
    assert f"the {TOWERS[name]} is trained" in caplog.text
    assert FeatureCache(cache).made.keys() - {"grounding_sizes"} == TOWERS.keys() - {name}
    plain = train(frozen(tmp_path, "name=plain", *more))
    fast = train(cached(tmp_path, "name=cached", *more))
    assert curve(fast) == pytest.approx(curve(plain), rel=1e-5)


def test_nothing_to_cache_is_refused(tmp_path, samples, cache):
    everything = ("training.lora=null", "training.trainable=[all]")
    with pytest.raises(FeatureCacheError, match="every image tower is trained"):
        build_cache(frozen(tmp_path, *everything), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(FeatureCacheError, match="trains the vision tower and the DINOv2 and the grounding tower"):
        train(cached(tmp_path, *everything))
    write_samples(tmp_path / "train.jsonl", [text_only(samples[0], "words")])
    with pytest.raises(FeatureCacheError, match="no sample has a picture"):
        build_cache(frozen(tmp_path), tmp_path / "other")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("seed=5",), "other weights of the vision tower"),
        (("model.vision.image_size=40",), "other pictures for the vision tower"),
        (("model.correspondence.image_size=16",), "other pictures for the DINOv2"),
        (("model.grounding.num_attention_heads=4",), "other configuration of the grounding tower"),
        (("training.bf16=true",), "other arithmetic of the vision tower"),
        (("model.frozen_dtype=bfloat16", "training.bf16=true"), "other number format of the vision tower's weights"),
        (("model.vision.feature_layer=-2",), "other configuration of the vision tower"),
    ],
)
def test_a_cache_of_another_model_is_refused(tmp_path, samples, cache, overrides, reason):
    with pytest.raises(FeatureCacheError, match=reason) as found:
        train(cached(tmp_path, *overrides))
    assert "data.features" in str(found.value)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(FeatureCacheError, match=reason):
        build_cache(frozen(tmp_path, *overrides), cache)


def test_one_weight_counts(tmp_path, samples):
    config = frozen(tmp_path)
    parts, processor = build_model(config, samples)
    before = made_with(config, parts.model, processor)
    assert made_with(config, parts.model, processor) == before
    with torch.no_grad():
        parts.model.trunk.model.embed_tokens.weight[0, 0] += 1
        assert made_with(config, parts.model, processor) == before
        parts.model.correspondence.semantic_model.encoder.layer[0].mlp.fc1.weight[-1, -1] += 1e-6
    after = made_with(config, parts.model, processor)
    assert [n for n in before if before[n] != after[n]] == ["semantic"]


def test_the_same_weights_from_a_folder_fit(tmp_path, samples, cache):
    """A cache of fresh weights serves an experiment that loads them; processor and attention do not matter."""
    base, processor = build_model(small_config(tmp_path), samples)
    base.model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    config = cached(tmp_path, f"model.weights={tmp_path / 'base'}", "model.attention=eager")
    assert opened(config, samples)[2] is not None


def test_missing_pictures_are_listed(tmp_path, samples, cache):
    more = toy_samples(tmp_path / "more", 14)[8:]
    write_samples(tmp_path / "train.jsonl", [*samples, *more])
    with pytest.raises(FeatureCacheError, match="12 of 28 pictures are not in the feature cache") as found:
        train(cached(tmp_path))
    text = str(found.value)
    assert sum("more/" in line for line in text.splitlines()) == 10
    assert "and 2 more" in text
    assert "run llava-corr cache" in text
    assert not (tmp_path / "runs").exists()


def test_a_changed_picture_is_another_one(tmp_path, samples, cache):
    path = samples[3].images[1].path
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] += 1
    Image.fromarray(pixels).save(path)
    with pytest.raises(FeatureCacheError, match=r"1 of 16 pictures are not in the feature cache:\n    .*7\.png"):
        train(cached(tmp_path))
    assert build_cache(frozen(tmp_path), cache).added == 1
    assert opened(cached(tmp_path), samples)[2] is not None


def test_a_sample_that_states_another_size(tmp_path, samples, cache):
    image = samples[0].images[0]
    wrong = samples[0].model_copy(
        update={"images": (image.model_copy(update={"height": 64, "width": 48}), samples[0].images[1]), "targets": ()}
    )
    with pytest.raises(FeatureCacheError, match=r"48 x 64 pixels .* its sample says 64 x 48"):
        opened(cached(tmp_path), [wrong, *samples[1:]])


def test_two_paths_of_one_picture_are_one(tmp_path, samples):
    """Stored once, found under both."""
    moved = []
    for sample in samples:
        images = []
        for image in sample.images:
            twin = tmp_path / "twins" / image.path.rpartition("/")[2]
            twin.parent.mkdir(exist_ok=True)
            shutil.copy(image.path, twin)
            images.append(image.model_copy(update={"path": str(twin)}))
        moved.append(sample.model_copy(update={"id": f"{sample.id}-twin", "images": tuple(images)}))
    write_samples(tmp_path / "train.jsonl", [*samples, *moved])
    built = build_cache(frozen(tmp_path), tmp_path / "cache")
    assert built.pictures == len(FeatureCache(tmp_path / "cache")) == 16
    _, processor, features = opened(cached(tmp_path), [*samples, *moved])
    batch = Collator(processor, features=features)([samples[0], moved[0]])
    assert torch.equal(batch["patches"][:2], batch["patches"][2:])


def test_a_build_that_broke_off_goes_on(tmp_path, samples, monkeypatch):
    """A picture that cannot be read stops it; what was made is kept, and made once."""
    path = Path(samples[5].images[0].path)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(ImageError, match="cannot be read"):
        build_cache(frozen(tmp_path), tmp_path / "cache", batch_size=2)
    kept = len(FeatureCache(tmp_path / "cache"))
    assert kept == 10
    path.write_bytes(whole)
    looked = []
    look = cache_building.look
    monkeypatch.setattr(cache_building, "look", lambda *a, **k: looked.append(1) or look(*a, **k))
    built = build_cache(frozen(tmp_path), tmp_path / "cache", batch_size=2)
    assert (built.pictures, built.added, len(looked)) == (16, 6, 3)
    train(cached(tmp_path))


def test_the_command(tmp_path, samples, capsys, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path)
    config = frozen(tmp_path)
    (tmp_path / "experiment.yaml").write_text(config.to_yaml())
    words = ["cache", "--config", "experiment.yaml", "--batch-size", "4"]
    assert main(words) == 0
    assert "16 pictures, 16 of them added in" in caplog.text
    assert "pictures/s" in caplog.text
    assert "GB in data/cache/tiny-calico" in caplog.text
    assert "--set data.features=data/cache/tiny-calico" in caplog.text
    assert "cache: 100%" in capsys.readouterr().err
    assert main(words) == 0
    assert "16 pictures, 0 of them added\n" in caplog.text
    assert main([*words, "--dtype", "bfloat16"]) == 2
    assert "go on with --dtype float32" in capsys.readouterr().err
    assert main([*words, "--set", "data.workers=2", "--out", "other", "--dtype", "bfloat16"]) == 0
    assert FeatureCache("other").stand_in(["patches"])["patches"].dtype == torch.bfloat16
    assert main([*words[:-1], "0"]) == 2


@pytest.mark.parametrize("layout", ["ddp", "zero2"])
def test_ranks_train_from_one_cache(tmp_path, layout):
    """Two ranks, one of them at times without any picture, take the steps of one process."""
    samples = write_toy(tmp_path, 5)
    write_samples(tmp_path / "train.jsonl", [*samples, *(text_only(samples[0], f"words{n}") for n in range(5))])
    more = ("training.batch_size=1", f"training.deepspeed={'zero2.json' if layout == 'zero2' else 'null'}")
    build_cache(frozen(tmp_path), tmp_path / "cache")
    features = f"data.features={tmp_path / 'cache'}"
    alone = train(cached(tmp_path, *more, "name=alone", "training.batch_size=2"))
    start = [str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc-per-node", "2"]
    finish([*start, *arguments(tmp_path, *FROZEN, features, *more, f"name={layout}")])
    assert curve(tmp_path / layout) == pytest.approx(curve(alone), rel=1e-4)


@pytest.mark.parametrize("deepspeed", ["zero2.json", "null"])
def test_features_in_bfloat16_are_those_of_the_arithmetic_of_the_run(tmp_path, samples, deepspeed, monkeypatch):
    """On weights in bfloat16 under DeepSpeed, under autocast without; only towers are moved to the device."""
    config = frozen(tmp_path, "training.bf16=true", f"training.deepspeed={deepspeed}")
    monkeypatch.setattr(LlavaCorrForConditionalGeneration, "to", None)
    build_cache(config, tmp_path / "cache")
    monkeypatch.undo()
    cache = FeatureCache(tmp_path / "cache")
    parts, processor = build_model(config, samples)
    (arithmetic,) = {v for k, v in cache.made["patches"].items() if k.startswith("arithmetic")}
    pure = deepspeed != "null"
    assert ("weights too" in arithmetic) == pure
    model = parts.model.eval().bfloat16() if pure else parts.model.eval()
    image = samples[0].images[0]
    pixels = processor.pixels([np.asarray(Image.open(image.path))], grounding=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=not pure):
        expected = model.look(pixels["pixel_values"])[0].bfloat16()
    keys = picture_keys([image], blind=False)
    found = cache.load(keys[dialogue_key(image, blind=False)], ["patches"])["patches"]
    assert torch.allclose(found.float(), expected.float(), atol=0.05)
    other = config.model_copy(update={"training": config.training.model_copy(
        update={"deepspeed": None if pure else "zero2.json"})})  # fmt: skip
    assert made_with(config, parts.model, processor).keys() == made_with(other, parts.model, processor).keys()
    assert made_with(config, parts.model, processor) != made_with(other, parts.model, processor)
    # no launcher started this process: a run of it would leave DeepSpeed out, and so be of the other kind
    if pure:
        with pytest.raises(FeatureCacheError, match="arithmetic of the vision tower"):
            train(cached(tmp_path, "training.bf16=true", f"training.deepspeed={deepspeed}"))
