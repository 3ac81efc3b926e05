"""Several results as one zip file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from mlx_moebius.ui.pictures import Picture, Version


def pack(pictures: Iterable[Picture], target: Path) -> list[Version]:
    """Write the current results of photos into a new zip file, under the names that downloads have; returns them.

    Photos without a fill are left out. The files are compressed already, so they are only stored.
    """
    packed, names = [], set()
    with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED) as archive:
        for picture in pictures:
            version = picture.version()
            if version.made_from is None or not version.file.is_file():
                continue
            name, number = version.file.name, 2
            while name in names:
                name = f"{version.file.stem}-{number}{version.file.suffix}"
                number += 1
            names.add(name)
            archive.write(version.file, name)
            packed.append(version)
    return packed
