"""What is known of the releases: how many bytes of weights are fetched, and under which licence they come.

Looked up in November 2026 on the pages of the hub and of the authors' repositories. A size that no page states is
counted from the shapes, and said to be. Licences change: what the release's own page says is what counts.
"""

from __future__ import annotations

from dataclasses import dataclass

LAVIS = "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/"
META = "https://dl.fbaipublicfiles.com/"
RESEARCH = "research use only (its README); built on LLaMA and Vicuna"
UNSTATED = "none stated"


@dataclass(frozen=True)
class Known:
    """Of one release.

    Attributes:
        size: bytes of the weights that are fetched.
        licence: as its page states it.
        note: what a user should know before.
    """

    size: float
    licence: str
    note: str = ""


CATALOGUE: dict[str, Known] = {
    "MBZUAI/GLaMM-GranD-Pretrained": Known(16.76e9, "Apache-2.0", "its trunk was LLaMA: Meta's terms apply upstream"),
    "xinlai/LISA-7B-v1": Known(16.12e9, UNSTATED, "code: Apache-2.0"),
    "lmsys/vicuna-7b-v1.5": Known(13.48e9, "Llama 2 Community License"),
    f"{LAVIS}InstructBLIP/instruct_blip_vicuna7b_trimmed.pth": Known(2_266_496_277, RESEARCH),
    f"{LAVIS}BLIP2/eva_vit_g.pth": Known(2_025_249_237, UNSTATED, "LAVIS' code: BSD-3-Clause; BAAI's EVA: MIT"),
    "Salesforce/instructblip-vicuna-7b": Known(31.66e9, RESEARCH, "the two LAVIS files hold the same in 4.3 GB"),
    "facebook/dinov2-small": Known(88.2e6, "Apache-2.0"),
    "facebook/dinov2-base": Known(346e6, "Apache-2.0"),
    "facebook/dinov2-large": Known(1.22e9, "Apache-2.0"),
    "facebook/dinov2-giant": Known(4.55e9, "Apache-2.0"),
    f"{META}dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth": Known(88_283_115, "Apache-2.0"),
    f"{META}dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth": Known(346_378_731, "Apache-2.0"),
    f"{META}dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth": Known(1_217_586_395, "Apache-2.0"),
    f"{META}dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth": Known(4.55e9, "Apache-2.0"),
    "openai/clip-vit-large-patch14": Known(1_710_540_580, UNSTATED, "CLIP's code: MIT"),
    "openai/clip-vit-large-patch14-336": Known(1.71e9, UNSTATED, "CLIP's code: MIT"),
    f"{META}segment_anything/sam_vit_b_01ec64.pth": Known(375_042_383, "Apache-2.0"),
    f"{META}segment_anything/sam_vit_l_0b3195.pth": Known(1_249_524_607, "Apache-2.0"),
    f"{META}segment_anything/sam_vit_h_4b8939.pth": Known(2_564_550_879, "Apache-2.0"),
    "PLAN-Lab/CALICO": Known(19.5e9, UNSTATED, "size counted from its shapes in 16 bits"),
    "zhouyik/colva_internvl2_4b": Known(10.9e9, UNSTATED, "holds RADIO: non-commercial; size counted from its shapes"),
    "OpenGVLab/InternVL2-4B": Known(8.30e9, "MIT"),
    "Qwen/Qwen2-VL-2B-Instruct": Known(4.42e9, "Apache-2.0"),
    "Qwen/Qwen2-VL-7B-Instruct": Known(16.57e9, "Apache-2.0"),
    "nvidia/RADIO": Known(2.61e9, "NSCLv1: non-commercial", "size counted from its shapes in 32 bits"),
}
