"""Push-pull interpolation: what is unknown continues what is known smoothly."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mlx_moebius.photos.geometry import Colours, Mask


def push_pull(values: Colours, known: Mask) -> Colours:
    """Values [H, W, C] where they are known [H, W], continued smoothly to everywhere else.

    Push-pull interpolation (Gortler et al., "The lumigraph", 1996): means of known pixels at ever coarser levels, then
    each level's gaps filled from the next coarser one.
    """
    height, width = known.shape
    side = 1 << (max(height, width) - 1).bit_length()
    pad = (0, side - height), (0, side - width)
    weights = [np.pad(known.astype(np.float32), pad)[..., None]]
    levels = [np.pad(values, (*pad, (0, 0))) * weights[0]]
    while len(levels[-1]) > 1:
        sums, counts = (a.reshape(len(a) // 2, 2, len(a) // 2, 2, -1).sum((1, 3)) for a in (levels[-1], weights[-1]))
        weights.append(counts.clip(0, 1))
        levels.append(sums * (weights[-1] / counts.clip(1e-6)))
    filled = levels.pop() / weights.pop().clip(1e-6)
    for level, weight in zip(levels[::-1], weights[::-1], strict=True):
        smooth = [
            Image.fromarray(c).resize(weight.shape[:2], Image.Resampling.BILINEAR) for c in np.moveaxis(filled, -1, 0)
        ]
        filled = level + (1 - weight) * np.stack([np.asarray(channel) for channel in smooth], axis=-1)
    return filled[:height, :width]
