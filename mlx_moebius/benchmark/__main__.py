"""Speed and memory of this machine: `mlx-moebius benchmark`.

Without a model it runs the released network with generated weights, so that nothing has to be downloaded. Time and
memory do not depend on the weights' values.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import typer
from mlx.utils import tree_map

from mlx_moebius.benchmark.approximate import approximation_table, approximations
from mlx_moebius.benchmark.check import run_check
from mlx_moebius.benchmark.graph import (
    MLX_VERSION,
    Product,
    bandwidth_gbs,
    count_products,
    device_name,
    gemm_gflops,
    least_seconds,
    step_products,
    total_gflop,
    watch_calls,
)
from mlx_moebius.benchmark.picture import picture_report, picture_table
from mlx_moebius.benchmark.selecting import select_report, select_table
from mlx_moebius.benchmark.shots import shots_report, shots_table
from mlx_moebius.cli.command import Program
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import replacing
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.diffusion import Diffusion, Encoded, draw_noise
from mlx_moebius.networks.kernels import choose_conv
from mlx_moebius.networks.layers import Resnet, Upsample, fuse
from mlx_moebius.networks.local_term import choose_impl
from mlx_moebius.networks.stages import Stages
from mlx_moebius.networks.unet import Downsample, Transformer, UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.networks.weights import DTYPES, default_dtype, load_diffusion
from mlx_moebius.options import benchmark as options
from mlx_moebius.runtime import BLAS, private_kernels

BATCHES = (1, 2, 4, 8)
BLOCKS = (Resnet, Transformer, Upsample, Downsample)
GUIDANCE = 2.5
WARM_UP = 2  # steps of the first image, which is not counted: it includes compilation
RELEASED_SIZE = "released size, generated weights"


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


@private_kernels()
def measure(model: str | None, dtype: str, batch: int, steps: int, runs: int) -> tuple[dict[str, Any], Diffusion]:
    """Time whole images, after a first one that is not counted.

    Returns a report of JSON values, and the model that was measured.
    """
    stages, seconds = Stages(), dict[str, list[float]]()

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        with stages.measure(name):
            start = time.perf_counter()
            yield
            seconds.setdefault(name, []).append(time.perf_counter() - start)

    for _ in range(runs):
        diffusion = None  # gives its memory back before the next one is loaded
        with stage("load"):
            diffusion = load_diffusion(find_model(model), dtype) if model else generated_diffusion(ModelConfig(), dtype)
    assert diffusion is not None
    config = diffusion.config
    size, side, channels = config.image_size, config.unet.sample_size, config.vae.latent_channels
    noise = draw_noise(range(batch), range(batch), side, channels, 0.0)
    images, masks = mx.random.uniform(-1, 1, (batch, size, size, 3)), mx.zeros((batch, size, size, 1))
    masks[:, : size // 2] = 1
    cells = masks[:, :: size // side, :: size // side]

    for run in range(runs + 1):
        with stage("encode"):
            encoded = diffusion.encode(images, masks, cells, noise)
            mx.eval(encoded)
        step_seconds = []
        with stage("denoise"):
            last = time.perf_counter()
            for step in diffusion.denoise(encoded, noise, steps if run else WARM_UP, GUIDANCE, 1.0):
                now = time.perf_counter()
                # A yielded step's successor is already being computed: the first interval holds two, the last none.
                if 1 < step.number < step.total:
                    step_seconds.append(now - last)
                last = now
        with stage("decode"):
            mx.eval(diffusion.decode(step.latents))
        if run == 0:
            del seconds["encode"], seconds["denoise"], seconds["decode"]
        else:
            seconds.setdefault("step", []).extend(step_seconds or [seconds["denoise"][-1] / step.total])
            parts = (seconds[name][-1] for name in ("encode", "denoise", "decode"))
            seconds.setdefault("image", []).append(sum(parts) / batch)

    products = stage_products(diffusion, batch)
    gemm = {name: gemm_gflops(DTYPES[name]) for name in dict.fromkeys((dtype, "float32"))}
    bandwidth = bandwidth_gbs()

    def summary(name: str) -> dict[str, Any]:
        times = seconds[name]
        median = statistics.median(times)
        figures = {"median_seconds": median, "min_seconds": min(times), "max_seconds": max(times), "runs": len(times)}
        if name not in products:
            return figures
        rate = gemm[dtype if name == "step" else "float32"]  # the VAE computes in float32 always
        gflop, least = total_gflop(products[name]), least_seconds(products[name], rate, bandwidth)
        gigabytes = sum(product.bytes for product in products[name]) / 1e9
        limit = {"gigabytes": gigabytes, "limit_seconds": least, "share_of_limit": least / median}
        return {**figures, "gflop": gflop, **limit, "share_of_gemm": gflop / median / rate}

    report = {
        "device": device_name(),
        "mlx": MLX_VERSION,
        "blas": BLAS,
        "cpus": os.cpu_count(),
        "model": model or RELEASED_SIZE,
        "dtype": dtype,
        "batch": batch,
        "steps": steps,
        "gemm_gflops": gemm[dtype],
        "gemm_gflops_float32": gemm["float32"],
        "bandwidth_gbs": bandwidth,
        "peak_bytes": {name: measured.peak_bytes for name, measured in stages.by_name.items()},
        "stages": {name: summary(name) for name in ("load", "encode", "step", "decode", "image")},
    }
    return report, diffusion


def stage_products(diffusion: Diffusion, batch: int) -> dict[str, list[Product]]:
    """The matrix products and convolutions of a run, by stage."""
    config, vae = diffusion.config, diffusion.vae
    latents = mx.zeros((batch, config.unet.sample_size, config.unet.sample_size, config.vae.latent_channels))
    images = mx.zeros((2 * batch, config.image_size, config.image_size, config.vae.in_channels))  # and the masked ones
    return {
        "encode": count_products(lambda images: vae.encode(images)[0], images),
        "step": step_products(diffusion.unet, batch),
        "decode": count_products(vae.decode, latents),
    }


@private_kernels()
def throughput(diffusion: Diffusion, runs: int) -> dict[str, float]:
    """Median seconds of a guided step, divided by the number of images in the batch; by that number."""
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


@private_kernels()
def profile(diffusion: Diffusion) -> list[tuple[str, float]]:
    """Seconds of every block in one guided step, slowest first.

    The blocks are evaluated one by one, so they are slower than in a compiled step.
    """
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
    """The report as text for a terminal, beside the medians of an `old` report where one is given."""
    lines = [
        f"{report['device']}, mlx {report['mlx']}, BLAS {report['blas']}",
        f"{report['model']}, {report['dtype']}, batch {report['batch']}, {report['steps']} steps an image",
        f"device: {report['gemm_gflops']:.0f} GFLOP/s ({report['dtype']} GEMM), {report['bandwidth_gbs']:.1f} GB/s",
        f"{'stage':8}{'median s':>10}{'min':>9}{'max':>9}{'GFLOP':>8}{'GB':>7}{'limit s':>9}{'of limit':>9}"
        + ("  was (ratio)" if old else ""),
    ]
    for name, stage in report["stages"].items():
        line = f"{name:8}{stage['median_seconds']:10.3f}{stage['min_seconds']:9.3f}{stage['max_seconds']:9.3f}"
        if "gflop" in stage:
            line += f"{stage['gflop']:8.0f}{stage['gigabytes']:7.1f}{stage['limit_seconds']:9.3f}"
            line += f"{stage['share_of_limit']:9.0%}"
        elif old:
            line += " " * 33
        if old and name in old["stages"]:
            was = old["stages"][name]["median_seconds"]
            line += f"  {was:.3f} ({stage['median_seconds'] / was:.2f})"
        lines.append(line)
    peaks = ", ".join(f"{name} {peak / 1e9:.2f}" for name, peak in report["peak_bytes"].items())
    lines.append(f"peak memory in GB: {peaks}")
    if "throughput" in report:
        batches = ", ".join(f"{batch}: {seconds:.2f}" for batch, seconds in report["throughput"].items())
        lines.append(f"seconds a guided step and image, by batch: {batches}")
    if "approximations" in report:
        lines.append(approximation_table(report["approximations"]))
    return "\n".join(lines)


program = Program("mlx-moebius benchmark", options.ABOUT, options.EXAMPLES, status=2)  # 1: a result is wrong
app, main = program.app, program.main


@program.command(options.MOST_USED, alone=True)
def benchmark(
    model: options.Model = None,
    full: options.Full = False,
    dtype: options.Dtype = None,
    batch: options.Batch = 1,
    steps: options.Steps = 20,
    runs: options.Runs = 3,
    local_impl: options.LocalImpl = None,
    conv_impl: options.ConvImpl = None,
    json_path: options.Json = None,
    compare: options.Compare = None,
    with_profile: options.Profile = False,
    with_throughput: options.Throughput = False,
    with_approximations: options.Approximations = False,
    picture: options.Picture = None,
    keep: options.Keep = None,
    select: options.Select = None,
    shots: options.Shots = None,
    check: options.Check = False,
) -> None:
    """Measure speed and memory; with --check whether this device computes correctly, with --picture how fills look."""
    if check:
        raise typer.Exit(0 if run_check(print) else 1)
    if picture is not None:
        pictures = picture_report(picture, keep)
        print(picture_table(pictures))
        write_report({"device": device_name(), "pictures": pictures}, json_path)
        return
    if select is not None:
        selections = select_report(select)
        print(select_table(selections))
        write_report({"device": device_name(), "selections": selections}, json_path)
        return
    if shots is not None:
        series = shots_report(shots)
        print(shots_table(series))
        write_report({"device": device_name(), "shots": series}, json_path)
        return
    if full and model is not None:
        raise MoebiusError("--full means generated weights of the released size: leave it or --model out")
    choose_impl(local_impl)
    choose_conv(conv_impl)
    old = read_report(compare) if compare else None
    report, diffusion = measure(model, dtype or default_dtype(), batch, steps, runs)
    if with_throughput:
        report["throughput"] = throughput(diffusion, runs)
    if with_approximations:
        report["approximations"] = approximations()
    print(table(report, old))
    write_report(report, json_path)
    if with_profile:
        for name, seconds in profile(diffusion):
            print(f"{seconds * 1e3:9.1f} ms  {name}")


def write_report(report: dict[str, Any], path: Path | None) -> None:
    """Write a report as JSON to `path`, if there is one."""
    if path is not None:
        with replacing(path) as file:
            file.write(json.dumps(report, indent=2).encode() + b"\n")


def read_report(path: Path) -> dict[str, Any]:
    """Read a report that an earlier run wrote with `--json`.

    Raises MoebiusError when the file is not such a report.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        report["stages"]["step"]["median_seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        raise MoebiusError(f"{path} is not a benchmark report: give a file written by --json") from None
    return report


if __name__ == "__main__":
    main()
