"""A larger network that a student is taught by: a model folder with the same VAE, window and noise levels."""

from __future__ import annotations

import math
from pathlib import Path

import mlx.core as mx
import numpy as np

from mlx_moebius.convert.folder import file_record
from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.networks.config import UNET_NAME, VAE_NAME, ModelConfig, PredictionType, UNetConfig
from mlx_moebius.networks.scheduler import clean_and_noise, prediction_target
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.weights import DTYPES, load_strict
from mlx_moebius.training.distillation import TeacherOutput, features
from mlx_moebius.training.network import Arrays, trace
from mlx_moebius.training.objective import FEW, Timesteps, sampled_timesteps

PROJECTION = "projection.weight"  # the student's features to the teacher's width
ROUNDED, LEAST = 2**-7, 1e-4  # relative and absolute: how far apart 16 bits may have put two copies of a weight


class Teacher:
    """A network that is asked what it would predict. `name` says which, `digest` is the hash of its weights."""

    def __init__(self, unet: UNet, config: ModelConfig, name: str = "", digest: str = "", seed: int = 0) -> None:
        """`unet` may be fused. `seed` draws the projection."""
        self.unet, self.config, self.name, self.digest, self.seed = unet, config, name, digest, seed

    def __call__(
        self, x: mx.array, timesteps: mx.array, ids: mx.array, alpha: mx.array, kind: PredictionType
    ) -> TeacherOutput:
        """Prediction, as a student of `kind` would put it, and features of a batch.

        Args:
            x: float32 [B, h, w, C]: noisy latents, mask (1 = fill), masked picture's latents.
            timesteps: [B].
            ids: tokens [B, M].
            alpha: noise levels alpha_cumprod [B].
            kind: what the student predicts.
        """
        outputs = trace(self.unet, x, timesteps, ids)
        predicted, teacher_kind = outputs[-1].astype(mx.float32), self.config.scheduler.prediction_type
        if teacher_kind != kind:
            noisy = x[..., : predicted.shape[-1]]
            clean, noise = clean_and_noise(teacher_kind, noisy, predicted, alpha)
            predicted = prediction_target(kind, clean, noise, alpha)
        taught = TeacherOutput(predicted, features(outputs))
        mx.eval(taught)
        return taught

    def projection(self, student: UNetConfig) -> Arrays:
        """A matrix [teacher's width, student's width] that is not yet trained, none where the widths are equal."""
        rows, columns = self.config.unet.block_out_channels[-1], student.block_out_channels[-1]
        if rows == columns:
            return {}
        values = np.random.default_rng((self.seed, 4)).uniform(-1, 1, (rows, columns))
        return {PROJECTION: mx.array((values * math.sqrt(6 / (rows + columns))).astype(np.float32))}


def load_teacher(
    folder: Path, student: ModelConfig, vae_folder: Path, timesteps: Timesteps, has_objects: bool, dtype: str, seed: int
) -> Teacher:
    """The model in a folder as the teacher of a student that uses the VAE in `vae_folder`.

    Raises MoebiusError where it knows nothing of what the student is to learn.
    """
    config = ModelConfig.load(folder)
    check_teacher(config, student, timesteps, has_objects)
    if not same_vae(folder, vae_folder):
        raise MoebiusError(f"the teacher {folder} has another VAE than {vae_folder}: their latents differ")
    unet = load_strict(UNet(config.unet), folder / UNET_NAME, config.quantization)
    if dtype != "float32":
        unet.compute_in(DTYPES[dtype])
    digest = file_record(folder / UNET_NAME, UNET_NAME).sha256
    return Teacher(unet, config, folder.name, digest, seed)


def check_teacher(teacher: ModelConfig, student: ModelConfig, timesteps: Timesteps, has_objects: bool) -> None:
    """Whether a teacher knows what a student is asked. Raises MoebiusError."""
    if teacher.vae != student.vae:
        raise MoebiusError("the teacher has another VAE than the network to train: their latents differ")
    if teacher.unet.sample_size != student.unet.sample_size:
        raise MoebiusError(
            f"the teacher sees windows of {teacher.image_size} pixels, the network to train sees {student.image_size}: "
            f'give it "sample_size" {teacher.unet.sample_size}'
        )
    levels = [
        (c.scheduler.num_train_timesteps, c.scheduler.beta_start, c.scheduler.beta_end) for c in (teacher, student)
    ]
    if levels[0] != levels[1]:
        raise MoebiusError(
            "the teacher has other noise levels than the network to train: give it a scheduler with the same "
            "num_train_timesteps, beta_start and beta_end"
        )
    if teacher.sampling.num_steps <= FEW:  # which may have learnt nothing else
        known = sampled_timesteps(teacher)
        if timesteps == "all" or not set(sampled_timesteps(student)) <= set(known):
            raise MoebiusError(
                f"the teacher knows the timesteps {', '.join(map(str, known))} of its own sampling alone: give the "
                "network to train the same sampling and timestep_spacing, and let it learn the sampled timesteps",
                Change("timesteps", "sampled"),
            )
    if has_objects and teacher.sampling.guidance_scale == 1:
        raise MoebiusError("the teacher knows background alone: take the objects' masks out of the folder of photos")


def same_vae(folder: Path, other: Path) -> bool:
    """Whether the VAEs of two model folders are one, perhaps rounded to different types."""
    paths = [place / VAE_NAME for place in (folder, other)]
    try:
        if len({file_record(path, VAE_NAME).sha256 for path in paths}) == 1:
            return True
        a, b = (mx.load(str(path)) for path in paths)
    except (OSError, RuntimeError, ValueError):
        raise MoebiusError(f"{paths[0]} or {paths[1]} is missing or damaged") from None
    assert isinstance(a, dict)
    assert isinstance(b, dict)
    return sorted(a) == sorted(b) and all(
        a[name].shape == b[name].shape
        and bool(mx.allclose(a[name].astype(mx.float32), b[name].astype(mx.float32), ROUNDED, LEAST))
        for name in a
    )
