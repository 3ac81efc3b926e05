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
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import EVERYBODY, replacing
from mlx_moebius.folder.ledger import Record
from mlx_moebius.photos.photo import opened, photo_from_image
from mlx_moebius.words import counted

NAME = "review.html"
SIDE = 480  # longest side of a thumbnail, in pixels
AT_ONCE = 64  # figures whose thumbnails are in memory at once
FIGURE = re.compile(
    rb'<figure data-content="([0-9a-f-]+)"><div class="pair">'
    rb'<img alt="before" src="([^"]*)"><img alt="after" src="([^"]*)"'
)

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Review</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif }
body { margin: 1.5rem auto; max-width: 104rem; padding: 0 1rem }
.errors { border-left: 4px solid #c33; padding: .2rem 1rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1.5rem; align-items: start }
figure { margin: 0 }
.pair { --x: 50%; position: relative; display: grid; overflow: hidden; border-radius: 4px }
.pair img { grid-area: 1 / 1; width: 100%; display: block }
.pair img + img { clip-path: inset(0 0 0 var(--x)) }
.pair::after { content: ""; position: absolute; inset: 0 auto 0 var(--x); width: 2px; background: #fff8 }
input { width: 100%; margin: .4rem 0 0 }
figcaption { overflow-wrap: anywhere }
small { opacity: .75 }
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
        """The thumbnails of a record's photo before and after; None where the page does not have both."""
        place = self._places.get(_content(record).encode())
        if place is None or self._file is None:
            return None
        self._file.seek(place)
        found = FIGURE.match(self._file.readline())
        return [found[2].decode(), found[3].decode()] if found and found[2] and found[3] else None


def _content(record: Record) -> str:
    """What a figure shows: the hashes of both photos."""
    return f"{record['input_sha256']}-{record['output_sha256']}"


def _figures(folder: Path, output: Path, records: list[Record], earlier: Thumbnails) -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        for some in (records[start : start + AT_ONCE] for start in range(0, len(records), AT_ONCE)):
            known = [earlier.find(record) for record in some]
            new = [record for record, images in zip(some, known, strict=True) if images is None]
            before = pool.map(_thumbnail, [folder / record["input"] for record in new])
            after = pool.map(_thumbnail, [output / record["output"] for record in new])
            made = zip(before, after, strict=True)
            for record, images in zip(some, known, strict=True):
                yield _figure(record, images or list(next(made)), os.path.relpath(folder / record["input"], output))


def _figure(record: Record, images: list[str], source: str) -> str:
    before, after = images
    seam = record["seam"]
    shown = "no seam to measure"
    if seam:
        steps = max(seam["colour_ratio"], seam["gradient_ratio"])
        shown = f"seam {steps:.1f} times the photo's own, {seam['sharpness']:.1f} times as sharp as round it"
    name = escape(record["input"])
    links = [quote(os.fsencode(path)) for path in (record["output"], source)]
    taken = "".join(f"<br>{escape(shot['said'])}" for shot in record.get("shots", ()) if shot["share"])
    warnings = "".join(f"<br>{escape(line)}" for line in record["warnings"])
    return (
        f'<figure data-content="{_content(record)}"><div class="pair">'
        f'<img alt="before" src="{before}"><img alt="after" src="{after}"></div>'
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


def _thumbnail(path: Path) -> str:
    """A photo file as a small JPEG in a data URL; empty where the file is gone or cannot be read."""
    try:
        with opened(path) as (_, image):
            if image.format == "JPEG":
                image.draft(None, (SIDE, SIDE))  # decodes at a fraction of the size
            photo = photo_from_image(image)
    except MoebiusError:
        return ""
    small = Image.fromarray(photo.rgb())
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    icc = photo.metadata.icc if photo.mode in ("RGB", "RGBA") else None
    small.save(buffer, "JPEG", quality=80, icc_profile=icc)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
