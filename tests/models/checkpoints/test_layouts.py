"""Names of released files at full size against our model on the meta device: nothing left over, nothing missing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import foreign
import pytest
import torch

from llava_corr.config import load_config
from llava_corr.errors import CheckpointError
from llava_corr.models.build import Vocabulary, build_config
from llava_corr.models.checkpoints.dinov2 import LAYOUT as DINOV2_LAYOUT
from llava_corr.models.checkpoints.glamm import glamm_layout, lisa_layout
from llava_corr.models.checkpoints.lavis import QFORMER_LAYOUT, eva_layout
from llava_corr.models.checkpoints.layouts import Ignore, Layout, Rename, map_names
from llava_corr.models.checkpoints.segment_anything import LAYOUT as SAM_LAYOUT
from llava_corr.models.checkpoints.tensor_files import TensorFiles
from llava_corr.models.modeling import LlavaCorrForConditionalGeneration


def files_of(shapes):
    return TensorFiles(Path("file"), {Path("file"): foreign.Shapes(shapes)})


def composition(*files, rows=32007):
    section = load_config(list(files)).model
    config = build_config(section, Vocabulary.of_size(rows))
    with torch.device("meta"):
        model = LlavaCorrForConditionalGeneration(config)
    return config, {name: value.shape for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def calico():
    return composition("calico_align.yaml")


def test_the_list_of_glamm_is_the_one_whose_index_is_on_the_hub():
    """968 names, and an index file of 96,091 bytes (facts 1.3: 96.1 kB on the hub)."""
    names = foreign.glamm()
    assert len(names) == 968
    home = dict.fromkeys(names, "pytorch_model-00001-of-00002.bin")
    index = json.dumps({"metadata": {"total_size": 16_755_000_000}, "weight_map": home}, indent=2, sort_keys=True)
    assert len(index) + 1 == 96_091
    buffers = (".inv_freq", "gaussian_matrix")
    parameters = sum(torch.Size(s).numel() for n, s in names.items() if not n.endswith(buffers))
    assert parameters == 6_738_472_960 + 641_090_608 + 17_830_144 + 20_979_712 + 299_142_912


@pytest.mark.parametrize("age", ["new", "old"])
def test_glamm_fills_trunk_seg_projection_and_sam(calico, age):
    config, wanted = calico
    plan = map_names(glamm_layout(config), files_of(foreign.glamm(age=age)), wanted)
    mine = [n for n in wanted if n.startswith(("trunk.", "seg_projection.", "grounding."))]
    assert set(plan.sources) == set(mine)
    counts = {why: len(names) for why, names in plan.ignored.items()}
    assert sum(counts.values()) == 32 + 4 + len(foreign.region_encoder(4096))
    assert plan.matched + plan.renamed + sum(counts.values()) == 968


@pytest.mark.parametrize("below", ["module", "segmenter.sam"])
def test_glamm_by_attributes_that_nobody_told(calico, below):
    """3.9 kB of GLaMM-GranD-Pretrained's index are not explained (facts 1.3): another attribute, or more names."""
    config, wanted = calico
    names = {
        re.sub(r"grounding_encoder|(?=text_hidden_fcs)", lambda m: below if m[0] else f"{below}.", name): shape
        for name, shape in foreign.glamm().items()
    }
    more = {f"model.pointer.blocks.{k}.{end}": (4,) for k in range(20) for end in ("weight", "bias")}
    with pytest.raises(CheckpointError, match=r"no rule knows model.pointer.blocks.\*.weight \(20\)"):
        map_names(glamm_layout(config), files_of(names | more), wanted)
    plan = map_names(replace(glamm_layout(config), reports=True), files_of(names | more), wanted)
    assert {n for n in wanted if n.startswith(("trunk.", "seg_projection.", "grounding."))} == set(plan.sources)
    assert set(plan.unknown) == set(more)
    assert any("40 NOT READ" in line and "model.pointer.blocks.*.weight (20)" in line for line in plan.table())


@pytest.mark.parametrize(
    "name",
    ["model.final_norm.weight", "model.mm_projector.4.weight", "model.layers.0.self_attn.q_proj.lora_A.weight",
     "model.text_hidden_fcs_2.0.0.weight", "model.other.mask_decoder.x", "model.layers_extra.0.weight"],
)  # fmt: skip
def test_names_of_weights_that_might_be_needed_are_never_let_go_unread(name):
    config, wanted = composition("baselines/glamm.yaml")
    layout = replace(glamm_layout(config), reports=True)
    with pytest.raises(CheckpointError, match="no rule knows"):
        map_names(layout, files_of(foreign.glamm() | {name: (4096, 4096)}), wanted)


def test_instructblip_fills_the_visual_tokens(calico):
    config, wanted = calico
    layers = config.vision_config.num_hidden_layers
    plans = [
        map_names(QFORMER_LAYOUT, files_of(foreign.lavis_qformer()), wanted),
        map_names(eva_layout(layers), files_of(foreign.eva()), wanted),
    ]
    filled = [name for plan in plans for name in plan.sources]
    assert len(filled) == len(set(filled))
    assert set(filled) == {name for name in wanted if name.startswith("visual_tokens.")}
    ignored = sum(torch.Size(foreign.lavis_qformer()[n]).numel() for names in plans[0].ignored.values() for n in names)
    assert ignored == 80_522_496 + 512  # and position_ids, which are no parameters (facts 4.1)


def test_what_lavis_leaves_of_its_trunk(calico):
    """Its files are written without frozen parameters, but with their modules' buffers."""
    _, wanted = calico
    buffers = {f"llm_model.model.layers.{n}.self_attn.rotary_emb.inv_freq": (64,) for n in range(32)}
    plan = map_names(QFORMER_LAYOUT, files_of(foreign.lavis_qformer() | buffers), wanted)
    assert set(buffers) in map(set, plan.ignored.values())
    weights = {"llm_model.model.layers.0.self_attn.q_proj.weight": (4096, 4096)}
    with pytest.raises(CheckpointError, match="no rule knows llm_model"):
        map_names(QFORMER_LAYOUT, files_of(foreign.lavis_qformer() | weights), wanted)


@pytest.mark.parametrize(
    ("overlay", "sizes"),
    [((), {}),
     (("ablations/dinov2_large.yaml",), {"width": 1024, "layers": 24, "inner": 4096, "swiglu": False}),
     (("ablations/dinov2_base.yaml",), {"width": 768, "layers": 12, "inner": 3072, "swiglu": False}),
     (("ablations/dinov2_small.yaml",), {"width": 384, "layers": 12, "inner": 1536, "swiglu": False})],
)  # fmt: skip
def test_dinov2_of_every_size(overlay, sizes):
    _, wanted = composition("calico_align.yaml", *overlay)
    names = foreign.dinov2(**sizes)
    plan = map_names(DINOV2_LAYOUT, files_of(names), wanted)
    assert set(plan.sources) == {n for n in wanted if n.startswith("correspondence.semantic_model.")}
    if not sizes:
        assert sum(torch.Size(shape).numel() for shape in names.values()) == 1_136_480_768  # facts 5.2: 1,136.48 M


def test_register_tokens_are_not_let_go_unread():
    _, wanted = composition("calico_align.yaml")
    files = files_of(foreign.dinov2() | {"register_tokens": (1, 4, 1536)})
    with pytest.raises(CheckpointError, match="no rule knows register_tokens"):
        map_names(replace(DINOV2_LAYOUT, reports=True), files, wanted)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("h", foreign.SamSizes()),
     ("l", foreign.SamSizes(width=1024, layers=24, heads=16, global_layers=(5, 11, 17, 23))),
     ("b", foreign.SamSizes(width=768, layers=12, heads=12, global_layers=(2, 5, 8, 11)))],
)  # fmt: skip
def test_sam_of_every_size(tmp_path, name, sizes):
    overlay = tmp_path / "sam.yaml"
    overlay.write_text(
        f"model: {{grounding: {{hidden_size: {sizes.width}, num_hidden_layers: {sizes.layers}, "
        f"num_attention_heads: {sizes.heads}, global_attn_indexes: {list(sizes.global_layers)}}}}}\n"
    )
    _, wanted = composition("calico_align.yaml", str(overlay))
    plan = map_names(SAM_LAYOUT, files_of(foreign.sam(sizes)), wanted)
    assert set(plan.sources) == {n for n in wanted if n.startswith("grounding.")}


@pytest.mark.parametrize(("file", "rows"), [("baselines/glamm.yaml", 32007), ("baselines/lisa.yaml", 32004)])
def test_the_baselines_are_filled_but_for_their_clip(file, rows):
    config, wanted = composition(file, rows=rows)
    layout, names = (glamm_layout, foreign.glamm()) if "glamm" in file else (lisa_layout, foreign.lisa())
    plan = map_names(layout(config), files_of(names), wanted)
    assert {n for n in wanted if n not in plan.sources} == {n for n in wanted if ".vision_model." in n}


CRITICAL = [
    "model.grounding_encoder.mask_decoder.iou_token.weight",
    "model.grounding_encoder.mask_decoder.transformer.layers.1.norm3.bias",
    "model.grounding_encoder.image_encoder.blocks.31.attn.rel_pos_h",
    "model.grounding_encoder.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    "model.text_hidden_fcs.0.2.weight",
    "model.embed_tokens.weight",
    "lm_head.weight",
    "model.layers.17.mlp.up_proj.weight",
    "model.norm.weight",
]


@pytest.mark.parametrize("name", CRITICAL)
def test_no_weight_that_matters_can_be_missing_or_of_another_shape(calico, name):
    config, wanted = calico
    names = foreign.glamm()
    shape = names.pop(name)
    with pytest.raises(CheckpointError, match="nothing fills"):
        map_names(glamm_layout(config), files_of(names), wanted)
    with pytest.raises(CheckpointError, match="another shape") as caught:
        map_names(glamm_layout(config), files_of(names | {name: (*shape[:-1], shape[-1] + 1)}), wanted)
    assert name in str(caught.value)
    with pytest.raises(CheckpointError, match="no rule knows") as caught:
        map_names(glamm_layout(config), files_of(names | {f"{name}_": shape}), wanted)
    assert f"{name}_" in str(caught.value)


def test_all_faults_come_in_one_error(calico):
    config, wanted = calico
    names = foreign.glamm()
    del names["model.norm.weight"]
    names |= {
        "model.visual_model.mask_decoder.iou_token.weight": (1, 256),
        "model.visual_model.mask_decoder.surprise": (3,),
        "lm_head.weight": (4, 4096),
    }
    with pytest.raises(CheckpointError) as caught:
        map_names(glamm_layout(config), files_of(names), wanted)
    for words in (
        "nothing fills trunk.model.norm.weight",
        "filled twice: grounding.sam.mask_decoder.iou_token.weight",
        "no rule knows model.visual_model.mask_decoder.surprise",
        "lm_head.weight is (4, 4096), trunk.lm_head.weight (32007, 4096)",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize("missing", ["q_bias", "v_bias"])
def test_a_bias_in_parts_must_be_whole(calico, missing):
    config, wanted = calico
    names = foreign.eva()
    del names[f"blocks.3.attn.{missing}"]
    with pytest.raises(CheckpointError, match=r"only a part fills .*layers\.3\.self_attn\.qkv\.bias"):
        map_names(eva_layout(config.vision_config.num_hidden_layers), files_of(names), wanted)


def test_the_table_tells_what_was_ignored_and_why():
    layout = Layout(
        "toy", [Rename(r"a\.(\d+)", (r"b.\1",)), Rename("c", ("c",)), Ignore(r"x\.\d+\.w", "not asked about")], ["b."]
    )
    plan = map_names(layout, files_of({"a.1": (2,), "c": (1,), "x.1.w": (1,), "x.2.w": (1,)}),
                     {"b.1": torch.Size([2]), "c": torch.Size([1])})  # fmt: skip
    assert plan.table() == ["toy: 1 names as they are, 1 renamed", "  2 ignored, not asked about: x.*.w (2)"]


def test_a_tensor_may_be_cut_among_several_of_ours():
    layout = Layout("toy", [Rename(r"(\d)\.qkv", (r"\1.q", r"\1.k", r"\1.v"), split=True)], ["0."])
    wanted = {f"0.{name}": torch.Size([2, 5]) for name in "qkv"}
    plan = map_names(layout, files_of({"0.qkv": (6, 5)}), wanted)
    assert [(name, source.index) for name, (source,) in plan.sources.items()] == [("0.q", 0), ("0.k", 1), ("0.v", 2)]
    for shape in ((5, 5), (6, 4), (2, 5), (6,)):
        with pytest.raises(CheckpointError, match="another shape"):
            map_names(layout, files_of({"0.qkv": shape}), wanted)
