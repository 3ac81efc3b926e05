"""Find the folder of a model by its name: bundled, a folder of the user's, in the cache, or downloaded first.

`mlx-moebius models` shows and changes the cache. Once a model is there, the internet is not needed.
Begin with `acquire.find_model`; `cache` knows which models are here. May import convert and what is below it.
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
