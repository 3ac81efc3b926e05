"""`review.html`: the results of a folder run on one self-contained page: errors first, then the most visible fills."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import EVERYBODY, replacing
from mlx_moebius.folder.ledger import Record
from mlx_moebius.inpainting.bands import flagged
from mlx_moebius.photos.geometry import Box
from mlx_moebius.photos.photo import opened, photo_from_image
from mlx_moebius.words import counted

NAME = "review.html"
SIDE = 480  # longest side of a thumbnail, in pixels
AT_ONCE = 64  # figures whose thumbnails are in memory at once
FIGURE = re.compile(rb'<figure data-content="([0-9a-f-]+)"><div class="pairs">(.*?)</div></div><input')
IMAGE = re.compile(rb'src="([^"]*)"')
CROP = (320, 480)  # pixels: the least and the largest side of a crop round a fill
ROOM = 64  # pixels of the photo on each side of a fill
CROPS = 3  # of a photo, round its largest fills

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Review</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark; font: 14px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  --stage: #dfdfdc; --surface: #fdfdfc; --ink: #1c1c1e; --quiet: #5b5b60; --accent: #0b5fc4; --bad: #b3261e;
  --shadow: 0 1px 2px rgb(0 0 0 / 8%), 0 6px 24px rgb(0 0 0 / 10%) }
@media (prefers-color-scheme: dark) { :root { --stage: #121214; --surface: #222225; --ink: #f1f1f3; --quiet: #adadb5;
  --accent: #72b3ff; --bad: #ff9a92; --shadow: 0 1px 2px rgb(0 0 0 / 40%), 0 8px 28px rgb(0 0 0 / 45%) } }
body { margin: 1.5rem auto; max-width: 112rem; padding: 0 1rem; background: var(--stage); color: var(--ink) }
h1 { font-size: 26px; font-weight: 650; letter-spacing: -.02em }
h2 { font-size: 16px; margin: 0 }
a { color: var(--accent) }
.errors, figure { background: var(--surface); border-radius: 12px; box-shadow: var(--shadow); padding: 12px 16px }
.errors { margin-bottom: 1rem }
.errors h2 { color: var(--bad) }
main { display: flex; flex-wrap: wrap; gap: 1rem; align-items: start }
figure { margin: 0; max-width: 100%; box-sizing: border-box }
.pairs { --x: 50%; display: flex; flex-wrap: wrap; gap: 10px; align-items: start }
.pair { position: relative; display: grid; overflow: hidden; border-radius: 6px; max-width: 100% }
.pair img { grid-area: 1 / 1; max-width: 100%; display: block }
.pair img + img { clip-path: inset(0 0 0 var(--x)) }
.pair::after { content: ""; position: absolute; inset: 0 auto 0 var(--x); width: 2px; background: #fffc }
input { width: 100%; margin: .6rem 0 .2rem; accent-color: var(--accent) }
figcaption { overflow-wrap: anywhere; max-width: 60rem }
small { color: var(--quiet) }
</style></head><body>
"""


def write(
    folder: Path,
    output: Path,
    records: Iterable[Record],
    without_mask: Iterable[Path] = (),
    mode: int = EVERYBODY,
) -> None:
    """Write the page into `output`. The photos of `records` lie in `folder` before, and in `output` after filling.

    Thumbnails of an earlier page are used again where both photos are unchanged. `mode`: the page's permissions.
    """
    records = list(records)
    failed = [record for record in records if "error" in record]
    filled = sorted((record for record in records if "error" not in record), key=_badness, reverse=True)
    with Thumbnails(output / NAME) as earlier, replacing(output / NAME, mode=mode) as file:
        file.write(HEAD.encode())
        file.write(f"<h1>{counted(len(filled), 'photo')} filled, {len(failed)} failed</h1>\n".encode())
        if failed:
            file.write(_listed("Failed", (record["error"] for record in failed)))
        if names := [str(name) for name in without_mask]:
            file.write(_listed("Without a mask", names))
        file.write(b"<p>Left of the slider: before. Right of it: after. ")
        file.write(b"Crops round the fills show the photo's own pixels. ")
        file.write(b"The most visible fills come first: by their seams, and by how blurred they are.</p><main>\n")
        for part in _figures(folder, output, filled, earlier):
            file.write(_encoded(part))
        file.write(b"</main></body></html>\n")


def _listed(title: str, lines: Iterable[str]) -> bytes:
    items = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return _encoded(f'<section class="errors"><h2>{title}</h2><ul>\n{items}</ul></section>\n')


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # names of files that are not UTF-8


class Thumbnails:
    """The thumbnails in an earlier page, found by what they show. They are read only when they are needed."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._file: BinaryIO | None = None
        self._places: dict[bytes, int] = {}

    def __enter__(self) -> Thumbnails:
        with suppress(OSError):
            self._file = self._page.open("rb")
            place = 0
            for line in self._file:
                if found := FIGURE.match(line):
                    self._places[found[1]] = place
                place += len(line)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, record: Record) -> list[str] | None:
        """The pictures of a record's photo, before and after in turn; None where the page does not have them."""
        place = self._places.get(_content(record).encode())
        if place is None or self._file is None:
            return None
        self._file.seek(place)
        found = FIGURE.match(self._file.readline())
        images = [image.decode() for image in IMAGE.findall(found[2])] if found else []
        return images if images and all(images) else None


def _content(record: Record) -> str:
    """What a figure shows: the hashes of both photos."""
    return f"{record['input_sha256']}-{record['output_sha256']}"


def _figures(folder: Path, output: Path, records: list[Record], earlier: Thumbnails) -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        for some in (records[start : start + AT_ONCE] for start in range(0, len(records), AT_ONCE)):
            known = [earlier.find(record) for record in some]
            new = [record for record, images in zip(some, known, strict=True) if images is None]
            boxes = [_boxes(record) for record in new]
            before = pool.map(_thumbnails, [folder / record["input"] for record in new], boxes)
            after = pool.map(_thumbnails, [output / record["output"] for record in new], boxes)
            made = (
                [image for pair in zip_longest(old, filled, fillvalue="") for image in pair]
                for old, filled in zip(before, after, strict=True)
            )
            for record, images in zip(some, known, strict=True):
                yield _figure(record, images or next(made), os.path.relpath(folder / record["input"], output))


def _figure(record: Record, images: list[str], source: str) -> str:
    pairs = "".join(
        f'<div class="pair"><img alt="before" src="{before}"><img alt="after" src="{after}"></div>'
        for before, after in zip(images[::2], images[1::2], strict=True)
    )
    seam = record["seam"]
    shown = "no seam to measure"
    if seam:
        steps = max(seam["colour_ratio"], seam["gradient_ratio"])
        shown = f"seam {steps:.1f} times the photo's own, {seam['sharpness']:.1f} times as sharp as round it"
        shown = ", ".join([shown, *flagged(seam.get("luma", ()), seam.get("chroma", ()))])
    name = escape(record["input"])
    links = [quote(os.fsencode(path)) for path in (record["output"], source)]
    taken = "".join(f"<br>{escape(shot['said'])}" for shot in record.get("shots", ()) if shot["share"])
    warnings = "".join(f"<br>{escape(line)}" for line in record["warnings"])
    return (
        f'<figure data-content="{_content(record)}"><div class="pairs">{pairs}</div>'
        f'<input type="range" value="50" aria-label="before and after, {name}" '
        "oninput=\"this.previousElementSibling.style.setProperty('--x', this.value + '%')\">"
        f'<figcaption><a href="{links[0]}">{name}</a> (<a href="{links[1]}">before</a>)<br>'
        f"<small>{shown}, enlarged {record['enlargement']:.2f} times, seed {record['seed']}{taken}{warnings}</small>"
        "</figcaption></figure>\n"
    )


def _badness(record: Record) -> float:
    """How visible a fill is. 1 means not at all; 0 means that there is no seam to measure.

    It is the largest of three ratios: the steps of colour and of sharpness at the seam, relative to such steps
    elsewhere in the photo, and the factor by which the fill is too sharp or too blurred.
    """
    if (seam := record["seam"]) is None:
        return 0.0
    sharpness = seam["sharpness"]
    return max(seam["colour_ratio"], seam["gradient_ratio"], sharpness, 1 / sharpness)


def _boxes(record: Record) -> list[list[int]]:
    """The boxes of what was filled, if the record has them: earlier versions wrote none."""
    given = record.get("boxes")
    boxes = given if isinstance(given, list) else []
    return [list(box) for box in boxes if isinstance(box, list | tuple) and len(box) == 4 and all(map(_is_whole, box))]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def windows(boxes: list[list[int]], width: int, height: int) -> list[Box]:
    """Where to crop a photo round its fills, whose boxes come largest first; small ones in sight get no crop."""
    least, most = CROP
    found: list[Box] = []
    for box in boxes:
        if len(found) == CROPS:
            break
        inside = (
            larger[0] <= box[0] and larger[1] <= box[1] and larger[2] >= box[2] and larger[3] >= box[3]
            for larger in found
        )
        if any(inside):
            continue
        sides = []
        for low, high, end in ((box[0], box[2], width), (box[1], box[3], height)):
            side = min(end, max(least, min(most, high - low + 2 * ROOM)))
            start = max(0, min(end - side, (low + high - side) // 2))
            sides.append((start, start + side))
        (left, right), (top, bottom) = sides
        found.append((left, top, right, bottom))
    return found


def _thumbnails(path: Path, boxes: list[list[int]]) -> list[str]:
    """A photo, small, and crops round its fills at its own pixels: JPEGs in data URLs.

    One empty text where the file is gone or cannot be read.
    """
    try:
        with opened(path) as (_, image):
            if image.format == "JPEG" and not boxes:
                image.draft(None, (SIDE, SIDE))  # decodes at a fraction of the size
            photo = photo_from_image(image)
    except MoebiusError:
        return [""]
    icc = photo.metadata.icc if photo.mode in ("RGB", "RGBA") else None
    whole = Image.fromarray(photo.rgb())
    crops = [whole.crop(window) for window in windows(boxes, photo.width, photo.height)]
    whole.thumbnail((SIDE, SIDE))
    return [_data_url(picture, icc) for picture in (whole, *crops)]


def _data_url(picture: Image.Image, icc: bytes | None) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, icc_profile=icc)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
