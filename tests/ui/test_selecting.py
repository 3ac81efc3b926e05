"""Selecting over HTTP: proposals for the page, which strokes correct; masks and fills for other programs."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.selection.object import ObjectCut
from mlx_moebius.ui import launch
from mlx_moebius.ui.outline import stroke_of
from mlx_moebius.ui.server import Server
from tests.selection.scenes import overlap, sky, with_ball

BOX = "box:60,18,108,108"


def png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def page(server: Server) -> Iterator[httpx.Client]:
    """A program that speaks to the page's API as the page does."""
    with speaking_to(server) as client:
        yield client


@contextmanager
def speaking_to(server: Server) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.address, headers=headers, timeout=60, trust_env=False) as client:
        client.headers["x-moebius-token"] = client.get("/api/state").json()["token"]
        yield client


def opened(page: httpx.Client, rgb: np.ndarray) -> str:
    answer = page.post("/api/photos", params={"name": "a.png"}, content=png(rgb))
    return str(answer.json()["id"])


def propose(page: httpx.Client, photo: str, **wanted: Any) -> httpx.Response:
    return page.post(f"/api/photos/{photo}/select", json=wanted)


def stroke(part: dict[str, Any]) -> dict[str, Any]:
    """What the page makes of a part that is taken."""
    return stroke_of([np.array(loop) for loop in part["loops"]])


def taken(page: httpx.Client, photo: str, *strokes: Any) -> np.ndarray:
    """The photo's mask once these strokes are taken."""
    assert page.put(f"/api/photos/{photo}/strokes", json={"done": strokes, "undone": []}).status_code == 204
    return np.asarray(Image.open(io.BytesIO(page.get(f"/api/photos/{photo}/mask").content)).convert("L")) > 0


def test_a_proposal_is_a_stroke_that_means_nothing_until_it_is_taken(page: httpx.Client) -> None:
    rgb, ball = with_ball(150, 210)
    photo = opened(page, rgb)
    answer = propose(page, photo, selected=[BOX])
    assert answer.status_code == 201, answer.text
    (part,) = answer.json()["parts"]
    assert answer.json()["shadow"] is None
    x, y = part["dot"]
    assert ball[y, x]
    assert not taken(page, photo).any()
    mask = taken(page, photo, stroke(part))
    assert overlap(mask, ball) > 0.95
    left, top, right, bottom = part["box"]
    assert mask[top:bottom, left:right].sum() == mask.sum()


def test_a_mask_from_a_file_goes_on_another_photo_of_its_size(page: httpx.Client) -> None:
    rgb, ball = with_ball(60, 90)
    first, second, smaller = opened(page, rgb), opened(page, rgb), opened(page, rgb[:50])
    loaded = page.post(f"/api/photos/{first}/mask", params={"name": "m.png"}, content=png(ball.astype(np.uint8) * 255))
    same = {"source": first, "mask": loaded.json()["stroke"]["mask"]}
    answer = page.post(f"/api/photos/{second}/same-mask", json=same)
    assert answer.status_code == 201, answer.text
    assert np.array_equal(taken(page, second, answer.json()["stroke"]), ball)
    refused = page.post(f"/api/photos/{smaller}/same-mask", json=same)
    assert refused.status_code == 409
    assert "90 x 60 pixels, and the photo 90 x 50" in refused.text


def test_strokes_correct_an_object_one_after_the_other(page: httpx.Client) -> None:
    rgb, _ = with_ball(150, 210)
    rgb[60:90, 6:36] = 250
    photo, box = opened(page, rgb), "box:2,18,168,108"
    minus = {"add": False, "points": [[12, 75], [30, 75]], "size": 12}
    plus = {"add": True, "points": [[12, 75], [30, 75]], "size": 12}
    for strokes, wanted in (([minus], False), ([minus, plus], True), ([minus], False)):
        answer = propose(page, photo, selected=[box], strokes=strokes)
        mask = taken(page, photo, stroke(answer.json()["parts"][0]))
        assert bool(mask[70:80, 12:30].all()) is wanted
        assert bool(mask[70:80, 12:30].any()) is wanted


def test_a_shadow_is_a_proposal_of_its_own(page: httpx.Client) -> None:
    rgb, ball = with_ball(300, 420)
    y, x = np.mgrid[:300, :420]
    shadow = (((x - 282) / 78) ** 2 + ((y - 219) / 24) ** 2 < 1) & ~ball
    rgb[shadow] = (rgb[shadow] * 0.5).astype(np.uint8)
    photo = opened(page, rgb)
    answer = propose(page, photo, selected=["box:120,36,216,204"], shadow=True).json()
    assert overlap(taken(page, photo, stroke(answer["shadow"])), shadow) > 0.7


def test_every_speck_of_dust_is_a_part_of_its_own(page: httpx.Client) -> None:
    rgb = sky(200, 300)
    places = ((40, 50), (160, 90), (250, 150))
    for x, y in places:
        rgb[y : y + 4, x : x + 4] = 20
    photo = opened(page, rgb)
    parts = propose(page, photo, selected=["dust"]).json()["parts"]
    assert {(part["dot"][0] // 10, part["dot"][1] // 10) for part in parts} == {(4, 5), (16, 9), (25, 15)}
    mask = taken(page, photo, *(stroke(part) for part in parts[1:]))
    assert [bool(mask[y + 1, x + 1]) for x, y in places].count(True) == 2


def test_a_version_that_is_gone_is_not_taken_for_another(page: httpx.Client) -> None:
    answer = propose(page, opened(page, sky(60, 80)), selected=["dust"], on=7)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"selected": ["everything"]}, "'everything' cannot be selected"),
        ({"selected": []}, "selected must be a list of what is wanted"),
        ({"selected": "dust"}, "selected must be"),
        ({"selected": ["box:1e300,0,5,5"]}, "outside the photo"),
        ({"selected": ["dust"], "strokes": [{"add": True, "points": [[1, 1]]}]}, "strokes correct one object"),
        ({"selected": [BOX], "strokes": [{"add": True, "points": [[1]]}]}, "must be"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(page: httpx.Client, wanted: dict[str, Any], sentence: str) -> None:
    answer = propose(page, opened(page, with_ball(150, 210)[0]), **wanted)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_without_opencv_the_page_says_what_is_missing(page: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = opened(page, with_ball(150, 210)[0])
    monkeypatch.setitem(sys.modules, "cv2", None)
    answer = propose(page, photo, selected=[BOX])
    assert answer.status_code == 400
    assert "pip install opencv-python-headless" in answer.json()["error"]


def test_a_program_gets_a_mask_or_a_filled_photo(page: httpx.Client) -> None:
    rgb, ball = with_ball(150, 210)
    form = {"photo": ("a.png", png(rgb))}
    answer = page.post("/select", files=form, data={"select": [BOX]})
    assert answer.headers["content-type"] == "image/png"
    assert overlap(np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")) > 0, ball) > 0.95
    answer = page.post("/fill", files=form, data={"select": [BOX], "detail": "false"})
    assert answer.status_code == 200, answer.text
    filled = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert (filled != rgb)[ball].any(axis=-1).mean() > 0.9
    answer = page.post("/select", files=form, data={"select": ["dust:9"]})
    assert (answer.status_code, "0 to 1" in answer.json()["error"]) == (400, True)
    assert page.post("/select", files=form).json()["error"].startswith("give a file as photo, and what is wanted")
    openapi = page.get("/openapi.json").json()
    assert openapi["paths"].keys() >= {"/select", "/fill"}


@pytest.mark.slow
def test_what_was_taken_in_a_folder_is_there_when_the_page_is_started_again(tmp_path: Path) -> None:
    rgb, ball = with_ball(150, 210)
    folder, out = tmp_path / "scans", tmp_path / "finished"
    folder.mkdir()
    Image.fromarray(rgb).save(folder / "a.png")
    masks = []
    for is_first in (True, False):
        with launch("nano", folder=folder, output=out) as server, speaking_to(server) as page:
            [item] = page.get("/api/series").json()["items"]
            if is_first:
                [part] = propose(page, item["id"], selected=[BOX]).json()["parts"]
                masks.append(taken(page, item["id"], stroke(part)))
            else:
                found = page.get(f"/api/photos/{item['id']}/mask").content
                masks.append(np.asarray(Image.open(io.BytesIO(found)).convert("L")) > 0)
    assert overlap(masks[0], ball) > 0.95
    assert np.array_equal(masks[0], masks[1])


def test_of_a_photo_that_is_closed_no_selection_is_kept(page: httpx.Client) -> None:
    gc.collect()
    before = [made for made in gc.get_objects() if isinstance(made, ObjectCut)]
    photo = opened(page, with_ball(150, 210)[0])
    assert propose(page, photo, selected=[BOX]).status_code == 201
    assert page.delete(f"/api/photos/{photo}").status_code == 204
    gc.collect()
    assert [made for made in gc.get_objects() if isinstance(made, ObjectCut) and made not in before] == []
