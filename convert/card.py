"""The model card of a model folder."""

from __future__ import annotations

from dataclasses import dataclass

from mlx_moebius.networks.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Card:
    """What a model card says beyond the configuration.

    `note` is a sentence; `made` says how the folder came about, up to "from", where it is no conversion; the rest are
    names on the hub.
    """

    note: str = ""
    made: str = ""
    repository: str = ""
    base_model: str = ""
    license: str = ""


def model_card(config: ModelConfig, card: Card) -> str:
    """README.md: front matter as the hub reads it, what the folder holds, where it comes from, how to run it."""
    size, sampling, stored = config.image_size, config.sampling, config.dtype
    defaults = f"{sampling.num_steps} steps, guidance {sampling.guidance_scale}"
    defaults += ", colour compensation" if sampling.compensate else ""
    if config.quantization:
        q = config.quantization
        stored += f", the U-Net's matrices in {q.bits} bits ({q.mode}, groups of {q.group_size})"
        stored += ", those that suffer in 8" if q.bits == 4 else ""
    made = card.made or f"Converted by `python -m mlx_moebius.convert` (version {config.converter_version}) from"
    sources = "\n".join(f"| {s.name} | {s.size} | `{s.sha256}` |" for s in config.sources)
    return f"""{front_matter(card)}
# Moebius inpainting for MLX
{f"{chr(10)}{card.note}{chr(10)}" if card.note else ""}
U-Net and VAE of [Moebius](https://github.com/hustvl/Moebius), {size} x {size} pixels, {stored}, for
[MLX](https://github.com/ml-explore/mlx). Sampling defaults: {defaults}.

    python -m mlx_moebius.generate photo.jpg --mask mask.png --model {card.repository or "PATH_OF_THIS_FOLDER"}

{made}

| file | bytes | sha256 |
|---|---|---|
{sources}
"""


def front_matter(card: Card) -> str:
    """The YAML that the hub reads, between its two lines of dashes."""
    lines = ["library_name: mlx", "pipeline_tag: image-to-image"]
    lines += [f"{key}: {value}" for key, value in (("base_model", card.base_model), ("license", card.license)) if value]
    return "\n".join(["---", *lines, "tags:", "- mlx", "- inpainting", "---", ""])
