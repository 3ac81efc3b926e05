"""The benchmark on the bundled model: what it reports, and that its check can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from PIL import Image
from typer.testing import CliRunner

from mlx_moebius.benchmark import approximate
from mlx_moebius.benchmark.__main__ import app
from mlx_moebius.benchmark.approximate import approximation_table, approximations
from mlx_moebius.benchmark.graph import Product, count_products, least_seconds, step_products, total_gflop
from mlx_moebius.networks import local_term
from mlx_moebius.networks.config import UNetConfig
from mlx_moebius.networks.kernels import CONVS
from mlx_moebius.networks.layers import fuse
from mlx_moebius.networks.unet import UNet

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"


def test_arithmetic_and_traffic_are_read_off_the_graph() -> None:
    a, b, image = mx.zeros((5, 7)), mx.zeros((7, 9)), mx.zeros((2, 8, 8, 4))
    kernel = mx.zeros((6, 3, 3, 4))
    traffic = 4 * (5 * 7 + 7 * 9 + 5 * 9)
    assert count_products(lambda a, b: a @ b, a, b) == [(2 * 5 * 7 * 9, traffic)]
    assert count_products(lambda a, b: mx.addmm(mx.zeros(9), a, b), a, b)[0].flop == 2 * 5 * 7 * 9
    (convolution,) = count_products(lambda x: mx.conv2d(x, kernel, padding=1), image)
    assert convolution == (2 * 2 * 8 * 8 * 6 * 9 * 4, 4 * (image.size + kernel.size + 2 * 8 * 8 * 6))
    # Ten overlapping windows of a vector read the vector once.
    (windows,) = count_products(lambda v: mx.as_strided(v, [10, 91], [1, 1]) @ mx.zeros((91, 1)), mx.zeros(100))
    assert windows == (2 * 10 * 91, 4 * (100 + 91 + 10))


def test_the_limit_is_arithmetic_or_traffic_whichever_takes_longer() -> None:
    products = [Product(flop=4 * 10**9, bytes=10**9), Product(flop=10**9, bytes=6 * 10**9)]
    assert total_gflop(products) == 5
    assert least_seconds(products, gflops=2, gbs=3) == pytest.approx(2 + 2)


def test_a_guided_step_of_the_released_size_takes_at_most_500_gflop() -> None:
    unet = fuse(UNet(UNetConfig()))  # zeros: nothing is computed, only traced
    assert 400 < total_gflop(step_products(unet)) <= 500
    assert total_gflop(step_products(unet, branches=1)) < 260
    assert total_gflop(step_products(unet, reuse=True)) < 150


@pytest.mark.slow
def test_report_and_comparison(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    command = ["--model", "nano", "--dtype", "float32", "--steps", "4", "--runs", "1"]
    first = CliRunner().invoke(app, [*command, "--json", str(path), "--profile", "--throughput"])
    assert first.exit_code == 0, first.output
    assert "down_blocks.0.resnets.0" in first.output
    report = json.loads(path.read_text())
    assert set(report["stages"]) == {"load", "encode", "step", "decode", "image"}
    for name in ("encode", "step", "decode"):
        stage = report["stages"][name]
        assert stage["gflop"] > 0.1
        assert stage["limit_seconds"] >= stage["gflop"] / max(report["gemm_gflops"], report["gemm_gflops_float32"])
        assert stage["share_of_limit"] == pytest.approx(stage["limit_seconds"] / stage["median_seconds"])
    for stage in report["stages"].values():
        assert 0 < stage["min_seconds"] <= stage["median_seconds"] <= stage["max_seconds"]
    assert set(report["peak_bytes"]) == {"load", "encode", "denoise", "decode"}
    assert min(report["peak_bytes"].values()) > 1e6
    assert list(report["throughput"]) == ["1", "2", "4", "8"]
    assert min(report["throughput"].values()) > 0
    second = CliRunner().invoke(app, [*command, "--compare", str(path)])
    assert second.exit_code == 0
    assert "was (ratio)" in second.output


@pytest.mark.slow
def test_pictures_where_the_truth_is_known(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("sand.jpg", "hole.png"):
        with Image.open(PHOTOS / name) as image:
            image.crop((200, 200, 800, 800)).save(photos / name, quality=95)
    result = CliRunner().invoke(
        app, ["--picture", str(photos), "--keep", str(tmp_path / "kept"), "--json", str(tmp_path / "report.json")]
    )
    assert result.exit_code == 0, result.output
    assert "smooth" in result.output
    report = json.loads((tmp_path / "report.json").read_text())["pictures"]
    for kind, parts in report.items():
        before, after = (parts[name]["sand"] for name in ("before", "after"))
        assert after["gradient"] > max(before["gradient"], 0.6), kind
        assert after["gradient"] < 1.3
    assert report["ideal"]["before"]["sand"]["psnr"] > report["smooth"]["before"]["sand"]["psnr"]
    with Image.open(tmp_path / "kept" / "smooth_after" / "sand.png") as kept:
        assert kept.size == (600, 600)


def test_pictures_need_photographs_and_a_hole(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--picture", str(tmp_path)])
    assert result.exit_code == 2
    assert "examples/windows" in result.output


@pytest.mark.slow
def test_approximations_against_the_exact_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "CONVERGED", 80)  # steps: near enough for what is compared here
    report = approximations()
    assert report["default"] == {"arithmetic": 1, "error": 0, "error_converged": report["default"]["error_converged"]}
    second_order, reusing = report["--steps 10 --solver dpm++"], report["--reuse-features 2"]
    assert second_order["arithmetic"] == pytest.approx(10 / 19)
    assert second_order["error_converged"] < report["--steps 10"]["error_converged"]
    assert report["--steps 20 --solver dpm++"]["error_converged"] < report["default"]["error_converged"]
    assert 0 < reusing["error"] < report["--reuse-features 3"]["error"] < 0.1
    assert reusing["arithmetic"] < report["--steps 14"]["arithmetic"]
    assert "--steps 10 --solver dpm++" in approximation_table(report)


@pytest.mark.parametrize(
    "extra",
    [["--dtype", "int8"], ["--compare", "missing.json"], ["--local-impl", "fast"], ["--conv-impl", "fast"], ["--full"]],
)
def test_bad_options(extra: list[str]) -> None:
    result = CliRunner().invoke(app, ["--model", "nano", *extra])
    assert result.exit_code == 2
    assert "error:" in result.output


@pytest.mark.slow
def test_check_notices_a_broken_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it passes with the right ones, docs/performance.md shows (`tests/test_documentation.py`)."""
    correct = local_term.IMPLS["bands"]

    def broken(*inputs: Any) -> mx.array:
        return correct(*inputs) * 1.05

    monkeypatch.setitem(local_term.IMPLS, "bands", broken)
    bad = CliRunner().invoke(app, ["--check"])
    assert bad.exit_code == 1
    for form in (*local_term.IMPLS, *(f"{form}, N = {pictures}" for form in CONVS for pictures in (1, 2))):
        assert form in bad.output
    wrong = [line for line in bad.output.splitlines() if " WRONG" in line]
    assert wrong
    assert all("bands" in line for line in wrong)
    assert all(("MLX_ENABLE_TF32=0" in line) == ("float32" in line) for line in wrong)
