"""The model card of a model folder."""

from __future__ import annotations

from mlx_moebius.config import ModelConfig

HEADER = """\
---
library_name: mlx
pipeline_tag: image-to-image
tags:
- mlx
- inpainting
---
"""


def model_card(config: ModelConfig, note: str) -> str:
    """README.md: front matter as the hub reads it, what the folder holds, where it comes from, how to run it."""
    size, sampling, stored = config.image_size, config.sampling, config.dtype
    defaults = f"{sampling.num_steps} steps, guidance {sampling.guidance_scale}"
    defaults += ", colour compensation" if sampling.compensate else ""
    if config.quantization:
        q = config.quantization
        stored += f", the U-Net's matrices in {q.bits} bits ({q.mode}, groups of {q.group_size})"
        stored += ", those that suffer in 8" if q.bits == 4 else ""
    sources = "\n".join(f"| {s.name} | {s.size} | `{s.sha256}` |" for s in config.sources)
    return f"""{HEADER}
# Moebius inpainting for MLX
{f"{chr(10)}{note}{chr(10)}" if note else ""}
U-Net and VAE of [Moebius](https://github.com/hustvl/Moebius), {size} x {size} pixels, {stored}, for
[MLX](https://github.com/ml-explore/mlx). Sampling defaults: {defaults}.

    python -m mlx_moebius.generate photo.jpg --mask mask.png --model PATH_OF_THIS_FOLDER

Converted by `python -m mlx_moebius.convert` (version {config.converter_version}) from

| file | bytes | sha256 |
|---|---|---|
{sources}
"""
