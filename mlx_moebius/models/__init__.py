"""From what a user calls a model to the folder that holds it: bundled, given, in the cache, or downloaded first.

`python -m mlx_moebius.models` shows and changes the cache. Once a model is there, no network is touched.
Begin with `acquire.find_model`; `cache` knows what is here. May import convert, hub and networks.
"""

from mlx_moebius.models.acquire import REVISIONS, UNET_REPOSITORY, VAE_REPOSITORY, find_model
from mlx_moebius.models.cache import BUNDLED, DEFAULT_MODEL, RELEASED, home, installed, locate, name_of, slug

__all__ = [
    "BUNDLED",
    "DEFAULT_MODEL",
    "RELEASED",
    "REVISIONS",
    "UNET_REPOSITORY",
    "VAE_REPOSITORY",
    "find_model",
    "home",
    "installed",
    "locate",
    "name_of",
    "slug",
]
