"""Starting values for a model that is trained from scratch, where the releases' loaders would bring pretrained ones.

transformers builds SAM for loading weights: absolute positions start at zero, so an untrained encoder sees a bag of
patches. Here all image towers start from a fixed sine-cosine grid, as in MAE (He et al. 2022), whose slowest wave
fits the small grids of models that are trained from scratch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .modeling import LlavaCorrForConditionalGeneration


@torch.no_grad()
def start_positions(model: LlavaCorrForConditionalGeneration) -> None:
    """Sets the absolute positions of the vision tower and DINOv2 (patches only, CLS stays) and of SAM's encoder."""
    coded = model.visual_tokens.vision_model.embeddings.position_embedding
    tables_PE = [coded.weight if isinstance(coded, nn.Embedding) else coded[0]]  # CLIP's, EVA-CLIP's
    if hasattr(model, "correspondence"):
        tables_PE.append(model.correspondence.semantic_model.embeddings.position_embeddings[0])
    for table_PE in tables_PE:
        patches_PE = table_PE[1:]
        patches_PE.copy_(_grid(patches_PE.shape[1], round(len(patches_PE) ** 0.5)))
    grid_hwE = model.grounding.sam.vision_encoder.pos_embed
    if grid_hwE is not None:
        _, height, _, width = grid_hwE.shape
        grid_hwE.copy_(_grid(width, height).view_as(grid_hwE))


SLOWEST = 100.0  # 2 pi times this many patches is the longest wave


def _grid(width: int, side: int) -> Tensor:
    """Codes of a square grid, side² x width, rows first: a half for the row, a half for the column."""
    waves = SLOWEST ** -torch.linspace(0, 1, width // 4 + 1)[:-1]
    angles = torch.arange(side)[:, None] * waves
    axis = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.cat([axis.repeat_interleave(side, 0), axis.repeat(side, 1)], 1)
