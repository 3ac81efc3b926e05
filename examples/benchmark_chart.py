"""Draws docs/benchmarks/chart.png from the reports beside it: `python examples/benchmark_chart.py`.

One group of bars a report: seconds of each stage, and in grey the least that its matrix products could take, by the
device's own measured rates of arithmetic and memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
WIDTH, ROW, LEFT, RIGHT = 1000, 34, 210, 150
COLOURS = {"encode": "#4c78a8", "step": "#f58518", "decode": "#54a24b"}
TITLES = {"encode": "encode (image and masked)", "step": "one guided step", "decode": "decode"}


def draw_chart(reports: list[dict[str, Any]]) -> Image.Image:
    """The chart of `--json` reports, one below the other."""
    group = 56 + ROW * len(COLOURS)
    image = Image.new("RGB", (WIDTH, 20 + group * len(reports)), "white")
    draw = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(17), ImageFont.load_default(14)
    longest = max(report["stages"][name]["median_seconds"] for report in reports for name in COLOURS)
    for number, report in enumerate(reports):
        top = 14 + number * group
        title = f"{report['device']}, {report['cpus']} cores, {report['dtype']}, mlx {report['mlx']}"
        draw.text((16, top), f"{title}: GEMM {report['gemm_gflops']:.0f} GFLOP/s", "black", font)
        for row, name in enumerate(COLOURS):
            stage = report["stages"][name]
            y = top + 32 + row * ROW
            scale = (WIDTH - LEFT - RIGHT) / longest
            draw.text((16, y + 4), TITLES[name], "black", small)
            draw.rectangle((LEFT, y, LEFT + stage["median_seconds"] * scale, y + 14), COLOURS[name])
            draw.rectangle((LEFT, y + 16, LEFT + stage["limit_seconds"] * scale, y + 22), "#b0b0b0")
            text = f"{stage['median_seconds']:.1f} s, {stage['share_of_limit']:.0%} of the limit"
            draw.text((LEFT + stage["median_seconds"] * scale + 6, y), text, "black", small)
    return image


if __name__ == "__main__":
    draw_chart([json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]).save(FOLDER / "chart.png")
