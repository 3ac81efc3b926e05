"""What a network needs and what the device can do: arithmetic, memory traffic, time by module, device speed."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.kernels import matmul
from mlx_moebius.networks.unet import UNet

MLX_VERSION = version("mlx")


def timed(function: Callable[[], Any], runs: int) -> list[float]:
    """The seconds of `runs` evaluations, after a first one that is not counted."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        mx.eval(function())
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


class Product(NamedTuple):
    """A matrix product or convolution: its operations (two per multiplication) and the bytes it reads and writes."""

    flop: int
    bytes: int


def count_products(function: Callable[..., Any], *inputs: mx.array) -> list[Product]:
    """All matrix products and convolutions in the graph that `function` builds, read off its shapes.

    Element-wise work is not counted: it can be fused into the products.

    Raises MoebiusError when the graph cannot be traced by this version of MLX.
    """
    products = []
    stored: dict[Any, int] = {}  # array -> its bytes in memory: a view may repeat the same bytes many times

    def visit(node: dict[str, Any]) -> None:
        if node.get("type") != "primitive":
            return
        name, outputs = node["name"], node["outputs"]
        sizes = [stored.get(key, byte_size(shape, dtype)) for key, shape, dtype in node["inputs"]]
        written = sum(byte_size(shape, dtype) for _, shape, dtype in outputs)
        if name in VIEWS:
            stored[outputs[0][0]] = min(sizes[0], written)
        if flop := primitive_flop(name, node["inputs"], outputs):
            products.append(Product(flop, sum(sizes) + written))

    mx.disable_compile()  # fused kernels would hide their primitives
    try:
        # Two calls that cannot be traced, and that do not change a result: the VAE evaluates strip by strip.
        with replaced(mx, "eval", lambda *_: None), replaced(mx, "contiguous", lambda array: array):
            mx.export_function(visit, function, *inputs)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise MoebiusError(f"cannot count the arithmetic with mlx {MLX_VERSION}: {error}") from error
    finally:
        mx.enable_compile()
    return products


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute of a module or class another value within the block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


VIEWS = ("AsStrided", "Broadcast", "Reshape", "Transpose", "Flatten", "Unflatten", "ExpandDims", "Squeeze")


def byte_size(shape: Sequence[int], dtype: mx.Dtype) -> int:
    """Bytes of an array that is stored in full."""
    return math.prod(shape) * dtype.size


def total_gflop(products: Iterable[Product]) -> float:
    """The arithmetic of all products together, in 10^9 operations."""
    return sum(product.flop for product in products) / 1e9


def least_seconds(products: Iterable[Product], gflops: float, gbs: float) -> float:
    """The least time on this hardware: arithmetic or memory traffic limits a product (roofline model)."""
    return sum(max(product.flop / gflops, product.bytes / gbs) for product in products) / 1e9


def primitive_flop(name: str, inputs: list[Any], outputs: list[Any]) -> int:
    """Operations of one primitive, from the shapes of its inputs and outputs (entries (id, shape, dtype))."""
    if name in ("Matmul", "AddMM"):
        return 2 * math.prod(outputs[0][1]) * int(inputs[0][1][-1])
    if name == "Convolution":
        return 2 * math.prod(outputs[0][1]) * math.prod(inputs[1][1][1:])  # weight (O, h, w, I / groups)
    if name == "ScaledDotProductAttention":
        (_, q, _), (_, k, _), (_, v, _) = inputs[:3]
        return 2 * math.prod(q) * int(k[-2]) + 2 * math.prod(q[:-1]) * int(v[-2]) * int(v[-1])
    return 0


def step_products(unet: UNet, batch: int = 1, branches: int = 2, reuse: bool = False) -> list[Product]:
    """The products of one step: guided if there are two branches, with an earlier step's features if `reuse`."""
    config = unet.config
    conditioning = unet.condition(mx.array([list(range(config.num_tokens))] * branches))
    shifts = unet.time_shifts(mx.array([500]))
    mx.eval(conditioning.layers, shifts)
    side, widths = config.sample_size, config.block_out_channels
    x = mx.zeros((batch, side, side, config.in_channels))
    features = mx.zeros((branches * batch, side, side, widths[1])) if reuse else None
    return count_products(lambda x: unet(x, shifts, conditioning, features), x)


@contextmanager
def watch_calls(
    network: nn.Module, kinds: tuple[type[nn.Module], ...], on_call: Callable[[str, Any, Any, float], None]
) -> Iterator[None]:
    """Within the block, evaluate every call of a module of these kinds when it happens, and report it to `on_call`.

    `on_call` takes name, inputs, output and seconds. A module inside a reported module is reported as well.
    """
    names = {id(module): name for name, module in network.named_modules()}

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: nn.Module, *inputs: Any) -> Any:
            mx.eval([i for i in inputs if isinstance(i, mx.array)])
            start = time.perf_counter()
            output = call(self, *inputs)
            mx.eval(output)
            on_call(names[id(self)], inputs, output, time.perf_counter() - start)
            return output

        return wrapper

    with ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(replaced(kind, "__call__", watched(kind.__call__)))
        yield


def device_name() -> str:
    """The name of the default device: its maker's, where the system tells it."""
    if mx.default_device().type == mx.DeviceType.gpu:
        return str(mx.device_info().get("device_name", "GPU"))
    if platform.system() == "Linux":
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return f"{line.split(':', 1)[1].strip()} (CPU)"
    return f"{platform.processor() or platform.machine()} (CPU)"


def gemm_gflops(dtype: mx.Dtype, runs: int = 5) -> float:
    """Median rate of a large matrix product in `dtype`, in GFLOP/s."""
    side = 2048
    a = mx.random.normal((side, side)).astype(dtype)
    mx.eval(a)
    return 2 * side**3 / statistics.median(timed(lambda: matmul(a, a), runs)) / 1e9


def bandwidth_gbs(runs: int = 5) -> float:
    """Median rate at which adding a number to a large array reads and writes memory, in GB/s."""
    a = mx.array(np.zeros(2**26, np.float32))
    mx.eval(a)
    return 2 * a.nbytes / statistics.median(timed(lambda: a + 1, runs)) / 1e9
