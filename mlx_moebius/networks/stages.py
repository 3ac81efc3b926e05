"""Time and peak memory of a run, by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import mlx.core as mx

from mlx_moebius.errors import LESS, Change, MoebiusError


@dataclass(slots=True)
class Stage:
    """Seconds spent in a stage, summed over all times it was entered, and the peak of MLX's memory in it, in bytes."""

    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(slots=True)
class Stages:
    """Stages by name, in the order in which they were first entered."""

    by_name: dict[str, Stage] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count the time and memory of a block under `name`. Results must be evaluated inside the block.

        Memory that MLX holds for reuse is given back at the end of the block.

        Raises MoebiusError when the device runs out of memory inside.
        """
        stage = self.by_name.setdefault(name, Stage())
        mx.reset_peak_memory()
        start = time.perf_counter()
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise MoebiusError(
                f"out of memory in stage {name}",
                "close other programs",
                Change("dtype", "float16"),
                Change("memory_limit", LESS),
            ) from error
        finally:
            stage.seconds += time.perf_counter() - start
            stage.peak_bytes = max(stage.peak_bytes, mx.get_peak_memory())
            mx.clear_cache()


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception is MLX's way (CPU, Metal or CUDA back end) of saying that memory ran out."""
    text = str(error).lower()
    hints = ("unable to allocate", "attempting to allocate", "insufficient memory", "out of memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(hint in text for hint in hints)
