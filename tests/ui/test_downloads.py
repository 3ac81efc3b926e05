"""The demonstration model is called that, and a button fetches the released one; not where others can press it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from mlx_moebius.ui import launch
from mlx_moebius.ui.server import Server
from tests.models.test_hub import released
from tests.support.fake_hub import FakeHub
from tests.support.visitor import Visitor
from tests.ui.conftest import watched
from tests.ui.stage import PHOTO, STRANGER, Stage


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    hub = FakeHub(released())
    yield hub
    hub.close()


@pytest.mark.slow
def test_the_button_fetches_the_released_model_which_is_used_from_then_on(
    browser: Browser, hub: FakeHub, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "mlx_moebius.ui", "--no-browser", "--port", "0"]
    environment = hub.environment(tmp_path)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout
        try:
            for page in watched(browser, process.stdout.readline().strip(), viewport={"width": 1280, "height": 860}):
                demo = page.locator("#demo")
                expect(demo).to_contain_text("Demonstration model")
                demo.get_by_role("button", name="Get the full model (1.1 GB)").click()
                expect(demo).to_be_hidden(timeout=60_000)
                expect(page.locator("#setting-model")).to_have_value("places2")
                stage = Stage(page)
                stage.open(PHOTO)
                stage.without_detail()
                stage.stroke(*STRANGER)
                stage.run()
                expect(demo).to_be_hidden()
        finally:
            process.terminate()


def test_others_cannot_make_this_computer_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLX_MOEBIUS_HOME", str(tmp_path))
    with launch("nano", host="0.0.0.0") as server:
        visitor = Visitor(server)
        assert visitor.state["download"]["allowed"] is False
        answer = visitor.post("/api/model")
        assert answer.status_code == 403
        assert "on the computer that serves it" in answer.json()["error"]
        assert not list(tmp_path.rglob("*.part"))


def test_a_download_needs_the_pages_token(server: Server) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    assert httpx.post(f"{server.address}/api/model", headers=headers).status_code == 401
