"""data/zoo as it comes with the repository: whole, small, of the recipe that its card shows, and able to see."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from transformers import RadioModel

from llava_corr.benchmarks.segmenters import Wanted
from llava_corr.config import load_config
from llava_corr.datasets.mixedparts.command import read_images, source_roots
from llava_corr.datasets.mixedparts.views import view_images
from llava_corr.errors import Findings
from llava_corr.grammar import SEG
from llava_corr.inference.phrase_segmenter import PhraseSegmenter
from llava_corr.inference.predictor import Predictor
from llava_corr.models.checkpoints.model_folder import load_model, load_processor
from llava_corr.training.model import build_model
from llava_corr.world.build import build_world
from llava_corr.world.catalogue import all_categories
from llava_corr.world.compose import FLAVOURS
from llava_corr.zoo.recipe import load_recipe

ZOO = Path(__file__).resolve().parents[2] / "data" / "zoo"


def test_weights_are_small_and_in_half_precision():
    files = sorted(ZOO.rglob("*.safetensors"))
    assert [str(path.relative_to(ZOO)) for path in files] == ["model.safetensors", "radio/model.safetensors"]
    assert sum(path.stat().st_size for path in files) <= 15e6
    for path in files:
        with safe_open(path, "pt") as tensors:
            kinds = {tensors.get_tensor(name).dtype for name in tensors.keys()}  # noqa: SIM118
        assert kinds <= {torch.float16, torch.int64}


def test_the_recipe_on_the_card_is_the_one_in_configs():
    shown = (ZOO / "README.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(shown) == load_recipe("tiny/zoo.yaml").model_dump(mode="json")


@pytest.mark.parametrize(
    "overlay", [[], ["ablations/no_cem.yaml"], ["ablations/three_cams.yaml"], ["ablations/no_qformer.yaml"]]
)
def test_trainings_start_from_it(overlay):
    config = load_config(["tiny/calico.yaml", *overlay], [f"model.weights={ZOO}"])
    parts, processor = build_model(config, [])
    given = load_model(ZOO).state_dict()
    frozen = {name: p for name, p in parts.model.named_parameters() if not p.requires_grad and name in given}
    assert any(name.startswith("grounding.sam.vision_encoder") for name in frozen)
    assert all(torch.equal(value, given[name]) for name, value in frozen.items())
    assert processor.tokenizer.convert_tokens_to_ids(SEG) == parts.model.config.seg_token_id


def test_radio_sees_pictures_of_the_grounding_towers_size():
    tower = RadioModel.from_pretrained(ZOO / "radio").float()
    side = load_config("tiny/calico.yaml").model.grounding.image_size
    with torch.no_grad():
        features = tower(torch.rand(1, 3, side, side)).features
    assert features.shape == (1, (side // tower.config.patch_size) ** 2, tower.config.hidden_size)
    assert features.isfinite().all()


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """(what is asked for, its true mask): the largest thing of new pictures, none of them from the zoo's world."""
    root = tmp_path_factory.mktemp("world")
    others = sorted(set(all_categories()) - set(load_recipe("tiny/zoo.yaml").world.kinds))
    build_world(root, counts={flavour: {"test": 8} for flavour in FLAVOURS}, seed=5, processes=1, unseen=others)
    findings = Findings()
    views = list(
        chain.from_iterable(
            view_images(read_images(name, path, "test", findings, without_test=False), findings)
            for name, path in source_roots([], str(root)).items()
        )
    )
    largest = [max(view.classes.items(), key=lambda item: item[1].mask.area) for view in views]
    return [(Wanted(view.ref, f"the {name}"), seen.mask) for view, (name, seen) in zip(views, largest, strict=True)]


def test_it_segments_what_it_is_asked_for(things):
    """Aligned only, never trained on pairs; a random model's mask of a thing has an IoU of about 0.1."""
    predictor = Predictor(load_model(ZOO), load_processor(ZOO), max_new_tokens=64)
    found = PhraseSegmenter(predictor).segment([wanted for wanted, _ in things])
    ious = [iou(answer.mask, mask) for answer, (_, mask) in zip(found, things, strict=True)]
    assert np.mean(ious) > 0.4, ious


def iou(mask, true):
    if mask is None:
        return 0.0
    one, other = mask.to_array(), true.to_array()
    return (one & other).sum() / (one | other).sum()
