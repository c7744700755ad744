"""Arithmetic of the ZeRO stages by hand; the largest micro-batch against trying them one by one."""

import json

import pytest
from toy import small_config

from llava_corr.errors import ConfigError
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.training.memory_plan import Memory, MemoryPlanner, Zero, largest_micro_batch, stages
from llava_corr.training.rehearsal import Rehearsal

FOUND = Rehearsal(weights=2_000_000, trained=1001, gradients=2002, batch=70, towers=5000, saved=3000, step=4000)


def planner(folder, *overrides, ranks=1):
    config = small_config(folder, *overrides)
    return MemoryPlanner(config, build_config(config.model, Vocabulary(400, 1, 2, 0, 400, 5)), ranks=ranks)


def test_without_zero(tmp_path):
    alone = planner(tmp_path, "training.bf16=true").divide(FOUND, Zero())
    assert (alone.weights, alone.gradients, alone.optimiser, alone.buffers) == (2_000_000, 2002, 8008, 0)
    assert alone.total == 2_000_000 + 2002 + 8008 + 70 + 5000
    assert planner(tmp_path, "training.bf16=true", ranks=4).divide(FOUND, Zero()).buffers == 2002


def test_stages_divide(tmp_path):
    four = planner(tmp_path, "training.bf16=true", ranks=4)
    one, two, three = (four.divide(FOUND, Zero(stage, bucket=10, live=10**9, prefetch=100)) for stage in (1, 2, 3))
    share = 251  # of 1001 numbers, rounded up
    assert [m.optimiser for m in (one, two, three)] == [12 * share] * 3
    assert [m.gradients for m in (one, two, three)] == [2002, 2 * share, 2 * share]
    assert [m.weights for m in (one, two, three)] == [2_000_000, 2_000_000, 500_000]
    assert [m.buffers for m in (one, two)] == [20, 20]
    assert three.buffers == 20 + 2_000_000 + 200, "all weights may be gathered at once: they are fewer than live allows"
    assert all(m.update == 4 * share for m in (one, two, three))


def test_offloading_takes_it_off_the_gpu(tmp_path):
    found = planner(tmp_path, "training.bf16=true").divide(FOUND, Zero(3, offload_optimizer=True, offload_param=True))
    assert found.weights == found.gradients == found.optimiser == found.update == 0
    assert found.saved == FOUND.saved


def test_the_most_is_of_the_largest_phase():
    memory = Memory(100, 20, 30, 5, batch=2, towers=50, saved=40, step=60, update=70)
    assert memory.total == 227
    assert not memory.fits(1.5e9)
    assert memory.fits(1.6e9)


@pytest.mark.parametrize("words", [("model.max_images_per_tower_pass=3",), ("training.gradient_checkpointing=true",)])
def test_largest_micro_batch_by_trying(tmp_path, words):
    plan = planner(tmp_path, *words)

    def at(count):
        return plan.memory(plan.shape(count, images=2, text=40, masks=2), Zero())

    ends = at(4), at(8)
    for wanted in (3, 7):
        room = 1.03 * at(wanted).total + 1.5e9 + 1000
        assert at(wanted).fits(room)
        assert not at(wanted + 1).fits(room)
        assert largest_micro_batch(*ends, (4, 8), room) == wanted
    assert largest_micro_batch(*ends, (4, 8), 1e9) == 0


def test_four_bits(tmp_path):
    whole, four = planner(tmp_path), planner(tmp_path, "model.quantise_trunk=true")
    shape = whole.shape(1, images=1, text=20, masks=1)
    numbers = 3 * (4 * 32 * 32 + 3 * 32 * 64)  # linears of three layers; the toy trains all, so none is held in 4 bits
    assert whole.memory(shape, Zero()).weights == four.memory(shape, Zero()).weights
    parts = ["training.lora={}", "training.trainable=[grounding.sam.mask_decoder]"]
    whole, four = planner(tmp_path, *parts), planner(tmp_path, "model.quantise_trunk=true", *parts)
    saved = whole.memory(shape, Zero()).weights - four.memory(shape, Zero()).weights
    assert saved == numbers * 4 - numbers * (0.5 + 4 / 64)


def test_the_shipped_stages_are_read():
    found = stages()
    assert found[""] == Zero()
    assert {name: zero.stage for name, zero in found.items()} == {
        "": 0, "zero2.json": 2, "zero2_offload.json": 2, "zero3.json": 3, "zero3_offload.json": 3,
    }  # fmt: skip
    assert found["zero3_offload.json"].label == "3, optimiser and weights on the CPU"
    assert found["zero2.json"].bucket == 50_000_000


@pytest.mark.parametrize("content", [{"zero_optimization": {"stage": 7}}, {"zero_optimization": []}, []])
def test_what_is_no_deepspeed_configuration(tmp_path, content):
    file = tmp_path / "zero.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="no DeepSpeed configuration"):
        Zero.read(file)


def test_numbers_left_to_the_trainer_are_deepspeeds_own(tmp_path):
    file = tmp_path / "zero.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"}}))
    assert Zero.read(file).bucket == 500_000_000
