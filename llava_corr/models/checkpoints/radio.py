"""RADIO (NVIDIA) as CoLVA has it: by itself as on the hub, and inside the exported model (facts 1.1, 1.5 and 9).

Its ViT is built from a name of the timm library and a few arguments of its training, which config.json holds. Layer
scales it has none; transformers' ``RadioModel`` has, and multiplies by one.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import CheckpointError
from ...files import read_json
from ..expert import RadioConfig
from .foreign_settings import Settings
from .layouts import Ignore, Rename, Rule

PART = "expert."
SUMMARIES = "summary_idxs"
COUNTED = "they are counted from the teachers of config.json, and compared"
ABSENT = "layer_scale"  # of RadioModel: one, and in no file
VERSIONS = ("radio_v2", "radio_v2.1")  # what the released adapters were trained on; shapes of later ones are the same
ViTS = {  # timm's names -> width, layers, heads
    "vit_base_patch16_224": (768, 12, 12),
    "vit_large_patch16_224": (1024, 24, 16),
    "vit_huge_patch16_224": (1280, 32, 16),
}
# Arguments that would change the features. Of the others the release's code reads those that are taken below, and some
# that have no effect on them (numbers of classes, drop rates, where to begin from): args is the record of a training,
# hundreds of names that no list can know.
UNSEEN = ("model_norm", "cpe_num_registers", "spectral_reparam", "damp")


def read_radio(folder: Path) -> Settings:
    """config.json of a RADIO as on the hub, which names no type of model.

    Raises:
        CheckpointError: there is none, or it is of another model.
    """
    file = folder / "config.json"
    values = read_json(file, CheckpointError)
    if not isinstance(values, dict) or not isinstance(values.get("args"), dict):
        mend = "name the release nvidia/RADIO"
        raise CheckpointError("no RADIO as its authors released it", where=str(file), mend=mend)
    return Settings(values, str(file))


def radio_config(settings: Settings, *, align_corners: bool) -> tuple[RadioConfig, str]:
    """The expert's configuration and its version, from the settings of a release.

    Raises:
        CheckpointError: settings that are missing, or that ``RadioModel`` cannot express.
    """
    args = settings.section("args")
    name = args.must("model", *ViTS)
    override = Settings(args.maybe("model_kwargs", dict) or {}, f"{args.where}, model_kwargs")
    width, layers, heads = (
        override.size(key, usual) for key, usual in zip(("embed_dim", "depth", "num_heads"), ViTS[name], strict=True)
    )
    override.finish(["weight_init", "img_size", "patch_size"])
    for key in UNSEEN:
        args.must(key, False, 0, default=False)
    channels = (args.maybe("input_size", list) or [3])[0]
    args.must("in_chans", 3, default=channels)
    names, summaries = _teachers(args)
    tokens = len(set(names)) if args.take("cls_token_per_teacher", bool, False) else 1
    multiple = args.size("register_multiple") if "register_multiple" in args else 0
    patch, largest = settings.size("patch_size", 16), args.size("cpe_max_size")
    settings.must("vitdet_window_size", None)
    settings.must("adaptor_names", None, [])
    version = settings.take("version", str, VERSIONS[-1])
    # The last is of names: those of layer scales, which these versions have not.
    settings.finish(["max_resolution", "preferred_resolution", "adaptor_configs", "rename_gamma_to_weight"])
    config = RadioConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        patch_size=patch,
        max_img_size=round(largest / patch) * patch,
        num_cls_tokens=tokens,
        num_registers=multiple - tokens % multiple if multiple else 0,
        summary_idxs=summaries,
        layerscale_value=1.0,
        align_corners=align_corners,  # type: ignore[call-arg]  # configurations take more than they know of
    )
    return config, version


def _teachers(args: Settings) -> tuple[list[str], list[int]]:
    """Their names, and numbers of those that have a summary token of their own."""
    each = [Settings(teacher, f"{args.where}, teachers") for teacher in args.take("teachers", list)]
    if not each:
        raise args.fault("teachers is empty")
    summaries = [n for n, teacher in enumerate(each) if teacher.take("use_summary", bool, True)]
    return [teacher.take("name", str) for teacher in each], summaries


def refuse_other_version(version: str, where: str) -> None:
    """RADIO's versions look alike and give other features.

    Raises:
        CheckpointError: another one than CoLVA's adapters were trained on.
    """
    if version not in VERSIONS:
        raise CheckpointError(
            f"RADIO of version {version}, and CoLVA's adapters were trained on {VERSIONS[-1]}",
            where=where,
            mend="name the release nvidia/RADIO",
        )


def radio_rules(below: str = "") -> list[Rule]:
    """Rules for a RADIO whose names begin with ``below``, a regular expression without groups."""
    start, block = rf"{below}radio_model\.", rf"{below}radio_model\.model\.blocks\.(\d+)\."
    patches, layer = f"{PART}embeddings.", rf"{PART}encoder.layer.\1."
    return [
        Rename(rf"{start}model\.patch_generator\.embedder\.weight", (f"{patches}patch_projection.weight",)),
        Rename(rf"{start}model\.patch_generator\.pos_embed", (f"{patches}position_embedding",)),
        Rename(rf"{start}model\.patch_generator\.cls_token\.token", (f"{patches}cls_register_token",)),
        Rename(rf"{start}input_conditioner\.(norm_mean|norm_std)", (rf"{PART}input_conditioner.\1",)),
        Ignore(rf"{start}{SUMMARIES}", COUNTED),
        Rename(rf"{block}attn\.qkv\.(weight|bias)", tuple(rf"{layer}attention.{q}_proj.\2" for q in "qkv"), split=True),
        Rename(rf"{block}attn\.proj\.(weight|bias)", (rf"{layer}attention.o_proj.\2",)),
        Rename(rf"{block}((?:norm[12]|mlp\.fc[12])\.(?:weight|bias))", (rf"{layer}\2",)),
    ]
