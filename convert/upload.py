"""Model folders to the hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlx_moebius.convert.card import Card
from mlx_moebius.errors import GIVEN, Change, MoebiusError
from mlx_moebius.hub import UnavailableError, look_up, upload


def card_for_upload(repository: str, base_model: str, license: str, note: str, report: Callable[[str], None]) -> Card:
    """A card for a public folder. Unless a licence is given, it is the one on the base model's card.

    Raises MoebiusError when there is none: weights are not passed on without their licence.
    """
    if not license:
        try:
            license = look_up(base_model, "main", report).licence
        except UnavailableError as error:
            raise MoebiusError(
                f"cannot read the licence of {base_model} ({error.reason})", Change("license", GIVEN)
            ) from None
    if not license:
        raise MoebiusError(f"the card of {base_model} states no licence", Change("license", GIVEN))
    return Card(note, repository=repository, base_model=base_model, license=license)


def upload_folder(folder: Path, repository: str) -> str:
    """Put a verified model folder into `repository`, which is made if need be; returns the commit's address.

    Raises MoebiusError.
    """
    try:
        return upload(folder, repository)
    except UnavailableError as error:
        raise MoebiusError(f"cannot upload {folder} to {error.what}: {error.reason}; the folder stays") from None
