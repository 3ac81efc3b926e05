"""Other programs: a photo and a mask in, the command line's bytes out; progress; the well-known image-editing API."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import photo_from_image, read_photo, read_provenance
from mlx_moebius.photos.save import write_photo
from mlx_moebius.ui.server import Server
from tests.support.series import make_series
from tests.support.visitor import parsed
from tests.ui.stage import EXAMPLES, MASK, PHOTO
from tests.ui.test_page import command_line


def asking(server: Server) -> httpx.Client:
    headers = {"authorization": f"Bearer {server.token}"}
    return httpx.Client(base_url=server.address, headers=headers, timeout=120, trust_env=False)


def ask(server: Server, address: str, files: dict[str, Any], **fields: Any) -> httpx.Response:
    with asking(server) as client:
        return client.post(address, files=files, data=fields)


def forms() -> dict[str, Any]:
    return {"photo": (PHOTO.name, PHOTO.read_bytes()), "mask": (MASK.name, MASK.read_bytes())}


@pytest.mark.slow
@pytest.mark.parametrize("client", [[sys.executable, "api.py"], ["sh", "api.sh"]])
def test_the_examples_get_the_command_lines_bytes(server: Server, tmp_path: Path, client: list[str]) -> None:
    out = tmp_path / "out.png"
    command: list[str | Path] = [client[0], EXAMPLES / client[1], server.url, PHOTO, MASK, out]
    subprocess.run(command, check=True, timeout=120)
    assert out.read_bytes() == command_line(PHOTO, MASK, tmp_path / "cli.png", "--seed", "2")


@pytest.mark.slow
def test_progress_comes_as_events_and_at_last_the_files_address(server: Server, tmp_path: Path) -> None:
    with (
        asking(server) as client,
        client.stream("POST", "/fill", files=forms(), headers={"accept": "text/event-stream"}) as answer,
    ):
        events = list(parsed(answer.iter_lines()))
        assert {"run", "done"} <= {kind for kind, _ in events}
        kind, last = events[-1]
        assert kind == "done"
        assert client.get(last["url"]).content == command_line(PHOTO, MASK, tmp_path / "cli.png")


def test_a_frame_is_extended_without_a_mask(server: Server) -> None:
    answer = ask(server, "/fill", {"photo": forms()["photo"]}, extend="left=16", model="nano")
    assert answer.status_code == 200, answer.text
    wider = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert np.array_equal(wider[:, 16:], np.asarray(Image.open(PHOTO).convert("RGB")))


@pytest.mark.parametrize(("kind", "suffix"), [("RGB", ".png"), ("RGB;16", ".tif"), ("I;16", ".png")])
def test_a_patch_lies_over_the_photo_as_a_layer(server: Server, tmp_path: Path, kind: str, suffix: str) -> None:
    rng = np.random.default_rng(0)
    source, layer = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    photo = photo_from_image(Image.new("I;16" if kind == "I;16" else "RGB", (120, 90)))
    depth = np.uint8 if kind == "RGB" else np.uint16
    pixels = rng.integers(0, np.iinfo(depth).max, photo.pixels.shape).astype(depth)
    write_photo(replace(photo, pixels=pixels, mode=kind), source)
    hole = np.zeros((90, 120), np.uint8)
    hole[30:60, 40:80] = 255
    files = {"photo": (source.name, source.read_bytes()), "mask": ("m.png", png(hole))}
    answer = ask(server, "/fill", files, output="patch", seed="1", detail="false")
    assert answer.status_code == 200, answer.text
    layer.write_bytes(answer.content)
    whole = tmp_path / f"whole{suffix}"
    whole.write_bytes(ask(server, "/fill", files, seed="1", detail="false").content)
    above, filled = read_photo(layer).pixels.astype(float), read_photo(whole).pixels.astype(float)
    below = pixels.reshape(90, 120, -1).astype(float)
    share = above[..., -1:] / np.iinfo(depth).max
    assert np.abs(below + (above[..., :-1] - below) * share - filled.reshape(below.shape)).max() <= 1
    assert (share == 0).mean() > 0.5
    assert share.max() == 1


def test_what_has_no_patch_is_named(server: Server) -> None:
    with_frame = ask(server, "/fill", forms(), output="patch", extend="left=16")
    assert "leave extend" in with_frame.json()["error"]
    assert "output must be one of" in ask(server, "/fill", forms(), output="layer").json()["error"]
    clear = io.BytesIO()
    Image.new("RGBA", (60, 50), (9, 9, 9, 99)).save(clear, "PNG")
    mask = np.zeros((50, 60), np.uint8)
    mask[20:30, 20:30] = 255
    answer = ask(server, "/fill", {"photo": ("a.png", clear.getvalue()), "mask": ("m.png", png(mask))}, output="patch")
    assert (answer.status_code, "has no patch" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"guidance_scale": "NaN"}, "guidance"),
        ({"guidance_scale": "Infinity"}, "guidance"),
        ({"num_steps": "1000000"}, "steps"),
        ({"seeds": "3"}, "there is no setting"),
        ({"model": "/etc/passwd"}, "is not on this computer"),
        ({"preset": "fastest"}, "preset"),
        ({"extend": "http://10.0.0.1/"}, "is not like"),
    ],
)
def test_settings_that_cannot_be_are_named(server: Server, fields: dict[str, str], why: str) -> None:
    answer = ask(server, "/fill", forms(), **fields)
    assert answer.status_code == 400
    assert why in answer.json()["error"]
    assert "--" not in answer.json()["error"]


def test_text_in_place_of_a_file_is_named(server: Server) -> None:
    text = base64.b64encode(PHOTO.read_bytes()).decode()
    short = text[:1000]
    mask = {"mask": forms()["mask"]}
    assert ask(server, "/fill", mask, photo=short).json()["error"] == "photo must be a file"
    assert ask(server, "/fill", {"photo": forms()["photo"]}, mask=short).json()["error"] == "mask must be a file"
    assert "image must be a file" in ask(server, "/v1/images/edits", mask, image=short).json()["error"]["message"]
    long = ask(server, "/fill", mask, photo=text * (1 + 2_000_000 // len(text)))
    assert long.status_code == 413
    assert "must be files" in long.json()["error"]


def test_errors_name_the_fields_that_a_program_sent(server: Server) -> None:
    """The example's photo is oblong, which the official pipeline cannot do; a mask that is all black fills nothing."""
    answer = ask(server, "/fill", forms(), reference="true", model="nano")
    assert answer.status_code == 400
    assert "crop it to a square or reference=false" in answer.json()["error"]
    assert "--" not in answer.text
    answer = ask(server, "/fill", forms(), num_steps="500", model="nano")
    assert answer.json()["error"].startswith("num_steps must be a whole number from 1 to 200")
    black = io.BytesIO()
    Image.new("L", Image.open(PHOTO).size).save(black, "PNG")
    answer = ask(server, "/fill", forms() | {"mask": ("black.png", black.getvalue())}, model="nano")
    assert answer.json()["error"].startswith("black.png is empty")
    assert answer.json()["error"].endswith("paint what to fill white")


@pytest.mark.slow
def test_what_other_shots_show_is_taken_from_them(server: Server, tmp_path: Path) -> None:
    series = make_series(tmp_path)
    files = [("photo", ("0.png", series.photo.read_bytes())), ("mask", ("mask.png", series.mask.read_bytes()))]
    files += [("from", (path.name, path.read_bytes())) for path in series.others]
    with asking(server) as client:
        answer = client.post("/fill", files=files, data={"detail": "false"})
        assert answer.status_code == 200, answer.text
        out = tmp_path / "out.png"
        out.write_bytes(answer.content)
        assert series.psnr(out) > 36
        record = read_provenance(out)
        assert record is not None
        assert [shot["file"] for shot in record["shots"]] == ["1.png", "2.png"]
        answer = client.post("/fill", files=files[:2], data={"from": "1.png"})
        assert answer.status_code == 400
        assert "from must be a file" in answer.json()["error"]


def test_several_masks_are_united_and_what_does_not_go_together_is_refused(server: Server, tmp_path: Path) -> None:
    drawings = []
    for left in (10, 40):
        hole = np.zeros((48, 64), np.uint8)
        hole[10:20, left : left + 8] = 255
        drawings.append(hole)
    Image.fromarray(np.where(np.maximum(*drawings), 0, 200).astype(np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    masks = [("mask", (f"{i}.png", png(hole))) for i, hole in enumerate(drawings)]
    given = ("photo", ("a.png", content))
    with asking(server) as client:
        answer = client.post("/fill", files=[given, *masks], data={"detail": "false"})
        assert answer.status_code == 200, answer.text
        assert np.asarray(Image.open(io.BytesIO(answer.content))).min() > 150
        other = ("from", ("b.png", content))
        for files, data, why in (
            ([given, other], {"extend": "left=8"}, "from shows what a mask hides"),
            ([given, given, *masks], {}, "photo may be given once"),
            ([given, *masks, *[other] * 9], {}, "from may be given 8 times at most"),
            ([given, *masks[:1] * 9], {}, "mask may be given 8 times at most"),
        ):
            answer = client.post("/fill", files=files, data=data)
            assert (answer.status_code, why in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.slow
def test_the_well_known_image_editing_api(server: Server) -> None:
    hole = np.asarray(Image.open(MASK).convert("L")) > 127
    drawing = Image.new("RGBA", hole.shape[::-1])
    drawing.putalpha(Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)))
    mask = io.BytesIO()
    drawing.save(mask, "PNG")
    files = {"image": (PHOTO.name, PHOTO.read_bytes()), "mask": ("mask.png", mask.getvalue())}
    answer = ask(
        server, "/v1/images/edits", files, n=2, size="1024x1024", prompt="x", model="other", response_format="b64_json"
    )
    assert answer.status_code == 200, answer.text
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(each["b64_json"]))).convert("RGB"))
        for each in answer.json()["data"]
    ]
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    assert len(pictures) == 2
    assert not np.array_equal(pictures[0], pictures[1])
    for picture in pictures:
        changed = (picture != photo).any(-1)
        assert changed[hole].mean() > 0.9
        assert not changed[~dilate(hole, 25)].any()
    failed = ask(server, "/v1/images/edits", {"image": files["image"]})
    assert failed.status_code == 400
    assert "transparent" in failed.json()["error"]["message"]
    streamed = ask(server, "/v1/images/edits", files, stream="true")
    assert streamed.status_code == 400
    assert "stream" in streamed.json()["error"]["message"]
    with asking(server) as client:
        listed = client.get("/v1/models").json()
    assert (listed["object"], listed["data"][0]["id"]) == ("list", "nano")


def test_the_description_is_served_locally(server: Server) -> None:
    with asking(server) as client:
        described = json.loads(client.get("/openapi.json").text)
        page = client.get("/docs").text
    assert {"/fill", "/v1/images/edits"} <= set(described["paths"])
    assert "/fill" in page
    assert "`" not in page
    assert "18446744073709551615" in page
    assert "//cdn" not in page
    assert "<script" not in page


@pytest.mark.slow
def test_a_fill_that_shows_is_told(server: Server) -> None:
    noise, hole = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8), np.zeros((96, 96), np.uint8)
    hole[30:60, 30:60] = 255
    files = {"photo": ("a.png", png(noise)), "mask": ("m.png", png(hole))}
    answer = ask(server, "/fill", files, detail="false")
    assert "the fill is soft" in json.loads(answer.headers["x-moebius-warnings"])[0].lower()
    assert "x-moebius-warnings" not in ask(server, "/fill", files).headers
    with asking(server) as client:
        events = {"accept": "text/event-stream"}
        with client.stream("POST", "/fill", files=files, data={"detail": "false"}, headers=events) as stream:
            kind, last = list(parsed(stream.iter_lines()))[-1]
    assert kind == "done"
    assert "the fill is soft" in last["warnings"][0].lower()


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
