"""The zoo's recipe: overrides are checked like those of an experiment."""

import pytest

from llava_corr.config import load_config
from llava_corr.errors import ConfigError
from llava_corr.files import write_json
from llava_corr.zoo.card import card
from llava_corr.zoo.command import seconds
from llava_corr.zoo.recipe import check_sizes, load_recipe


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


def test_the_alignment_has_the_sizes_of_the_experiment(tmp_path):
    check_sizes(load_recipe("tiny/zoo.yaml"))
    mine = tmp_path / "mine.yaml"
    mine.write_text(load_config("tiny/calico.yaml", ["model.vision.intermediate_size=320"]).to_yaml())
    with pytest.raises(ConfigError, match=r"tiny/calico_align\.yaml has other sizes .*mine\.yaml \(model: vision\)"):
        check_sizes(load_recipe("tiny/zoo.yaml", [f"experiment={mine}"]))
    with pytest.raises(ConfigError, match="no configuration 'tiny/calicoo"):
        check_sizes(load_recipe("tiny/zoo.yaml", ["experiment=tiny/calicoo.yaml"]))
    check_sizes(load_recipe("tiny/zoo.yaml", [f"experiment={mine}", f"alignment={mine}"]))


def test_the_card_s_minutes_are_those_of_all_tries(tmp_path):
    write_json(tmp_path / "measures" / "cells.json", {"seconds": 30, "thing_iou": 0.5})
    write_json(tmp_path / "measures" / "words.json", {"seconds": 90, "answer_loss": 0.25})
    write_json(tmp_path / "stages.json", {"stage_seconds": {"world": 60, "cells": 1500}})
    spent = seconds(tmp_path)
    assert spent == {"world": 60, "cells": 1500, "words": 90}
    text = card(load_recipe("tiny/zoo.yaml"), {"cells": {"seconds": 30, "thing_iou": 0.5}}, spent)
    (row,) = [line for line in text.splitlines() if line.startswith("| SAM's encoder |")]
    assert row.endswith("| 25.0 | mean IoU of categories of at least 4 of 64 x 64 cells 0.500 |")
    assert "All stages, world and alignment among them: 28 minutes." in text
