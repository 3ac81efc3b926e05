"""`--check`: does this device compute correctly, in every dtype and formulation?

It is for hardware that the developers do not have. The blocks of the bundled model and its whole pipeline run on the
default device. The results are compared with the CPU in float32 and with the same device in float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_moebius.benchmark.graph import MLX_VERSION, device_name, watch_calls
from mlx_moebius.models import find_model
from mlx_moebius.networks import vae
from mlx_moebius.networks.diffusion import Diffusion, Encoded, Noise, draw_noise
from mlx_moebius.networks.kernels import CONVS
from mlx_moebius.networks.lambdas import CrossLambda, SelfLambda
from mlx_moebius.networks.layers import DepthwiseSeparableConv, FeedForward, GroupNorm, Resnet, Upsample
from mlx_moebius.networks.local_term import IMPLS, choose_impl
from mlx_moebius.networks.unet import Downsample, Transformer
from mlx_moebius.networks.weights import DTYPES, load_diffusion
from mlx_moebius.runtime import private_kernels

BLOCKS = (
    SelfLambda, CrossLambda, DepthwiseSeparableConv, FeedForward, GroupNorm, Resnet, Transformer, Upsample, Downsample,
    vae.Resnet, vae.Attention, vae.Downsample,
)  # fmt: skip
# Bounds of relative L2 errors: about five times the errors of a CPU in that dtype. Those of float32 allow for TF32 (ten
# bits).
BLOCK_BOUNDS = {"float32": 2e-3, "float16": 5e-3, "bfloat16": 4e-2}
IMAGE_BOUNDS = {"float32": 5e-3, "float16": 1e-2, "bfloat16": 5e-2}

# "conv2d" may have the error that was seen with Metal on an M5 (see kernels.py), the exact form may not.
CONV_BOUNDS = {"conv2d": 2e-2, "implicit_gemm": 2e-3}
PICTURES = (1, 2)  # batch sizes: MLX may compute one picture in another way than several

Calls = dict[str, tuple[tuple[Any, ...], mx.array]]


@private_kernels()
def run_check(print_line: Callable[[str], None]) -> bool:
    """Print one line per block, dtype and formulation. Returns whether every bound holds."""
    device = mx.default_device()
    print_line(f"{device_name()}, mlx {MLX_VERSION}")
    print_line(f"{'what':38}{'dtype':10}{'vs CPU':>10}{'vs float32':>12}{'bound':>9}{'ms':>9}{'peak MB':>9}")
    mx.set_default_device(mx.cpu)
    try:
        calls, image = record(load_diffusion(find_model("nano"), "float32"))
    finally:
        mx.set_default_device(device)
    passed = True

    def judge(what: str, dtype: str, errors: tuple[float, float], bound: float, seconds: float) -> None:
        nonlocal passed
        good = max(errors) <= bound  # false for nan
        passed &= good
        wrong = "WRONG, try MLX_ENABLE_TF32=0" if dtype == "float32" else "WRONG"
        peak, verdict = mx.get_peak_memory() / 1e6, "ok" if good else wrong
        figures = f"{errors[0]:10.1e}{errors[1]:12.1e}{bound:9.0e}{seconds * 1e3:9.1f}{peak:9.0f}"
        print_line(f"{what:38}{dtype:10}{figures} {verdict}")

    for pictures, form, off, seconds in run_convolutions():
        judge(f"3x3 convolution {form}, N = {pictures}", "float32", (off, off), CONV_BOUNDS[form], seconds)
    same_device: dict[str, mx.array] = {}
    whole: mx.array | None = None
    for dtype in DTYPES:
        for what, name, output, seconds in run_blocks(calls, dtype):
            float32 = same_device.setdefault(what, output)  # DTYPES begins with float32
            judge(what, dtype, (error(output, calls[name][1]), error(output, float32)), BLOCK_BOUNDS[dtype], seconds)
        mx.reset_peak_memory()
        start = time.perf_counter()
        result = run_image(load_diffusion(find_model("nano"), dtype))
        seconds = time.perf_counter() - start
        whole = result if whole is None else whole
        judge("whole image", dtype, (error(result, image), error(result, whole)), IMAGE_BOUNDS[dtype], seconds)
    print_line("all within bounds" if passed else "WRONG: this device or this version of MLX computes incorrectly")
    return passed


def run_convolutions() -> Iterator[tuple[int, str, float, float]]:
    """Run a convolution as wide as the released VAE's in every form, for one picture and for two.

    Yields the number of pictures, the form, the error against the CPU, and warm seconds.
    """
    weight = mx.random.normal((256, 3, 3, 256), key=mx.random.key(0)) / 48
    stride, padding = 1, ([1, 1], [1, 1])
    for pictures in PICTURES:
        x = mx.random.normal((pictures, 64, 64, 256), key=mx.random.key(pictures))
        with mx.stream(mx.cpu):
            expected = CONVS["conv2d"](x, weight, stride, padding)
            mx.eval(expected)
        for form, convolve in CONVS.items():
            output, seconds = call(convolve, [x, weight, stride, padding])
            yield pictures, form, error(output, expected), seconds


def error(actual: mx.array, expected: mx.array) -> float:
    """Relative L2 error."""
    a, e = (np.asarray(x.astype(mx.float32), np.float64) for x in (actual, expected))
    return float(np.linalg.norm(a - e) / np.linalg.norm(e)) if np.isfinite(a).all() else float("inf")


def record(diffusion: Diffusion) -> tuple[Calls, mx.array]:
    """Record the inputs and the output of every block, and the image of a whole run.

    The U-Net's blocks are recorded in one guided call, the VAE's when they encode a drawn image and decode noise.
    """
    calls: Calls = {}
    unet = diffusion.unet
    conditioning = unet.condition(mx.array([list(range(unet.config.num_tokens))] * 2))
    side = unet.config.sample_size
    x = mx.array(np.random.default_rng(0).standard_normal((1, side, side, unet.config.in_channels), np.float32))
    with watch_calls(unet, BLOCKS, lambda name, inputs, output, _: calls.update({name: (inputs, output)})):
        mx.eval(unet(x, unet.time_shifts(mx.array([500])), conditioning))
    latents = x[..., : diffusion.config.vae.latent_channels]
    with watch_calls(diffusion.vae, BLOCKS, lambda name, i, output, _: calls.update({f"vae.{name}": (i, output)})):
        drawn_example(diffusion)
        diffusion.decode(latents)
    return calls, run_image(diffusion)


def run_blocks(calls: Calls, dtype: str) -> Iterator[tuple[str, str, mx.array, float]]:
    """Run every block on its recorded inputs, a self-lambda in all formulations.

    The VAE's blocks run in float32 only: it never computes in anything else. Yields label, name, output and the seconds
    of a second call.
    """
    diffusion = load_diffusion(find_model("nano"), "float32")
    diffusion.unet.set_dtype(DTYPES[dtype])
    modules = dict(diffusion.unet.named_modules())
    if dtype == "float32":
        modules |= {f"vae.{name}": module for name, module in diffusion.vae.named_modules()}
    for name, (inputs, _) in calls.items():
        if name not in modules:
            continue
        module = modules[name]
        cast = [i.astype(DTYPES[dtype]) if isinstance(i, mx.array) else i for i in inputs]
        for impl in IMPLS if isinstance(module, SelfLambda) else [None]:
            choose_impl(impl)
            try:
                output, seconds = call(module, cast)
            finally:
                choose_impl(None)
            short = name.replace("transformer_blocks.0.", "").replace("_blocks", "").replace("attentions", "attn")
            yield f"{short} {impl or ''}".strip(), name, output, seconds


def call(module: Callable[..., mx.array], inputs: list[Any]) -> tuple[mx.array, float]:
    """Call twice. Returns the output and the seconds of the second call; the peak of memory is counted from it on."""
    mx.eval(module(*inputs))
    mx.reset_peak_memory()
    start = time.perf_counter()
    output = module(*inputs)
    mx.eval(output)
    return output, time.perf_counter() - start


def run_image(diffusion: Diffusion) -> mx.array:
    """Fill the hole of a drawn image in ten steps. Returns the image [1, S, S, 3]."""
    encoded, noise = drawn_example(diffusion)
    *_, last = diffusion.denoise(encoded, noise, 10, diffusion.config.sampling.guidance_scale, 0.99)
    return diffusion.decode(last.latents)


def drawn_example(diffusion: Diffusion) -> tuple[Encoded, Noise]:
    """A colour gradient with a hole, encoded, and the noise to fill it from."""
    config = diffusion.config
    size, side = config.image_size, config.unet.sample_size
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[::-1, None]), axis=-1)[None]
    mask = np.zeros((1, size, size, 1), np.float32)
    mask[:, size // 4 : size // 2, size // 4 : size // 2] = 1
    noise = draw_noise([0], [0], side, config.vae.latent_channels, 0.0)
    cells = mx.array(mask[:, :: size // side, :: size // side])
    return diffusion.encode(mx.array(np.ascontiguousarray(image)), mx.array(mask), cells, noise), noise
