"""What the approximate speed-ups cost in exactness, on the bundled model: `--approximations`."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from mlx_moebius.benchmark_check import drawn_example, error
from mlx_moebius.models import find_model
from mlx_moebius.weights import load_diffusion

GUIDANCE, STRENGTH = 2.5, 0.99
STEPS, CONVERGED = 20, 200
OPTIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "default": (STEPS, {}),
    "--guidance-until 0.6": (STEPS, {"guidance_until": 0.6}),
    "--steps 10": (10, {}),
    "--steps 10 --solver dpm++": (10, {"solver": "dpm++"}),
    "--steps 10 --solver dpm++ --guidance-until 0.6": (10, {"solver": "dpm++", "guidance_until": 0.6}),
    "--steps 20 --solver dpm++": (STEPS, {"solver": "dpm++"}),
}


def approximations() -> dict[str, dict[str, float]]:
    """For each option: network evaluations, and relative L2 errors of the filled latents in float32.

    "error" is against the default run (DDIM, 20 steps), "error_converged" against 200 steps of DDIM: what both
    solvers approximate.
    """
    diffusion = load_diffusion(find_model("nano"), "float32")
    encoded, noise = drawn_example(diffusion)

    def run(steps: int, **options: Any) -> tuple[mx.array, int]:
        *_, last = diffusion.denoise(encoded, noise, steps, GUIDANCE, STRENGTH, **options)
        guided = round(options.get("guidance_until", 1.0) * last.total)
        return last.latents * encoded.mask, last.total + guided

    exact, converged = run(STEPS)[0], run(CONVERGED)[0]
    report = {}
    for name, (steps, options) in OPTIONS.items():
        latents, evaluations = run(steps, **options)
        report[name] = {
            "evaluations": evaluations,
            "error": error(latents, exact),
            "error_converged": error(latents, converged),
        }
    return report


def approximation_table(report: dict[str, dict[str, float]]) -> str:
    """The report for a terminal."""
    lines = [f"{'nano, relative error of the fill':48}{'evaluations':>12}{'vs default':>12}{'vs 200 steps':>14}"]
    for name, row in report.items():
        lines.append(f"{name:48}{row['evaluations']:12.0f}{row['error']:12.3f}{row['error_converged']:14.3f}")
    return "\n".join(lines)
