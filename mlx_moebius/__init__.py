"""Moebius inpainting with MLX (arXiv 2606.19195).

    import mlx_moebius

    mlx_moebius.fill("photo.jpg", "mask.png", "out.jpg", model="places2", seed=0)  # from file to file

    pipe = mlx_moebius.MoebiusPipeline.from_pretrained("places2")
    filled = pipe(image, mask, num_steps=20, seed=0)  # PIL images, paths or arrays

docs/python.md has examples. Importing the package does three things, and nothing that a child process would see:

- On Linux it loads the system's OpenBLAS for MLX's CPU back end, and tells the C library to keep freed memory. Both
  make MLX several times faster there. It must happen before `mlx.core` is imported, so import `mlx_moebius` first.
- Where `mlx.core` was imported before, without OpenBLAS, it warns.
- The names below are loaded when they are first used.
"""

from __future__ import annotations

import mlx_moebius.startup  # isort: skip  # noqa: F401  # first: it may change where Python looks for code
from mlx_moebius import runtime as runtime  # isort: skip  # it must act before mlx.core is imported
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlx_moebius.version import __version__

if TYPE_CHECKING:
    from mlx_moebius.errors import MoebiusError
    from mlx_moebius.inpainting.one_photo import fill
    from mlx_moebius.inpainting.pipeline import MoebiusPipeline
    from mlx_moebius.inpainting.settings import Settings
    from mlx_moebius.photos.mask_files import load_mask
    from mlx_moebius.photos.photo import Photo, read_photo
    from mlx_moebius.photos.save import write_photo

_PLACES = {
    "MoebiusError": "errors",
    "MoebiusPipeline": "inpainting.pipeline",
    "Photo": "photos.photo",
    "Settings": "inpainting.settings",
    "fill": "inpainting.one_photo",
    "load_mask": "photos.mask_files",
    "read_photo": "photos.photo",
    "write_photo": "photos.save",
}

__all__ = [
    "MoebiusError",
    "MoebiusPipeline",
    "Photo",
    "Settings",
    "__version__",
    "fill",
    "load_mask",
    "read_photo",
    "write_photo",
]


def __getattr__(name: str) -> Any:
    """Load a name of the package when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
