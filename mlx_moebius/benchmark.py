"""Speed and memory of this machine: `python -m mlx_moebius.benchmark`.

Without a model it runs the released network with generated weights, so that nothing needs downloading: neither time
nor memory depends on the weights' values.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import mlx.core as mx
import mlx.nn as nn
import typer
from mlx.utils import tree_map

from mlx_moebius.benchmark_approximate import approximation_table, approximations
from mlx_moebius.benchmark_check import run_check
from mlx_moebius.benchmark_graph import (
    MLX_VERSION,
    bandwidth_gbs,
    count_gflop,
    device_name,
    gemm_gflops,
    timed,
    watch_calls,
)
from mlx_moebius.blas import BLAS
from mlx_moebius.config import ModelConfig
from mlx_moebius.diffusion import Diffusion, Encoded, draw_noise
from mlx_moebius.errors import MoebiusError, one_line_errors
from mlx_moebius.layers import Resnet, Upsample, fuse
from mlx_moebius.local_term import choose_impl
from mlx_moebius.models import find_model
from mlx_moebius.save import replacing
from mlx_moebius.stages import Stages
from mlx_moebius.unet import Downsample, Transformer, UNet
from mlx_moebius.vae import AutoencoderKL
from mlx_moebius.weights import DTYPES, default_dtype, load_diffusion

BATCHES = (1, 2, 4, 8)
BLOCKS = (Resnet, Transformer, Upsample, Downsample)
GUIDANCE = 2.5


def generated_diffusion(config: ModelConfig, dtype: str) -> Diffusion:
    """A model of this configuration with random weights that keep activations near 1."""

    def generate(array: mx.array) -> mx.array:
        if array.ndim == 1:
            return mx.ones(array.shape)
        return mx.random.normal(array.shape) / math.sqrt(math.prod(array.shape[1:]))

    unet, vae = UNet(config.unet), AutoencoderKL(config.vae)
    networks: tuple[nn.Module, ...] = (unet, vae)
    for network in networks:
        network.update(tree_map(generate, network.parameters()))
        fuse(network)
        mx.eval(network.parameters())
    return Diffusion(unet, vae, config, DTYPES[dtype])


def measure(model: str | None, dtype: str, batch: int, steps: int, runs: int) -> tuple[dict[str, Any], Diffusion]:
    """One run of everything: a JSON-able report, and the model that it was made with."""
    stages = Stages()
    with stages.measure("load"):
        diffusion = load_diffusion(find_model(model), dtype) if model else generated_diffusion(ModelConfig(), dtype)
    config, unet = diffusion.config, diffusion.unet
    size, side, channels = config.image_size, config.unet.sample_size, config.vae.latent_channels
    noise = draw_noise(range(batch), range(batch), side, channels, 0.0)
    images, masks = mx.random.uniform(-1, 1, (batch, size, size, 3)), mx.zeros((batch, size, size, 1))
    masks[:, : size // 2] = 1
    cells = masks[:, :: size // side, :: size // side]

    encode_seconds, decode_seconds, step_seconds = [], [], []
    with stages.measure("encode"):
        encode_seconds = timed(lambda: diffusion.encode(images, masks, cells, noise), runs)
    encoded = diffusion.encode(images, masks, cells, noise)
    mx.eval(encoded)
    with stages.measure("denoise"):
        for _ in diffusion.denoise(encoded, noise, 2, GUIDANCE, 1.0):  # compiles
            pass
        start = last = time.perf_counter()
        for _ in diffusion.denoise(encoded, noise, steps, GUIDANCE, 1.0):
            step_seconds.append(time.perf_counter() - last)
            last = time.perf_counter()
        denoise_seconds = last - start
    with stages.measure("decode"):
        decode_seconds = timed(lambda: diffusion.decode(noise.start), runs)
    # The step after the one yielded is under way already: the first interval may hold two, the last none.
    step_seconds = step_seconds[1:-1] or [denoise_seconds / steps]

    conditioning = unet.condition(mx.array([list(range(config.unet.num_tokens))] * 2))
    shifts = unet.time_shifts(mx.array([500]))
    x = mx.zeros((batch, side, side, config.unet.in_channels))
    mx.eval(conditioning.layers, shifts)
    gflop = {
        "encode": count_gflop(lambda image: diffusion.vae.encode(image)[0], mx.concatenate([images, images])),
        "step": count_gflop(lambda x: unet(x, shifts, conditioning), x),
        "decode": count_gflop(diffusion.vae.decode, noise.start),
    }
    rates = {"step": gemm_gflops(diffusion.dtype), "encode": gemm_gflops(mx.float32)}
    rates["decode"] = rates["encode"]
    peaks = {name: stage.peak_bytes for name, stage in stages.by_name.items()}
    seconds = {"encode": encode_seconds, "step": step_seconds, "decode": decode_seconds}
    report = {
        "device": device_name(),
        "mlx": MLX_VERSION,
        "blas": BLAS,
        "cpus": os.cpu_count(),
        "model": model or "released size, generated weights",
        "dtype": dtype,
        "batch": batch,
        "steps": steps,
        "gemm_gflops": rates["step"],
        "gemm_gflops_float32": rates["encode"],
        "bandwidth_gbs": bandwidth_gbs(),
        "load_seconds": stages.by_name["load"].seconds,
        "image_seconds": (statistics.median(encode_seconds) + denoise_seconds + statistics.median(decode_seconds))
        / batch,
        "peak_bytes": peaks,
        "stages": {
            name: {
                "median_seconds": statistics.median(times),
                "min_seconds": min(times),
                "max_seconds": max(times),
                "runs": len(times),
                "gflop": gflop[name],
                "share_of_gemm": gflop[name] / statistics.median(times) / rates[name],
            }
            for name, times in seconds.items()
        },
    }
    return report, diffusion


def throughput(diffusion: Diffusion, runs: int) -> dict[str, float]:
    """Median seconds of a guided step for each image of a batch, by the batch's size."""
    side, channels = diffusion.config.unet.sample_size, diffusion.config.vae.latent_channels
    seconds = {}
    for batch in BATCHES:
        noise = draw_noise(range(batch), range(batch), side, channels, 0.0)
        encoded = Encoded(noise.start, mx.ones((batch, side, side, 1)), noise.start)
        times, last = [], 0.0
        for step in diffusion.denoise(encoded, noise, runs + 2, GUIDANCE, 1.0):
            now = time.perf_counter()
            if 1 < step.number < step.total:  # as in `measure`; the first compiles
                times.append((now - last) / batch)
            last = now
        seconds[str(batch)] = statistics.median(times)
        mx.clear_cache()
    return seconds


def profile(diffusion: Diffusion) -> list[tuple[str, float]]:
    """Seconds of each block in one guided step, slowest first; each evaluated alone, hence slower than in a step."""
    unet, seconds = diffusion.unet, dict[str, float]()
    conditioning = unet.condition(mx.array([list(range(unet.config.num_tokens))] * 2))
    shifts = unet.time_shifts(mx.array([500]))
    x = mx.zeros((1, unet.config.sample_size, unet.config.sample_size, unet.config.in_channels))
    mx.eval(conditioning.layers, shifts)
    for _ in range(2):  # the first compiles
        with watch_calls(unet, BLOCKS, lambda name, i, o, s: seconds.update({name: s})):
            mx.eval(unet(x, shifts, conditioning))
    return sorted(seconds.items(), key=lambda item: -item[1])


def table(report: dict[str, Any], old: dict[str, Any] | None) -> str:
    """The report for a terminal, with the old one's medians beside it where there is one."""
    lines = [
        f"{report['device']}, mlx {report['mlx']}, BLAS {report['blas']}",
        f"{report['model']}, {report['dtype']}, batch {report['batch']}",
        f"device: {report['gemm_gflops']:.0f} GFLOP/s ({report['dtype']} GEMM), {report['bandwidth_gbs']:.1f} GB/s",
        f"{'stage':10}{'median s':>10}{'min':>9}{'max':>9}{'GFLOP':>9}{'of GEMM':>9}"
        + ("  was (ratio)" if old else ""),
    ]
    for name, stage in report["stages"].items():
        line = f"{name:10}{stage['median_seconds']:10.3f}{stage['min_seconds']:9.3f}{stage['max_seconds']:9.3f}"
        line += f"{stage['gflop']:9.0f}{stage['share_of_gemm']:9.0%}"
        if old:
            was = old["stages"][name]["median_seconds"]
            line += f"  {was:.3f} ({stage['median_seconds'] / was:.2f})"
        lines.append(line)
    peaks = ", ".join(f"{name} {peak / 1e9:.2f}" for name, peak in report["peak_bytes"].items())
    lines.append(
        f"load {report['load_seconds']:.1f} s, image {report['image_seconds']:.1f} s ({report['steps']} steps)"
    )
    lines.append(f"peak memory in GB: {peaks}")
    if "throughput" in report:
        batches = ", ".join(f"{batch}: {seconds:.2f}" for batch, seconds in report["throughput"].items())
        lines.append(f"seconds a guided step and image, by batch: {batches}")
    if "approximations" in report:
        lines.append(approximation_table(report["approximations"]))
    return "\n".join(lines)


app = typer.Typer(add_completion=False)


@app.command()
def benchmark(
    model: Annotated[
        str | None, typer.Option(help="A model by name or folder; default: released size, generated.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the whole image.")] = 20,
    runs: Annotated[int, typer.Option(min=1, help="Repetitions of encode and decode.")] = 3,
    local_impl: Annotated[str | None, typer.Option(help="Formulation of the local term: see local_term.py.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    compare: Annotated[Path | None, typer.Option(help="An earlier report to compare with.")] = None,
    with_profile: Annotated[bool, typer.Option("--profile", help="Rank the U-Net's blocks by time.")] = False,
    with_throughput: Annotated[
        bool, typer.Option("--throughput", help="Also a guided step at batch 1, 2, 4 and 8.")
    ] = False,
    with_approximations: Annotated[
        bool, typer.Option("--approximations", help="Also what the inexact options cost, on the bundled model.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check results instead of speed; exit code 1 if wrong.")
    ] = False,
) -> None:
    """Measure speed and memory, or with --check whether this device computes correctly."""
    with one_line_errors(status=2):
        if check:
            raise typer.Exit(0 if run_check(print) else 1)
        if dtype is not None and dtype not in DTYPES:
            raise MoebiusError(f"unknown dtype {dtype!r}: choose {', '.join(DTYPES)}")
        choose_impl(local_impl)
        old = read_report(compare) if compare else None
        report, diffusion = measure(model, dtype or default_dtype(), batch, steps, runs)
        if with_throughput:
            report["throughput"] = throughput(diffusion, runs)
        if with_approximations:
            report["approximations"] = approximations()
    print(table(report, old))
    if json_path:
        with replacing(json_path) as file:
            file.write(json.dumps(report, indent=2).encode() + b"\n")
    if with_profile:
        for name, seconds in profile(diffusion):
            print(f"{seconds * 1e3:9.1f} ms  {name}")


def read_report(path: Path) -> dict[str, Any]:
    """An earlier `--json` file.

    Raises MoebiusError when it is none.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        report["stages"]["step"]["median_seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        raise MoebiusError(f"{path} is not a benchmark report: give a file written by --json") from None
    return report


def main() -> None:
    """Console script."""
    app()


if __name__ == "__main__":
    main()
