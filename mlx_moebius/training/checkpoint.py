"""What a run leaves behind: a model folder that `generate` takes, and the state to go on from.

Files are written under other names first and renamed when all are there: the state before the model, so that what
a run goes on from is never older than the model beside it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_moebius.convert.card import Card, model_card
from mlx_moebius.convert.folder import CARD_NAME, file_record, write_network
from mlx_moebius.convert.safetensors_file import write_safetensors
from mlx_moebius.convert.stored_tensor import StoredTensor
from mlx_moebius.errors import LESS, Change, MoebiusError
from mlx_moebius.files import flush_to_disk, locked, replacing
from mlx_moebius.networks.config import CONFIG_NAME, UNET_NAME, VAE_NAME, FileRecord, ModelConfig
from mlx_moebius.photos.marks import TRAINING
from mlx_moebius.training.network import Arrays

PARTS = ("plan", "recipe")  # of a run's settings
STATE_NAME = "train_state.safetensors"
SETTINGS_NAME = TRAINING
TYPES = {mx.float32: "float32", mx.int32: "int32", mx.uint8: "uint8"}


class Folder:
    """The folder of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder if it is not there, and keep other runs out. Raises MoebiusError where one is at work."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise MoebiusError(f"{self.path} is a file: choose another name") from None
        except OSError as error:
            raise MoebiusError(f"cannot make {self.path}: {error.strerror or error}") from None
        with locked(self.path):
            yield

    def begin(self, vae: Path, settings: dict[str, Any]) -> None:
        """Write the VAE and the run's settings into the folder, which is held.

        Raises MoebiusError if there is something in it already, but for a run that ended before it saved anything.
        """
        nothing_saved = (self.path / SETTINGS_NAME).is_file() and not (self.path / STATE_NAME).exists()
        if not nothing_saved and any(self.path.iterdir()):
            raise MoebiusError(
                f"{self.path} already exists", "choose another name", Change("resume", True, "to go on with its run")
            )
        self.write_json(SETTINGS_NAME, settings)
        self._copy_vae(vae)

    def settings(self) -> dict[str, Any]:
        """What `begin` wrote. Raises MoebiusError where no run has begun."""
        try:
            settings = json.loads((self.path / SETTINGS_NAME).read_bytes())
        except OSError:
            raise MoebiusError(
                f"{self.path} holds no run to go on with", Change("resume", False, "to start one")
            ) from None
        except (ValueError, RecursionError):
            settings = None
        if not isinstance(settings, dict) or not all(isinstance(settings.get(part), dict) for part in PARTS):
            raise MoebiusError(f"{self.path / SETTINGS_NAME} is damaged: this run cannot go on")
        return settings

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """A small file, whole or not at all."""
        with replacing(self.path / name) as file:
            file.write(json.dumps(values, indent=2).encode() + b"\n")

    def save(self, config: ModelConfig, weights: Arrays, state: Arrays, card: Card) -> None:
        """Model and state of one moment. Raises MoebiusError, with what was there before kept."""

        def write(parts: dict[str, Path]) -> None:
            write_state(parts[STATE_NAME], state)
            self._write_model(parts, config, weights, card)

        self._replace([STATE_NAME, UNET_NAME, CONFIG_NAME, CARD_NAME], write)

    def repair(self, config: ModelConfig, weights: Arrays, vae: Path, card: Card) -> None:
        """Write the model again where a run was ended between two renames, and its VAE where that is another file."""
        if self._record(VAE_NAME) != file_record(vae, VAE_NAME):
            self._copy_vae(vae)
        path = self.path / UNET_NAME
        with suppress(OSError, MoebiusError):
            if file_record(path, UNET_NAME) in ModelConfig.load(self.path).files:
                return
        self._replace(
            [UNET_NAME, CONFIG_NAME, CARD_NAME], lambda parts: self._write_model(parts, config, weights, card)
        )

    def load_state(self) -> Arrays:
        """What `save` was given last. Raises MoebiusError."""
        try:
            state = mx.load(str(self.path / STATE_NAME))
        except (OSError, RuntimeError, ValueError):
            raise MoebiusError(f"{self.path / STATE_NAME} is missing or damaged: this run cannot go on") from None
        assert isinstance(state, dict)
        return state

    def _copy_vae(self, vae: Path) -> None:
        with vae.open("rb") as source, replacing(self.path / VAE_NAME) as file:
            shutil.copyfileobj(source, file)

    def _record(self, name: str) -> FileRecord | None:
        """Size and hash of a file in the folder, None where there is none."""
        with suppress(OSError):
            return file_record(self.path / name, name)
        return None

    def _write_model(self, parts: dict[str, Path], config: ModelConfig, weights: Arrays, card: Card) -> None:
        tensors = {name: StoredTensor(np.array(array), "float32") for name, array in weights.items()}
        try:
            written = write_network(parts[UNET_NAME], tensors, config.dtype, None)
        except MoebiusError as error:
            raise MoebiusError(
                f"the run diverged ({error.message}); {self.path} keeps what was saved last",
                Change("learning_rate", LESS),
            ) from None
        record = replace(written, name=UNET_NAME)
        config = replace(config, files=(record, file_record(self.path / VAE_NAME, VAE_NAME)))
        config.save(parts[CONFIG_NAME])
        parts[CARD_NAME].write_text(model_card(config, card), encoding="utf-8")

    def _replace(self, names: list[str], write: Callable[[dict[str, Path]], None]) -> None:
        parts = {name: self.path / f".{name}.part" for name in names}
        try:
            write(parts)
            for path in parts.values():
                with path.open("rb+") as file:
                    flush_to_disk(file.fileno())
            for name in names:
                os.replace(parts[name], self.path / name)
        except OSError as error:
            raise MoebiusError(
                f"cannot save in {self.path} ({error.strerror or error}); what was saved last is still there",
                Change("resume", True, "to go on from it"),
            ) from None
        finally:
            for path in parts.values():
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def write_state(path: Path, state: Arrays) -> None:
    """Arrays as safetensors, one after the other."""
    outlines = {name: (tuple(array.shape), TYPES[array.dtype]) for name, array in sorted(state.items())}
    arrays = (np.array(state[name]).astype(dtype, order="C") for name, (_, dtype) in outlines.items())
    write_safetensors(path, outlines, arrays)
