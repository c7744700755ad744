"""The zoo's recipe: overrides are checked like those of an experiment."""

import pytest

from llava_corr.errors import ConfigError
from llava_corr.zoo.recipe import load_recipe


def test_overrides_reach_single_numbers():
    recipe = load_recipe("tiny/zoo.yaml", ["crops.batch=7", "world.kinds=[cat, sofa]"])
    assert (recipe.crops.batch, recipe.world.kinds) == (7, ("cat", "sofa"))
    assert recipe.crops.side == load_recipe("tiny/zoo.yaml").crops.side


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("crops", "is not key=value"),
        ("crops.0.batch=2", r"crops\.0: unknown key"),
        ("words.stepz=3", "did you mean 'steps'"),
        ("masks.steps=0", r"masks\.steps: .*greater than 0"),
        ("crops=[1]", "cannot merge the overrides"),
    ],
)
def test_faulty_overrides_are_named(override, reason):
    with pytest.raises(ConfigError, match=reason):
        load_recipe("tiny/zoo.yaml", [override])
