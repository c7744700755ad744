"""Parameters and compute: the paper's figures at full size, closed forms, the same count with and without weights."""

import functools
import json
import logging

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from toy import small_config, write_toy

from llava_corr.cli import main
from llava_corr.config import load_config
from llava_corr.models.sizes import count_flops, measure
from llava_corr.training.model import build_model

# Facts 1.3, 1.7, 4.1, 5.2: computed there from shapes, not from this code.
CALICO = {
    "vision tower": (985_952_256, 0),
    "Q-Former": (185_660_160 - 80_522_496 + 24_576, 0),
    "projection into the trunk (f_V)": (768 * 4096 + 4096, 0),
    "DINOv2": (1_136_480_768, 0),
    "CEM cross-attention": (8_295_936, 8_295_936),
    "CAM linears": (12_592_640, 12_592_640),
    "LoRA": (4_194_304, 4_194_304),
    "trunk": (6_738_472_960, 0),
    "[SEG] projection": (17_830_144, 0),
    "SAM encoder": (637_026_048, 0),
    "SAM mask decoder": (4_058_340, 4_058_340),
}


@functools.cache
def sized(*files):
    return measure(load_config(files))


@pytest.fixture(scope="module")
def calico():
    return sized("calico.yaml")


def test_calico_is_the_papers_size_block_by_block(calico):
    found = {b.name: (b.parameters, b.trained) for b in calico.blocks}
    assert {name: found[name] for name in CALICO} == CALICO
    assert calico.trained == 29_141_220
    assert calico.left_out == 80_522_496
    assert calico.parameters + calico.left_out == 9_733_744_432
    assert calico.tokens_per_image == 32


@pytest.mark.parametrize(
    ("files", "trained", "tokens"),
    [
        (["calico.yaml", "ablations/dinov2_small.yaml", "ablations/one_cam.yaml"], 25_897_188 - 6_296_320, 32),
        (["calico.yaml", "ablations/dinov2_large.yaml", "ablations/three_cams.yaml"], 27_699_428 + 6_296_320, 32),
        (["calico.yaml", "ablations/neither.yaml"], 4_194_304 + 4_058_340, 32),
        # facts 1.7: 587.4 M with the region encoder's 299,142,912, which is left out here
        (["baselines/glamm.yaml"], 4_194_304 + 2 * 32007 * 4096 + 4_058_340 + 17_830_144, 576),
        (["baselines/lisa.yaml"], 4_194_304 + 2 * 32004 * 4096 + 4_058_340 + 17_830_144, 256),
        (["calico_align.yaml", "align_rows.yaml"], 768 * 4096 + 4096 + 17_830_144 + 2 * 3 * 4096, 32),
    ],
    ids=lambda v: "+".join(v) if isinstance(v, list) else "",
)
def test_variants(files, trained, tokens):
    sizes = sized(*files)
    assert sizes.trained == trained
    assert sizes.tokens_per_image == tokens


def test_baselines_against_the_facts():
    glamm, lisa = sized("baselines/glamm.yaml"), sized("baselines/lisa.yaml")
    clip = {b.name: b.parameters for b in glamm.blocks}
    assert clip["vision tower"] == 303_507_456
    assert clip["projection into the trunk (f_V)"] == 20_979_712
    assert round((glamm.trained + 299_142_912) / 1e6, 1) == 587.4
    assert round(lisa.trained / 1e6, 1) == 288.3


def test_baselines_keep_their_own_learning_rate():
    """Calico's is 4e-4; the batch of a step is the same for all (C.1)."""
    for name in ("glamm", "lisa"):
        training = load_config(f"baselines/{name}.yaml").training
        assert (training.learning_rate, training.batch_size * training.gradient_accumulation) == (3e-4, 16)


def test_trunk_compute_is_the_closed_form(calico):
    """Two operations a weight and token, and the attention's two products over all pairs of tokens."""
    length = 128 + 2 * 32
    linears = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008) + 32007 * 4096
    attention = 32 * 2 * length * length * 4096
    assert calico.flops["trunk"] == 2 * (length * linears + attention)


def test_fewer_tokens_cost_less(calico):
    trunk = [calico, sized("baselines/lisa.yaml"), sized("baselines/glamm.yaml")]
    assert [s.tokens_per_image for s in trunk] == [32, 256, 576]
    assert trunk[0].flops["trunk"] < trunk[1].flops["trunk"] < trunk[2].flops["trunk"]


def test_the_same_count_with_weights_and_on_the_meta_device(tmp_path):
    samples = write_toy(tmp_path, 2)
    parts, processor = build_model(small_config(tmp_path), samples)
    rows = f"model.tokenizer.vocab_size={len(processor.tokenizer)}"
    meta = measure(small_config(tmp_path, rows), images=2, text_tokens=20, masks=3)
    assert meta.parameters == sum(p.numel() for p in parts.model.parameters())
    assert meta.trained == sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    with sdpa_kernel(SDPBackend.MATH):  # torch's counter does not know the fused kernel of the CPU
        assert meta.flops == count_flops(parts.model, images=2, text_tokens=20, masks=3)
    assert torch.get_default_device().type == "cpu"


def test_the_configuration_is_not_overwritten(tmp_path, capsys):
    config = tmp_path / "mine.yaml"
    config.write_text("_base_: tiny/calico.yaml\n")
    assert main(["size", "--config", str(config), "--out", str(config)]) == 2
    assert "would overwrite --config" in capsys.readouterr().err
    assert config.read_text() == "_base_: tiny/calico.yaml\n"


def test_command(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    out = tmp_path / "sizes.json"
    assert main(["size", "--config", "tiny/calico.yaml", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["parameters"] > 1e6
    assert "| **all** |" in caplog.text
    assert main(["size", "--config", "tiny/calico.yaml", "--masks", "0"]) == 2


def test_the_vocabulary_is_that_of_the_weights_a_configuration_starts_from():
    from safetensors import safe_open

    config = load_config("tiny/calico.yaml")
    with safe_open(f"{config.model.weights}/model.safetensors", "pt") as file:
        held = sum(file.get_slice(name).get_shape()[0] for name in file.keys() if name.endswith("embed_tokens.weight"))  # noqa: SIM118
    width = config.model.trunk.hidden_size
    trained_from_scratch = load_config("tiny/calico.yaml", ["model.weights=null", "model.random_frozen=true"])
    assert held < config.model.tokenizer.vocab_size
    difference = measure(trained_from_scratch).parameters - measure(config).parameters
    assert difference == 2 * width * (config.model.tokenizer.vocab_size - held)  # embeddings and output layer
