"""One base for every composition: what stays is taken over, what is new starts fresh and must be trained."""

import copy
import functools

import pytest
import torch
from toy import small_config, write_toy

from llava_corr.datasets.collate import Collator
from llava_corr.errors import ConfigError
from llava_corr.models.adapters import TrainedParts
from llava_corr.models.checkpoints.model_folder import load_model
from llava_corr.models.correspondence import ZeroLinear
from llava_corr.models.recompose import recompose
from llava_corr.training.model import build_model, save_release

PAPER = ("training.lora={dropout: 0}", "training.trainable=[correspondence.attention, adaptation]")
NO_DINO, NO_ADAPTATION = "model.correspondence=null", "model.adaptation=null"


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A base with all parts, its CEM and CAMs stirred, and one without them."""
    folder = tmp_path_factory.mktemp("recompose")
    samples = write_toy(folder, 4)
    for name, overrides in (("full", ()), ("plain", (NO_DINO, NO_ADAPTATION))):
        parts, processor = build_model(small_config(folder, *overrides), samples)
        for module in parts.model.modules():
            if isinstance(module, ZeroLinear):
                torch.nn.init.normal_(module.weight, std=0.3)
        parts.model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)

    return functools.partial(build_on, samples=samples, folder=folder), samples


def build_on(base, *overrides, samples, folder):
    weights = f"model.weights={folder / base}"
    return build_model(small_config(folder, weights, "model.random_frozen=false", *overrides), samples)


def states(parts, processor, samples):
    batch = Collator(processor)(samples)
    batch.pop("sample_ids")
    with torch.no_grad():
        return parts.model.eval()(**batch).hidden_states


@pytest.mark.parametrize(
    ("overrides", "gone", "new"),
    [
        ((NO_DINO,), ("correspondence",), ()),
        ((NO_DINO, NO_ADAPTATION), ("correspondence", "adaptation"), ()),
        (("model.adaptation.layers=[1/3]",), ("adaptation.2",), ()),
        (("model.adaptation.layers=[0, 1/3]",), ("adaptation.2",), ("adaptation.0",)),
        (("model.adaptation.guidance=false",), ("adaptation.1.guidance",), ("adaptation",)),
        ((NO_DINO, "model.adaptation.requery=false"), ("correspondence",), ("adaptation",)),
    ],
    ids=str,
)
def test_ablations_start_from_the_full_base(setting, overrides, gone, new):
    build, samples = setting
    base = build("full", *PAPER)[0].model.state_dict()
    parts, processor = build("full", *PAPER, *overrides)
    found = parts.model.state_dict()
    assert not any(n.startswith(gone) for n in found)
    for name, value in found.items():
        if name.startswith(new) and new:
            assert name not in base or not torch.equal(value, base[name]) or not value.any()
        elif name in base and "lora_" not in name:
            assert torch.equal(value, base[name]), name
    assert states(parts, processor, samples).isfinite().all()


def test_new_cem_and_cams_leave_a_plain_base_as_it_is(setting):
    build, samples = setting
    plain, processor = build("plain", *PAPER, NO_DINO, NO_ADAPTATION)
    added, _ = build("plain", *PAPER, NO_DINO)
    assert any(n.startswith("adaptation.1") for n in added.names())
    assert torch.allclose(states(added, processor, samples), states(plain, processor, samples), atol=1e-6)


def test_a_release_brings_the_parts_that_were_added(setting, tmp_path):
    build, samples = setting
    config = small_config(tmp_path, *PAPER, NO_DINO, f"model.weights={build.keywords['folder'] / 'plain'}")
    parts, processor = build_model(config, samples)
    with torch.no_grad():
        parts.model.adaptation["1"].output.weight.normal_(std=0.3)
    save_release(config, parts, tmp_path / "release", parts.tensors())
    again = TrainedParts(load_model(tmp_path / "release"), None)
    assert again.model.config.adaptation_layers == [1, 2]
    assert torch.allclose(states(again, processor, samples), states(parts, processor, samples), atol=1e-5)


def test_a_new_tower_that_is_not_trained_is_refused(setting):
    build, _ = setting
    with pytest.raises(ConfigError, match=r"no weights for correspondence\.semantic_model.*would stay random"):
        build("plain", *PAPER)
    parts, _ = build("plain", "training.lora=null", "training.trainable=[correspondence, adaptation]")
    assert any(n.startswith("correspondence.semantic_model") for n in parts.names())


def test_without_the_q_former_the_projection_is_new(setting):
    build, samples = setting
    gone = ("model.qformer=null", NO_DINO, NO_ADAPTATION)
    with pytest.raises(ConfigError, match=r"no weights for visual_tokens\.projection"):
        build("full", "training.lora={}", "training.trainable=[]", *gone)
    parts, processor = build("full", "training.lora={}", "training.trainable=[visual_tokens.projection]", *gone)
    assert processor.tokens_per_image == 16
    base = build("full", *PAPER)[0].model.state_dict()
    tower = {n: v for n, v in parts.model.state_dict().items() if "vision_model" in n}
    assert tower
    assert all(torch.equal(v, base[n]) for n, v in tower.items())
    assert states(parts, processor, samples).isfinite().all()


def test_a_projection_of_another_kind_is_new_and_the_rest_stays(setting):
    build, samples = setting
    with pytest.raises(ConfigError, match=r"no weights for visual_tokens\.projection"):
        build("full", *PAPER, "model.projection=mlp")
    trained = ("training.lora={}", "training.trainable=[visual_tokens.projection]")
    parts, processor = build("full", *trained, "model.projection=mlp")
    base = build("full", *PAPER)[0].model.state_dict()
    found = {n: v for n, v in parts.model.state_dict().items() if "lora_" not in n}
    new = {n for n in found if n.startswith("visual_tokens.projection.")}
    assert len(new) == 4  # two layers
    assert found.keys() - new == {n for n in base if "lora_" not in n and not n.startswith("visual_tokens.projection.")}
    assert all(torch.equal(found[n], base[n]) for n in found.keys() - new)
    assert states(parts, processor, samples).isfinite().all()


def test_other_sizes_are_another_model(setting):
    build, _ = setting
    with pytest.raises(ConfigError, match=r"semantic_config.hidden_size: the experiment has 48, the weights 24"):
        build("full", *PAPER, "model.correspondence.hidden_size=48")


@pytest.mark.parametrize(
    ("trained", "missing"),
    [
        (("training.trainable=[adaptation]",), "trunk"),
        (
            ("training.lora={}", "training.trainable=[visual_tokens, grounding, seg_projection, correspondence]"),
            "trunk",
        ),
        (("training.trainable=[trunk, visual_tokens, correspondence, adaptation]",), "grounding"),
    ],
)
def test_from_scratch_nothing_stays_random_unless_it_is_asked_for(tmp_path, trained, missing):
    samples = write_toy(tmp_path, 2)
    with pytest.raises(ConfigError, match=rf"no weights for .*{missing}"):
        build_model(small_config(tmp_path, *trained, "model.random_frozen=false"), samples)
    build_model(small_config(tmp_path, *trained, "model.random_frozen=true"), samples)


def test_from_scratch_all_parts_or_all_words_are_trained(tmp_path):
    samples = write_toy(tmp_path, 2)
    build_model(small_config(tmp_path, "model.random_frozen=false"), samples)
    words = ("training.losses.mask=0", "training.losses.dice=0")
    build_model(small_config(tmp_path, "model.random_frozen=false", *words), samples)


def test_new_parts_go_where_the_others_are(toy):
    model = copy.deepcopy(toy[0]).to("meta")
    wanted = copy.deepcopy(model.config)
    wanted.adaptation_layers = [0, 1]
    fresh, _ = recompose(model, wanted)
    assert fresh
    assert {p.device.type for p in model.parameters()} == {"meta"}
