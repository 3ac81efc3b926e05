"""The command line's work on a folder: pairs, the run itself, ranks that share it, ledger, review page."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import locked
from mlx_moebius.folder import ledger, review
from mlx_moebius.folder.batch import NETWORK, Job, load, run
from mlx_moebius.folder.ledger import Record
from mlx_moebius.folder.ranks import LostError, Ranks, leave
from mlx_moebius.folder.report import Mode, Report
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.pairing import Pairing, pair
from mlx_moebius.photos.photo import photo_from_image, to_image

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def default_folder(folder: Path) -> Path:
    """`FOLDER_filled` beside the folder."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}_filled")


def find_pairs(folder: Path, masks: list[str], boxes: list[str], output: Path, recursive: bool, own: bool) -> Pairing:
    """Photos and masks, once it is sure that nothing of the user's is overwritten.

    A file of the user's may be replaced only if that is asked for (`own`); files in a claimed folder are an earlier
    run's. Raises MoebiusError.
    """
    if len(masks) > 1:
        raise MoebiusError("a folder takes one --mask: a folder of masks, one mask for all photos, or alpha")
    if output.resolve() == folder.resolve():
        raise MoebiusError(f"{output} is the folder of the photos: choose another one, they would be overwritten")
    if output.exists() and not output.is_dir():
        raise MoebiusError(f"{output} is a file: photos of a folder go into a folder")
    found = pair(folder, masks[0] if masks else None, output, recursive, bool(boxes))
    if not own and not ledger.is_claimed(output):
        taken = next((output / each.name for each in found.pairs if _exists(output / each.name)), None)
        if taken:
            raise MoebiusError(f"{taken} exists and is not an earlier run's: choose another folder, or --overwrite")
    return found


def fill_folder(pipeline: MoebiusPipeline, job: Job, pairing: Pairing, force: bool, mode: Mode) -> int:
    """Fill the photos of a folder, this rank's share of them; returns the exit code, 1 where a photo failed."""
    ranks = Ranks.join(job.output)
    report = Report(mode, len(ranks.share(pairing.pairs)), ranks.rank)
    try:
        return _fill_folder(pipeline, job, pairing, force, ranks, report)
    except LostError as error:
        report.stopped(f"error: {error}: {ranks.tell(pairing.pairs)}")
        leave(1)


def _fill_folder(
    pipeline: MoebiusPipeline, job: Job, pairing: Pairing, force: bool, ranks: Ranks, report: Report
) -> int:
    own, rank = ranks.share(pairing.pairs), ranks.rank
    started = time.perf_counter()
    with ExitStack() as stack:
        _make(job.output)
        if rank == 0:
            stack.enter_context(locked(job.output))
            ledger.claim(job.output)
            for left in job.output.rglob(".moebius-*.part"):
                left.unlink()  # of a run that was killed
            ledger.merge(job.output, report.warning)
            for parent in sorted({(job.output / each.name).parent for each in pairing.pairs}):
                _make(parent)
        ranks.meet()
        done = {} if force else ledger.read(job.output)
        report.begin(pairing.without_mask)
        try:
            with closing(run(pipeline, job, own, done, report.step, rank)) as tasks:
                for task in tasks:
                    report.ended_one(task)
        except KeyboardInterrupt:
            several = f": {ranks.tell(pairing.pairs)}" if ranks.size > 1 else ""
            report.stopped(f"interrupted{several}")
            return INTERRUPTED
        except MoebiusError as error:
            report.stopped(f"error: {error}")
            return 1
        seconds = time.perf_counter() - started
        stages = pipeline.stages.by_name
        busy = sum(stages[name].seconds for name in NETWORK if name in stages) / seconds
        ranks.meet()
        failed: list[Record] = []
        if rank == 0:
            records = ledger.merge(job.output, report.warning)
            names = [each.name.as_posix() for each in pairing.pairs]
            ended = [records[name] for name in names if name in records]
            failed = [record for record in ended if "error" in record]
            unmasked = [
                *pairing.without_mask,
                *(each.name for each in pairing.pairs if each.name.as_posix() not in records),
            ]
            review.write(job.folder, job.output, ended, sorted(unmasked))
            report.end(
                done=len(ended) - len(failed),
                without_mask=len(pairing.without_mask) + len(names) - len(ended),
                errors=[record["error"] for record in failed],
                network_busy=round(busy, 3),
            )
        ranks.meet()
        return 1 if failed else 0


def show_plan(pipeline: MoebiusPipeline, job: Job, pairing: Pairing) -> list[str]:
    """What a run would do, a line a photo, and how long it would take."""
    lines, windows = [], 0
    done = ledger.read(job.output) if job.output.is_dir() else {}
    request = job.request(pipeline)
    for each in pairing.pairs:
        task = load(each, job, pipeline.size, request, done)
        mask = "boxes" if each.mask is None else each.mask
        if task.skipped:
            what = "done already"
        elif task.unmasked:
            what = "nothing transparent"
        elif task.prepared is None:
            what = f"error: {task.record['error']}"
        else:
            count = len(task.prepared.crops)
            windows += count
            largest = max(window.enlargement for window in task.prepared.crops)
            what = f"{count} window{'s' * (count > 1)}, enlarged {largest:.2f} times"
        lines.append(f"{each.name} + {mask}: {what}")
    lines += [f"{name}: no mask" for name in pairing.without_mask]
    seconds = windows * seconds_a_window(pipeline, job) if windows else 0.0
    return [*lines, f"{windows} windows, about {seconds / 60:.1f} minutes"]


def seconds_a_window(pipeline: MoebiusPipeline, job: Job) -> float:
    """What the network takes for one window, measured on a grey one with the fewest steps that tell."""
    side = pipeline.size
    grey = photo_from_image(to_image(np.full((side, side, 3), 128, np.uint8), "RGB"))
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    times: list[float] = []

    def clock(event: Event) -> None:
        if isinstance(event, Step):
            times.append(time.perf_counter())

    settings: dict[str, Any] = {"num_steps": 4, "guidance_scale": job.settings.guidance_scale}
    pipeline.inpaint(grey, mask, pipeline.settings(**settings), clock)
    stages = pipeline.stages.by_name
    step = (times[-1] - times[0]) / (len(times) - 1)  # the first one includes compilation
    rest = sum(stages[name].seconds for name in ("encode", "decode", "detail"))
    return rest + step * job.settings.num_steps


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for that disk: an error of this photo
        return False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MoebiusError(f"{folder} cannot be made: {error.strerror or error}") from None
