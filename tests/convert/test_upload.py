"""`convert --upload-repo` with the real client."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.test_hub import NANO, released
from tests.support.fake_hub import FakeHub, Fault


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    hub = FakeHub(released())
    yield hub
    hub.close()


def convert(hub: FakeHub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ("-m", "mlx_moebius.convert", str(NANO), str(home / "out"), "--upload-repo", "us/copy", *arguments)
    return hub.run(home, *command, HF_TOKEN="hf_secret", HF_HUB_DISABLE_XET="1")


def test_folder_arrives_whole_with_its_card(hub: FakeHub, tmp_path: Path) -> None:
    run = convert(hub, tmp_path, "--quantize", "8", "--note", "A copy.")
    assert run.returncode == 0, run.stderr
    assert f"{hub.url}/us/copy/commit/" in run.stdout
    arrived = {}
    for line in hub.uploads:
        value = line["value"]
        if line["key"] == "file":
            arrived[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            arrived[value["path"]] = hub.objects[value["oid"]]
            assert hashlib.sha256(arrived[value["path"]]).hexdigest() == value["oid"]
    assert arrived == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    card = arrived["README.md"].decode()
    front, body = card.removeprefix("---\n").split("---\n", 1)
    assert {
        "library_name: mlx",
        "pipeline_tag: image-to-image",
        "base_model: hustvl/Moebius",
        "license: apache-2.0",
    } <= {*front.splitlines()}
    assert "A copy." in body
    assert "--model us/copy" in body
    assert "8 bits (affine, groups of 64)" in body
    assert all(source["sha256"] in body for source in json.loads(arrived["config.json"])["sources"])


def test_no_licence_no_upload(hub: FakeHub, tmp_path: Path) -> None:
    run = convert(hub, tmp_path, "--base-model", "them/absent")
    assert run.returncode == 1
    assert ": give --license" in run.stderr
    assert not (tmp_path / "out").exists()
    run = convert(hub, tmp_path, "--base-model", "them/absent", "--license", "mit")
    assert run.returncode == 0, run.stderr
    assert "\nlicense: mit\n" in (tmp_path / "out/README.md").read_text()


def test_refused_upload_is_one_line_and_the_folder_stays(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults["/api/repos/create"] = Fault("status", status=403)
    run = convert(hub, tmp_path)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: cannot upload ")
    assert "HTTP 403" in run.stderr
    assert (tmp_path / "out/config.json").exists()


def test_an_expired_token_uploads_nothing_and_says_how_to_renew_it(hub: FakeHub, tmp_path: Path) -> None:
    hub.expired = "hf_secret"
    run = convert(hub, tmp_path)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    line = run.stderr.splitlines()[-1]
    assert line.startswith("error: cannot upload ")
    assert "HTTP 401: log in with `hf auth login`" in line
