"""Model folders: written from a PyTorch checkpoint, and verified."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlx_moebius.convert.card import Card, model_card
from mlx_moebius.convert.checkpoint import find_weights, read_checkpoint, read_tensors
from mlx_moebius.convert.mapping import check_parameters, map_unet, map_vae, unet_shapes, vae_shapes
from mlx_moebius.convert.safetensors_file import write_safetensors
from mlx_moebius.convert.settings import (
    SCHEDULER_SETTINGS,
    UNET_SETTINGS,
    Warn,
    check_unet_settings,
    check_vae_settings,
    read_settings,
    scheduler_config,
    to_standard_error,
)
from mlx_moebius.convert.stored_tensor import Array, StoredTensor, Tensors, encode
from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.files import digest, sync_files, sync_folder
from mlx_moebius.networks.config import (
    CONFIG_NAME,
    UNET_NAME,
    VAE_NAME,
    FileRecord,
    ModelConfig,
    QuantizationConfig,
    SamplingConfig,
    SchedulerConfig,
)
from mlx_moebius.networks.quantize import check_settings, outlines, quantize, settings_for

CONVERTER_VERSION = "2"  # goes up when the same source would give another folder
DTYPES = ("float16", "bfloat16", "float32")
CARD_NAME = "README.md"


def convert_checkpoint(
    unet: Path,
    vae: Path,
    out: Path,
    *,
    vae_settings: Path | None = None,
    dtype: str = "float16",
    quantization: QuantizationConfig | None = None,
    sampling: SamplingConfig | None = None,
    card: Card | None = None,
    overwrite: bool = False,
    warn: Warn = to_standard_error,
) -> ModelConfig:
    """Write the model folder `out` and return its configuration.

    Args:
        unet: the U-Net's weight file, or the folder that holds `diffusion_pytorch_model.bin` (or `.safetensors`);
            beside it `unet_config.json` and diffusers' `scheduler/scheduler_config.json`, where it has them.
        vae: the same for the VAE, with its `config.json` beside the weights.
        vae_settings: the VAE's `config.json`, if it is not beside the weights.
        out: must not exist, unless `overwrite` and it is a model folder or empty.
        dtype: of all stored weights: "float16", "bfloat16" or "float32".
        quantization: of the U-Net's matrices, on top of `dtype`; None for none.
        sampling: the folder's sampling defaults; the official command line's if None.
        card: what the model card says beyond the configuration.
        overwrite: replace `out`, which stays as it was if anything fails.
        warn: takes a line about settings that are unknown.

    Raises MoebiusError when a file is missing, damaged or not of this network, when its settings ask for what is not
    implemented, when weights do not fit `dtype`, or when the folder cannot be written. Weights are read and written one
    by one: memory stays near the file's size.
    """
    if dtype not in DTYPES:
        raise MoebiusError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    _check_out(out, overwrite)
    unet_file = find_weights(unet)
    read, unet_files = read_checkpoint(unet_file)
    vae_file = find_weights(vae)
    vae_settings = vae_settings or vae_file.with_name("config.json")
    sources = [
        *((file, file.name) for file in unet_files),
        (vae_file, f"vae/{vae_file.name}"),
        (vae_settings, f"vae/{vae_settings.name}"),
    ]
    unet_settings, scheduler = (unet_file.parent / name for name in (UNET_SETTINGS, SCHEDULER_SETTINGS))
    asked = read_settings(unet_settings, "the U-Net's configuration") if unet_settings.exists() else {}
    unet_config, unet_tensors = map_unet(read, asked)
    check_unet_settings(asked, unet_config, unet_settings, warn)
    asked = read_settings(vae_settings, "the VAE's configuration")
    vae_config, vae_tensors = map_vae(read_checkpoint(vae_file)[0], asked)
    check_vae_settings(asked, vae_config, vae_settings, warn)
    latents = vae_config.latent_channels
    if (unet_config.in_channels, unet_config.out_channels) != (2 * latents + 1, latents):
        raise MoebiusError(
            f"{unet_file} and {vae_file} do not belong together: a VAE of {latents} channels wants a U-Net of "
            f"{2 * latents + 1} channels in and {latents} out, this one has {unet_config.in_channels} and "
            f"{unet_config.out_channels}"
        )
    noise_levels = SchedulerConfig()
    if scheduler.exists():
        noise_levels = scheduler_config(read_settings(scheduler, "the scheduler's configuration"), scheduler, warn)
    sources += [
        (path, name)
        for path, name in ((unet_settings, UNET_SETTINGS), (scheduler, SCHEDULER_SETTINGS))
        if path.exists()
    ]
    try:
        with _new_folder(out, overwrite) as folder:
            files = (
                write_network(folder / UNET_NAME, unet_tensors, dtype, quantization),
                write_network(folder / VAE_NAME, vae_tensors, dtype, None),
            )
            config = ModelConfig(
                unet=unet_config,
                vae=vae_config,
                scheduler=noise_levels,
                sampling=sampling or SamplingConfig(),
                dtype=dtype,
                quantization=quantization,
                converter_version=CONVERTER_VERSION,
                sources=tuple(file_record(path, name) for path, name in sources),
                files=files,
            )
            config.save(folder / CONFIG_NAME)
            (folder / CARD_NAME).write_text(model_card(config, card or Card()), encoding="utf-8")
    except OSError as error:
        raise MoebiusError(f"cannot write {out}: {error.strerror or error}") from None
    return config


def _check_out(out: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a model folder, and that only when asked to."""
    if not out.exists():
        return
    if not overwrite:
        raise MoebiusError(f"{out} already exists", "choose another name", Change("overwrite", True))
    if not out.is_dir():
        raise MoebiusError(f"{out} is not a folder; delete it or choose another name")
    if any(out.iterdir()):
        ModelConfig.load(out)


def write_network(path: Path, tensors: Tensors, dtype: str, quantization: QuantizationConfig | None) -> FileRecord:
    """Write a network's tensors, quantized where `quantization` says so."""
    shapes = {name: tensors[name].shape for name in sorted(tensors)}
    cast = _cast(tensors, dtype)

    def arrays() -> Iterator[Array]:
        for name, shape in shapes.items():
            array = cast(name)
            settings = settings_for(name, shape, quantization)
            yield from [array] if settings is None else quantize(tensors[name].numpy(), dtype, settings)

    return write_safetensors(path, outlines(shapes, dtype, quantization), arrays())


def _cast(tensors: Tensors, dtype: str) -> Callable[[str], Array]:
    """A function from a name to its elements in `dtype`, which refuses values that are not finite before or after."""

    def elements(name: str) -> Array:
        values = tensors[name].numpy()
        if not np.isfinite(values).all():
            raise MoebiusError(f"the checkpoint's {name} holds NaN or infinite values")
        encoded = encode(values, dtype)
        if not np.isfinite(StoredTensor(encoded, dtype).numpy()).all():
            raise MoebiusError(
                f"{name} has values that do not fit in {dtype}", Change("dtype", "bfloat16"), Change("dtype", "float32")
            )
        return encoded

    return elements


@contextmanager
def _new_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill, which takes the name `out` (and the place of an old one) only when all went well."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as staging:
        new, old = Path(staging, "new"), Path(staging, "old")
        new.mkdir()
        yield new
        sync_files(new)
        if not (overwrite and out.exists()):
            os.rename(new, out)
        else:
            os.rename(out, old)
            try:
                os.rename(new, out)
            except OSError:
                os.rename(old, out)
                raise
        sync_folder(out.parent)


def file_record(path: Path, name: str) -> FileRecord:
    """Size and SHA-256 of a file, under the name given."""
    return FileRecord(name, path.stat().st_size, digest(path, hashlib.sha256()))


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A weight file that passed: its name, tensors, parameters and bytes."""

    name: str
    tensors: int
    parameters: int
    size: int


def verify(folder: Path) -> tuple[VerifiedFile, ...]:
    """Check a model folder's files against its `config.json`: size, SHA-256, names, shapes, dtype, finite values.

    Raises MoebiusError that names the file and what is wrong with it.
    """
    config = ModelConfig.load(folder)
    check_settings(config.quantization)
    shapes = {UNET_NAME: unet_shapes(config.unet), VAE_NAME: vae_shapes(config.vae)}
    stored = {
        UNET_NAME: outlines(shapes[UNET_NAME], config.dtype, config.quantization),
        VAE_NAME: outlines(shapes[VAE_NAME], config.dtype, None),
    }
    records = {record.name: record for record in config.files}
    if set(records) != set(shapes):
        raise MoebiusError(f"{folder / CONFIG_NAME} does not list {' and '.join(shapes)}; convert the model again")
    verified = []
    for name, expected in stored.items():
        path = folder / name
        try:
            found = file_record(path, name)
        except OSError as error:
            raise MoebiusError(f"cannot read {path}: {error.strerror or error}; convert the model again") from None
        if found != records[name]:
            raise MoebiusError(f"{path} is not the file that {CONFIG_NAME} describes: size or SHA-256 differ")
        tensors = read_tensors(path)
        check_parameters(f"file ({path})", tensors, {key: shape for key, (shape, _) in expected.items()})
        for key, tensor in tensors.items():
            if tensor.dtype != (dtype := expected[key][1]):
                raise MoebiusError(f"{path}: {key} is {tensor.dtype}, {CONFIG_NAME} says {dtype}")
            if not np.isfinite(tensor.numpy()).all():
                raise MoebiusError(f"{path}: {key} holds NaN or infinite values")
        parameters = sum(math.prod(shape) for shape in shapes[name].values())
        verified.append(VerifiedFile(name, len(tensors), parameters, found.size))
    return tuple(verified)
