"""Other shots of a photo's scene among what is open on the page: which there are, and what they show of its hole."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from mlx_moebius.alignment.features import Features
from mlx_moebius.alignment.neighbours import NEIGHBOURS, moment, neighbours
from mlx_moebius.alignment.shot import Shot, features_of, remember
from mlx_moebius.alignment.sources import Source
from mlx_moebius.alignment.take import Taken, take_from
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sha256_once
from mlx_moebius.folder.others import Others
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Mask, around, bounding_box, slices
from mlx_moebius.photos.growth import grow
from mlx_moebius.photos.pairing import Pairing
from mlx_moebius.photos.photo import Photo
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused, sentence
from mlx_moebius.ui.sessions import Session, Sessions
from mlx_moebius.ui.tiles import webp

ROOM = 0.35  # of the hole's longer side is shown round it
LEAST_ROOM = 48  # pixels
SIDE = 720  # longest side of a preview, in pixels
PAINT = (255, 45, 120)  # what is left of the hole
SHARE = 0.45  # of that colour
KEPT = 24  # photos whose features are kept


class OtherShots:
    """Other shots for the photos of all sessions. All methods may be called from any thread."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._features: OrderedDict[str, Features] = OrderedDict()
        self._lock = threading.Lock()

    def offered(self, session: Session, picture: Picture) -> list[Picture]:
        """The photos that may show the same scene: its neighbours, then the files that `session` gave for it.

        Neighbours are those by the time in their EXIF, as in a folder run, or else those next to it.
        """
        owner, _ = self.sessions.picture(picture.id)
        series = [other for other in owner.pictures.values() if not other.shot_for]
        others = {other.source: other for other in series if other is not picture}
        near = [others[path] for path in neighbours(picture.source, list(others))]
        if not near and picture in series:
            at = series.index(picture)
            beside = sorted((other for other in others.values()), key=lambda other: abs(series.index(other) - at))
            near = [other for other in beside if not _is_result(other.source)][:NEIGHBOURS]
        given = [other for other in session.pictures.values() if other.shot_for == picture.id]
        hashes = {hash_of(other.source) for other in given}
        return [other for other in near if not given or hash_of(other.source) not in hashes] + given

    def find(self, session: Session, picture: Picture, sources: Sequence[Source]) -> list[Picture]:
        """The photos that sources name, by file name and hash. Raises Refused where one is gone or has changed."""
        owner, _ = self.sessions.picture(picture.id)
        open_here = {other.id: other for other in (*owner.pictures.values(), *session.pictures.values())}
        found = []
        for source in sources:
            named = [other for other in open_here.values() if other is not picture and other.source.name == source.file]
            same = next((other for other in named if source.sha256 in (None, hash_of(other.source))), None)
            if same is None:
                why = "is another file than the one that was chosen" if named else "is no longer open here"
                raise Refused(400, f"{source.file[:80]} {why}: choose it again as another shot, or go without it")
            found.append(same)
        return found

    def read(self, pictures: Sequence[Picture]) -> list[Shot]:
        """The shots, as they were opened. What is painted on them, or was when they were filled, is not taken."""
        return [self._shot(picture) for picture in pictures]

    def _shot(self, picture: Picture) -> Shot:
        opencv()
        self.sessions.use(picture)
        shot = Shot(picture.photo(0), picture.source.name, hash_of(picture.source), picture.covered())
        self._recall(shot.photo, shot.sha256 or "")
        return shot

    def _recall(self, photo: Photo, name: str) -> None:
        """Features are found once, though a photo's pixels come and go."""
        with self._lock:
            if (known := self._features.get(name)) is not None:
                remember(photo, known)
        found = features_of(photo)
        with self._lock:
            self._features[name] = found
            while len(self._features) > KEPT:
                self._features.popitem(last=False)

    def look(self, picture: Picture, pictures: Sequence[Picture], dilate: int | Literal["auto"]) -> dict[str, Any]:
        """What shots would give of what is painted, as the page gets it; no network runs. Raises MoebiusError."""
        photo, painted = picture.to_fill()
        mask = grow(painted, dilate)
        if not mask.any() or mask.all():
            raise Refused(400, "paint over what should go first")
        shots = self.read(pictures)
        self._recall(photo, f"{picture.id} {picture.current}")
        found = take_from(photo, mask, shots)
        uses = [use.figures() | {"why": use.why} for use in found.uses]
        return {"share": float(found.taken.sum() / mask.sum()), "uses": uses, "image": preview(found, mask)}


class Chosen(Others):
    """The shots that were chosen on the page for one photo of a folder."""

    def __init__(self, shots: OtherShots, pictures: Sequence[Picture]) -> None:
        super().__init__(Path(), lambda: Pairing([], []), [picture.source for picture in pictures])
        self._chosen, self._pictures = shots, pictures

    def files(self, name: Path) -> list[tuple[Path, Path | None]]:
        """The chosen shots' files."""
        return [(picture.source, None) for picture in self._pictures]

    def read(self, files: Sequence[tuple[Path, Path | None]], name: Path, photo: Photo) -> list[Shot]:
        """The chosen shots."""
        return self._chosen.read(self._pictures)


def preview(found: Taken, mask: Mask) -> str:
    """The hole's surroundings with what was taken, as a data URL; what is left of the hole is painted over."""
    box = _around(mask)
    colours = found.photo.rgb(box).astype(np.float32)
    left = (mask & ~found.taken)[slices(box)]
    colours[left] += SHARE * (np.array(PAINT, np.float32) - colours[left])
    image = Image.fromarray(np.rint(colours).astype(np.uint8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return "data:image/webp;base64," + base64.b64encode(webp(image)).decode()


def _around(mask: Mask) -> Box:
    box = bounding_box(mask)
    assert box is not None
    room = max(LEAST_ROOM, round(ROOM * max(box[2] - box[0], box[3] - box[1])))
    return around(box, room, mask.shape[1], mask.shape[0])


def hash_of(path: Path) -> str:
    """A file's SHA-256, computed once as long as the file is not changed. Raises Refused where it is gone."""
    try:
        return sha256_once(path)
    except MoebiusError as error:
        raise Refused(400, sentence(error, path.parent)) from None


def _is_result(path: Path) -> bool:
    """Whether this program wrote a file: what it shows in a hole is no truth."""
    with suppress(MoebiusError):
        return moment(path).is_result
    return False
