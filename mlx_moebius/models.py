"""From what a user calls a model to the folder that holds it."""

from __future__ import annotations

from pathlib import Path

from mlx_moebius.errors import MoebiusError

BUNDLED = {"nano": Path(__file__).parent / "nano"}


def find_model(name: str) -> Path:
    """The model folder for a bundled model's name or a path.

    Raises MoebiusError when there is no such model.
    """
    if name in BUNDLED:
        return BUNDLED[name]
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    raise MoebiusError(
        f"unknown model {name!r}: give {' or '.join(BUNDLED)}, or a folder that mlx_moebius.convert wrote"
    )
