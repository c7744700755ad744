"""Experiments: overrides, all faults at once, suggestions, bare names, bases."""

import re
import runpy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llava_corr.config import load_config, overfitted, resolve_config_path, validate
from llava_corr.errors import ConfigError
from llava_corr.experiment import ExperimentConfig
from llava_corr.files import resource
from llava_corr.zoo.recipe import load_recipe

RECIPES = [resource("configs", "tiny", "zoo.yaml")]  # of the zoo: no experiments
CONFIGS = sorted(path for path in resource("configs").rglob("*.yaml") if path not in RECIPES)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_shipped_config_loads_and_has_a_header(path):
    head = path.read_text()
    overlay = "overlay" in head.splitlines()[0]
    names = re.search(r"--config (\S+(?: [\w/]+\.yaml)*)", head)
    config = load_config(names[1].split())
    assert path in [resolve_config_path(name) for name in names[1].split()]  # its own command, as written
    assert overlay or load_config(path) == config
    assert "# Purpose:" in head
    assert "# Command:" in head


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_every_shipped_recipe_loads_and_has_a_header(path):
    recipe = load_recipe(path)
    assert load_config(recipe.experiment).model.weights
    assert "# Purpose:" in path.read_text()
    assert "# Command:" in path.read_text()
    with pytest.raises(ConfigError, match=r"wordss(.|\n)*did you mean"):
        load_recipe(path, ["wordss.steps=3"])


def test_bare_name_and_overrides():
    config = load_config("tiny/calico.yaml", ["training.max_steps=7", "training.betas=[0.5,0.6]", "data.blind=true"])
    assert config.training.max_steps == 7
    assert config.training.betas == (0.5, 0.6)
    assert config.data.blind


def test_resolved_config_round_trips():
    config = load_config("tiny/calico.yaml")
    assert ExperimentConfig.model_validate(yaml.safe_load(config.to_yaml())) == config


def test_all_faults_are_reported_together_with_suggestions(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\ndata: {train: a}\ntraining: {learning_rat: 1, batch_size: -2}\nmodle: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert "3 faults" in message
    assert "did you mean 'learning_rate'" in message
    assert "did you mean 'model'" in message
    assert "training.batch_size" in message
    assert "bad.yaml" in message


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: [1", "broken YAML"),
        ("- 1\n- 2", "no mapping"),
        ("", "name: Field required"),
        ("base: self.yaml", "builds on itself"),
    ],
)
def test_unusable_files(tmp_path, text, fragment):
    path = tmp_path / "self.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fragment):
        load_config(path)


def test_not_utf8(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


def test_base_is_laid_below(tmp_path):
    (tmp_path / "below.yaml").write_text("name: below\ndata: {train: a}\ntraining: {batch_size: 2, max_steps: 5}\n")
    (tmp_path / "top.yaml").write_text("base: below.yaml\nname: top\ntraining: {batch_size: 3}\n")
    config = load_config(tmp_path / "top.yaml")
    assert (config.name, config.training.batch_size, config.training.max_steps) == ("top", 3, 5)


def test_files_are_laid_over_one_another_left_to_right(tmp_path):
    (tmp_path / "no_cam.yaml").write_text("training: {max_steps: 5, batch_size: 2}\n")
    (tmp_path / "big.yaml").write_text("training: {batch_size: 3}\nmodel: {trunk: {hidden_size: 320}}\n")
    config = load_config(["tiny/calico.yaml", tmp_path / "no_cam.yaml", tmp_path / "big.yaml"], ["seed=4"])
    assert (config.training.max_steps, config.training.batch_size, config.seed) == (5, 3, 4)
    assert config.model.trunk.hidden_size == 320
    assert config.model.trunk.num_hidden_layers == load_config("tiny/calico.yaml").model.trunk.num_hidden_layers
    assert config.name == "tiny-calico-no_cam-big"
    (tmp_path / "big.yaml").write_text("name: own\n")
    assert load_config(["tiny/calico.yaml", str(tmp_path / "big.yaml")]).name == "own"


def test_faults_of_overlays_name_their_file(tmp_path):
    (tmp_path / "a.yaml").write_text("name: x\ndata: {train: a}\ntraining: {max_steps: 0, batch_size: 1}\n")
    (tmp_path / "b.yaml").write_text("training: {batchsize: 2}\nmodel: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    lines = {line.split(":")[0].strip(): line for line in str(caught.value).splitlines()}
    assert "a.yaml)" in lines["training.max_steps"]
    assert "b.yaml)" in lines["training.batchsize"]
    assert "b.yaml)" in lines["model"]
    with pytest.raises(ConfigError, match="name: Field required"):
        load_config([tmp_path / "b.yaml"])


def test_overfitting_is_an_experiment_of_its_own():
    config = overfitted(load_config("tiny/calico.yaml"), 8)
    assert (config.name, config.data.limit, config.data.validation) == ("tiny-calico-overfit8", 8, config.data.train)


def test_unknown_name_is_suggested():
    with pytest.raises(ConfigError, match=r"tiny/calico\.yaml"):
        resolve_config_path("tiny/calicoo.yaml")


@pytest.mark.parametrize("override", ["training.max_steps", "=3", "training.max_steps=[1"])
def test_bad_overrides(override):
    with pytest.raises(ConfigError):
        load_config("tiny/calico.yaml", [override])


@given(st.dictionaries(st.sampled_from(["nam", "seeds", "x"]), st.integers(), min_size=1, max_size=3))
def test_no_unknown_key_passes(extra):
    with pytest.raises(ConfigError) as caught:
        validate(ExperimentConfig, {"name": "x", "data": {"train": "a"}, **extra}, where="here")
    assert all(key in str(caught.value) for key in extra)


def test_frozen_weights_in_16_bits_need_16_bit_arithmetic():
    with pytest.raises(ConfigError, match=r"model.frozen_dtype bfloat16 with training.bf16 false: .* cannot be mult"):
        load_config("tiny/calico.yaml", ["model.frozen_dtype=bfloat16", "training.bf16=false"])


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("training.lora={targets: []}", "training.lora: .*neither targets nor token_rows"),
        ("training.losses={language: 0, mask: 0, dice: 0}", "training.losses: .*nothing would be trained"),
        ("training.betas=[2, 2]", r"training.betas.0: .*less than 1"),
        ("seed=-1", "seed: .*greater than or equal to 0"),
        ("seed=99999999999", "seed: .*less than"),
        ("model.vision.num_attention_heads=7", "model.vision: .*7 heads do not divide a width of 160"),
        ("model.vision.num_attention_heads=0", "model.vision.num_attention_heads: .*greater than 0"),
        ("model.vision.image_size=8", "model.vision: .*patch_size 12 is larger than image_size 8"),
        ("model.vision.feature_layer=-9", "feature_layer -9 of 4 layers"),
        ("model.qformer.num_query_tokens=0", "num_query_tokens: .*greater than 0"),
        ("model.qformer.num_attention_heads=3", "model.qformer: .*3 heads"),
        ("model.correspondence.num_attention_heads=7", "model.correspondence: .*7 heads"),
        ("model.trunk.num_attention_heads=3", "model.trunk: .*3 heads"),
        ("model.trunk.num_attention_heads=32", "model.trunk: .*even width"),
        ("model.grounding.decoder_heads=3", "model.grounding: .*decoder_heads: 3 heads do not divide a width of 64"),
        ("model.grounding.prompt_size=100", "model.grounding: .*prompt_size: .*100 by 8"),
        ("training.trainable[0]=x", "cannot merge the overrides"),
        ("model.qformer.dropuot=0.1", "model.qformer.dropuot: unknown key, did you mean 'dropout'"),
        ("training.lora.targetss=[q_proj]", "unknown key, did you mean 'targets'"),
    ],
)
def test_values_that_cannot_work_are_named(override, reason):
    with pytest.raises(ConfigError, match=reason):
        load_config("tiny/calico.yaml", [override])


def test_the_page_of_all_keys_is_current():
    made = runpy.run_path(str(Path(__file__).resolve().parent.parent / "scripts" / "configuration_page.py"))
    assert made["PAGE"].read_text() == made["page"](), "run python scripts/configuration_page.py"
