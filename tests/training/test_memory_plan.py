"""Arithmetic of the ZeRO stages by hand; the largest micro-batch against trying them one by one."""

import json

import pytest
from toy import small_config

from llava_corr.errors import ConfigError
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.training.memory_plan import Memory, MemoryPlanner, last_that_fits, whole_numbers
from llava_corr.training.rehearsal import Rehearsal
from llava_corr.training.zero import Zero, stages

SIZES = (600, 301, 100)  # 1001 in all; four ranks have 251 each, the last one less
FOUND = Rehearsal(
    weights=2_000_000, every=(900_000, 98_999, *SIZES), sizes=SIZES, gradients=2002, batch=70, towers=5000, saved=3000,
    step=4000,
)  # fmt: skip


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
    share, whole = 251, 600 + 301  # the third rank has a part of the first parameter and of the second
    assert [m.optimiser for m in (one, two, three)] == [12 * share] * 3
    assert [m.gradients for m in (one, two, three)] == [2002 + 2 * whole, 2 * whole, 2 * (150 + 76 + 25)]
    assert [m.weights for m in (one, two, three)] == [2_000_000, 2_000_000, 500_000]
    assert [m.buffers for m in (one, two)] == [20 + 20, 20 + 20], "a bucket and its flat copy"
    assert three.buffers == 20 + 20 + 2 * 100_000 + 2 * (900_000 + 100), "small weights stay, all others may be there"
    assert all(m.update == (2 + 4) * share for m in (one, two, three))
    assert planner(tmp_path, ranks=4).divide(FOUND, Zero(2)).update == 4 * share, "nothing is copied into float32"


def test_accumulation_takes_a_second_buffer(tmp_path):
    more = planner(tmp_path, "training.bf16=true", "training.gradient_accumulation=2", ranks=4)
    assert more.divide(FOUND, Zero(2)).gradients == 2 * 2 * 901
    assert more.divide(FOUND, Zero(3)).gradients == 2 * 251, "summed in place"
    assert more.divide(FOUND, Zero()).gradients == 2002


@pytest.mark.parametrize(("sizes", "ranks", "most"), [
    ((5,), 4, 5), ((1, 1, 1, 1), 4, 1), ((3, 3), 2, 3), ((4, 2), 2, 6), ((10, 10, 1), 3, 20), ((7,), 1, 7),
])  # fmt: skip
def test_parameters_are_held_whole_where_a_rank_has_a_part(sizes, ranks, most):
    assert whole_numbers(sizes, ranks) == most


def test_overlapping_takes_a_second_bucket(tmp_path):
    alone = planner(tmp_path, "training.bf16=true")
    plain, twice = (alone.divide(FOUND, Zero(2, bucket=1000, overlap=on)).buffers for on in (False, True))
    assert (plain, twice) == (2000, 4000), "one rank reduces in place"


def test_offloading_takes_it_off_the_gpu(tmp_path):
    alone = planner(tmp_path, "training.bf16=true")
    found = alone.divide(FOUND, Zero(3, offload_optimizer=True, offload_param=True))
    assert found.weights == found.gradients == found.optimiser == found.update == 0
    assert found.saved == FOUND.saved
    assert found.cpu == 2_000_000 + 1001 * (12 + 4 + 2 + 2), "weights, optimiser, gradients and their sum"
    second = alone.divide(FOUND, Zero(2, bucket=10, offload_optimizer=True))
    assert second.buffers == 20 + 2 * 600, "the largest trained parameter stays on the GPU"
    assert second.cpu == 1001 * (12 + 4 + 2)


def test_the_most_is_of_the_largest_phase():
    memory = Memory(100, 20, 30, 5, batch=2, towers=50, saved=40, step=60, update=70)
    assert memory.total == 227
    assert not memory.fits(1.5e9)
    assert memory.fits(1.6e9)


@pytest.mark.slow
def test_largest_micro_batch_by_trying(tmp_path):
    """From one dialogue as configured, whose picture fills no pass and which has no padding."""
    words = ("model.max_images_per_tower_pass=3", "training.gradient_checkpointing=true", "training.batch_size=1")
    plan = planner(tmp_path, *words)

    def shape(count):
        return plan.shape(count, images=1, text=40, masks=2)

    for wanted in (1, 9):
        room = 1.03 * plan.memory(shape(wanted), Zero()).total + 1.5e9 + 1000
        assert [plan.memory(shape(n), Zero()).fits(room) for n in (wanted, wanted + 1)] == [True, False]
        for checked in (True, False):
            assert plan.largest_micro_batch(shape, Zero(), room, checked=checked) == wanted
    assert plan.largest_micro_batch(shape, Zero(), 1e9) == 0


@pytest.mark.parametrize("last", [0, 1, 2, 7, 99, 100])
@pytest.mark.parametrize("guess", [1, 7, 50, 100])
def test_the_last_that_fits(last, guess):
    asked = []
    assert last_that_fits(lambda n: asked.append(n) or n <= last, guess, 100) == last
    assert all(1 <= n <= 100 for n in asked)
    assert len(asked) <= (2 if guess == last else 14)


def test_a_dialogue_longer_than_the_trunk_is_refused(tmp_path):
    plan = planner(tmp_path)
    assert plan.shape(1, images=2, text=256 - 2 * 4, masks=1).length == 256
    with pytest.raises(ConfigError, match="257 tokens, the trunk 256 positions"):
        plan.shape(1, images=2, text=257 - 2 * 4, masks=1)


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


@pytest.mark.parametrize(("content", "said"), [
    ({"zero_optimization": {"stage": 7}}, "no DeepSpeed configuration"),
    ({"zero_optimization": []}, "no DeepSpeed configuration"),
    ([], "no DeepSpeed configuration"),
    ({"train_batch_size": 4}, "stage 0, which divides nothing"),
    ({"zero_optimization": {"stage": 2, "offload_optimizer": "cpu"}}, "offload_optimizer is 'cpu', not a section"),
    ({"fp16": {"enabled": True}, "zero_optimization": {"stage": 2}}, "fp16"),
])  # fmt: skip
def test_what_is_no_deepspeed_configuration(tmp_path, content, said):
    file = tmp_path / "zero.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=said):
        Zero.read(file)


def test_what_a_file_does_not_say_is_deepspeeds_own(tmp_path):
    def read(**section):
        file = tmp_path / "zero.json"
        file.write_text(json.dumps({"bf16": {"enabled": False}, "zero_optimization": section}))
        return Zero.read(file)

    two, three = read(stage=2), read(stage=3, cpu_offload=True)
    assert (two.bucket, two.overlap, two.offload_optimizer) == (500_000_000, False, False)
    assert (three.overlap, three.offload_optimizer, three.live) == (True, True, 10**9)
    assert two.fits(bf16=False)
    assert not two.fits(bf16=True)


def test_numbers_left_to_the_trainer_go_by_the_width(tmp_path):
    names = ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
    file = tmp_path / "zero.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 3} | dict.fromkeys(names, "auto")}))
    filled = Zero.read(file).filled(4096)
    assert (filled.bucket, filled.prefetch, filled.persistent) == (4096**2, int(0.9 * 4096**2), 40960)
