"""`--approximations`: how much arithmetic the approximate options save, and how much the fill changes.

Measured on the bundled model.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from mlx_moebius.benchmark.check import drawn_example, error
from mlx_moebius.benchmark.graph import step_products, total_gflop
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import UNetConfig
from mlx_moebius.networks.layers import fuse
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.weights import load_diffusion
from mlx_moebius.runtime import private_kernels

STRENGTH = 0.99
STEPS, CONVERGED = 20, 200
OPTIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "default": (STEPS, {}),
    "--reuse-features 2": (STEPS, {"reuse_features": 2}),
    "--reuse-features 3": (STEPS, {"reuse_features": 3}),
    "--steps 14": (14, {}),
    "--steps 10": (10, {}),
    "--steps 10 --solver dpm++": (10, {"solver": "dpm++"}),
    "--steps 10 --solver dpm++ --reuse-features 2": (10, {"solver": "dpm++", "reuse_features": 2}),
    "--steps 20 --solver dpm++": (STEPS, {"solver": "dpm++"}),
}


@private_kernels()
def approximations() -> dict[str, dict[str, float]]:
    """The arithmetic of every option, as a share of the default run's, and relative L2 errors of the filled latents.

    "arithmetic" is computed for the released size. "error" compares with the default run (DDIM, 20 steps),
    "error_converged" with 200 steps of DDIM, which both solvers approximate. The bundled model was trained without
    guidance, so `--guidance-until` is not measured.
    """
    diffusion = load_diffusion(find_model("nano"), "float32")
    encoded, noise = drawn_example(diffusion)
    released = fuse(UNet(UNetConfig()))  # zeros: nothing is computed, only traced
    gflop = {reuse: total_gflop(step_products(released, branches=1, reuse=reuse)) for reuse in (False, True)}

    def run(steps: int, reuse_features: int = 1, **options: Any) -> tuple[mx.array, float]:
        options |= {"reuse_features": reuse_features}
        *_, last = diffusion.denoise(encoded, noise, steps, 1.0, STRENGTH, **options)
        return last.latents * encoded.mask, sum(gflop[i % reuse_features > 0] for i in range(last.total))

    (exact, default_gflop), (converged, _) = run(STEPS), run(CONVERGED)
    report = {}
    for name, (steps, options) in OPTIONS.items():
        latents, arithmetic = run(steps, **options)
        report[name] = {
            "arithmetic": arithmetic / default_gflop,
            "error": error(latents, exact),
            "error_converged": error(latents, converged),
        }
    return report


def approximation_table(report: dict[str, dict[str, float]]) -> str:
    """The report as text for a terminal."""
    lines = [f"{'nano, relative error of the fill':48}{'arithmetic':>12}{'vs default':>12}{'vs 200 steps':>14}"]
    for name, row in report.items():
        lines.append(f"{name:48}{row['arithmetic']:12.0%}{row['error']:12.3f}{row['error_converged']:14.3f}")
    return "\n".join(lines)
