"""A run on a folder from start to end: pairs, filling, the ranks that share it, ledger, review page."""

from __future__ import annotations

import stat
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlx_moebius.errors import Change, MoebiusError, worded
from mlx_moebius.files import locked, make_folder, permissions, remove_left_parts
from mlx_moebius.folder import ledger, review
from mlx_moebius.folder.batch import NETWORK, Job, load, run
from mlx_moebius.folder.ledger import Record
from mlx_moebius.folder.ranks import LostError, Ranks, leave
from mlx_moebius.folder.report import Mode, Report
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.marks import is_output_file, is_output_folder
from mlx_moebius.photos.pairing import Pair, Pairing, folded, pair
from mlx_moebius.photos.photo import opened, photo_from_image, to_image
from mlx_moebius.words import counted

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def default_folder(folder: Path) -> Path:
    """The default output of a folder: `FOLDER_filled` beside it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}_filled")


def find_pairs(
    folder: Path, masks: list[str], boxes: list[str], output: Path, recursive: bool, overwrite: bool
) -> Pairing:
    """Find photos and their masks, and check that no file of the user's would be overwritten.

    The user's files may be replaced only with `overwrite`. Files in a claimed folder are an earlier run's. Raises
    MoebiusError.
    """
    if len(masks) > 1:
        raise MoebiusError("a folder takes one mask: a folder of masks, one mask file for all photos, or alpha")
    if output.resolve() == folder.resolve():
        raise MoebiusError(f"{output} is the folder of the photos: choose another one, they would be overwritten")
    if output.exists() and not output.is_dir():
        raise MoebiusError(f"{output} is a file: photos of a folder go into a folder")
    if any(Path(mask).is_dir() and output.resolve() == Path(mask).resolve() for mask in masks):
        raise MoebiusError(f"{output} is the folder of the masks: choose another one, they would be overwritten")
    found = pair(folder, masks[0] if masks else None, output, recursive, bool(boxes))
    one_for_all = boxes or (masks and not Path(masks[0]).is_dir())
    if one_for_all and not is_output_folder(folder):
        results = [photo.name for photo in found.pairs if photo.problem is None and _is_result(folder / photo.name)]
        left = [photo for photo in found.pairs if photo.name not in results]
        found = Pairing(left, found.without_mask, results)
    sources = {_identity(folder / photo.name) for photo in found.pairs}
    for photo in found.pairs:
        if (target := _identity(output / photo.name)) is not None and target in sources:
            raise MoebiusError(f"{output / photo.name} is a photo of {folder} by another name: choose another folder")
    if not overwrite and not ledger.is_claimed(output):
        taken = next((output / photo.name for photo in found.pairs if _exists(output / photo.name)), None)
        if taken:
            raise MoebiusError(
                f"{taken} exists and is not an earlier run's", "choose another folder", Change("overwrite", True)
            )
    return found


def _is_result(path: Path) -> bool:
    """Whether a file was filled by this program. False where it cannot be read: that is reported with its photo."""
    try:
        with opened(path) as (file, image):
            return is_output_file(file, image)
    except MoebiusError:
        return False


def _nothing_to_fill(folder: Path, found: Pairing) -> str:
    if found.results:
        return f"{folder} holds only photos that were filled already, such as {found.results[0]}"
    return (
        f"no photo of {folder} has a mask: the mask of {found.without_mask[0]} would be "
        f"{found.without_mask[0].stem}_mask.png beside it, or have the photo's name in a folder of masks"
    )


def fill_folder(
    pipeline: MoebiusPipeline, job: Job, pairing: Pairing, force: bool, mode: Mode, reviewed: Pairing | None = None
) -> int:
    """Fill this rank's share of a folder's photos. Returns the exit code: 1 where a photo failed.

    `reviewed` are the photos of the review page, if those are more.
    """
    if not pairing.pairs:
        raise MoebiusError(_nothing_to_fill(job.folder, pairing))
    job = replace(job, mode=permissions(job.folder / photo.name for photo in pairing.pairs))
    ranks = Ranks.join(job.output)
    report = Report(mode, len(ranks.share(pairing.pairs)), ranks.rank)
    try:
        return _fill_folder(pipeline, job, pairing, force, ranks, report, reviewed or pairing)
    except LostError as error:
        report.stopped(f"error: {worded(error, job.face)}: {ranks.tell(pairing.pairs)}")
        leave(1)


def _fill_folder(
    pipeline: MoebiusPipeline,
    job: Job,
    pairing: Pairing,
    force: bool,
    ranks: Ranks,
    report: Report,
    reviewed: Pairing,
) -> int:
    rank = ranks.rank
    started = time.perf_counter()
    with ExitStack() as stack:
        private = stat.S_IMODE(job.folder.stat().st_mode) & 0o777
        make_folder(job.output, private)
        if rank == 0:
            stack.enter_context(locked(job.output, report.warning))
            ledger.claim(job.output, job.mode)
            remove_left_parts(job.output)
            ledger.merge(job.output, report.warning, job.mode)
            for parent in sorted({(job.output / photo.name).parent for photo in pairing.pairs}):
                make_folder(parent, private)
        ranks.meet()
        share = ranks.share(_distinguishable(pairing.pairs, job.output))
        done = {} if force else ledger.read(job.output)
        report.begin(pairing.without_mask, pairing.results)
        try:
            with closing(run(pipeline, job, share, done, report.step, rank)) as tasks:
                for task in tasks:
                    report.ended_one(task)
        except KeyboardInterrupt:
            several = f": {ranks.tell(pairing.pairs)}" if ranks.size > 1 else ""
            if rank == 0:
                _write_review(job, reviewed, ledger.read(job.output))
            report.stopped(f"interrupted{several}")
            return INTERRUPTED
        except MoebiusError as error:
            report.stopped(f"error: {worded(error, job.face)}")
            return 1
        seconds = time.perf_counter() - started
        stages = pipeline.stages.by_name
        busy = sum(stages[name].seconds for name in NETWORK if name in stages) / seconds
        ranks.meet()
        failed: list[Record] = []
        if rank == 0:
            records = ledger.merge(job.output, report.warning, job.mode)
            _write_review(job, reviewed, records)
            ended = _records(pairing, records)
            failed = [record for record in ended if "error" in record]
            report.end(
                done=len(ended) - len(failed),
                without_mask=len(pairing.without_mask) + len(pairing.pairs) - len(ended),
                errors=[record["error"] for record in failed],
                network_busy=round(busy, 3),
            )
        ranks.meet()
        return 1 if failed else 0


def _write_review(job: Job, pairing: Pairing, records: dict[str, Record]) -> None:
    """Write the review page."""
    without = [*pairing.without_mask, *(photo.name for photo in pairing.pairs if photo.name.as_posix() not in records)]
    review.write(job.folder, job.output, _records(pairing, records), sorted(without), job.mode)


def _records(pairing: Pairing, records: dict[str, Record]) -> list[Record]:
    """The records of the photos that have one, in the order of the pairs."""
    return [records[name] for photo in pairing.pairs if (name := photo.name.as_posix()) in records]


def _distinguishable(pairs: list[Pair], output: Path) -> list[Pair]:
    """The pairs. Where the disk ignores case, a pair whose name differs from another's by case only gets a problem."""
    ledger_name = output / ledger.NAME
    if _identity(output / ledger.NAME.upper()) != _identity(ledger_name):
        return pairs
    first: dict[str, Path] = {}
    checked = []
    for photo in pairs:
        other = first.setdefault(folded(photo.name.as_posix()), photo.name)
        if other != photo.name:
            photo = replace(photo, problem=f"{photo.name}: the disk of {output} cannot tell its name from {other}")
        checked.append(photo)
    return checked


def show_plan(pipeline: MoebiusPipeline, job: Job, pairing: Pairing) -> tuple[list[str], int]:
    """What a run would do, one line per photo, and how long it would take; and how many photos have an error."""
    lines, crops, errors = [], 0, 0
    done = ledger.read(job.output) if job.output.is_dir() else {}
    request = job.request(pipeline)
    for photo in pairing.pairs:
        task = load(photo, job, pipeline.size, request, done)
        mask = (", ".join(job.selected) or "boxes") if photo.mask is None else photo.mask
        if task.skipped:
            what = "done already"
        elif task.unmasked:
            what = "nothing transparent" if photo.mask else "nothing is there"
        elif task.prepared is None:
            errors += 1
            what = f"error: {task.record['error']}"
        else:
            count = len(task.prepared.crops)
            crops += count
            largest = max((crop.enlargement for crop in task.prepared.crops), default=1.0)
            what = f"{counted(count, 'window')}, enlarged {largest:.2f} times"
        lines.append(f"{photo.name} + {mask}: {what}")
    lines += [f"{name}: no mask" for name in pairing.without_mask]
    seconds = crops * seconds_per_crop(pipeline, job) if crops else 0.0
    return [*lines, f"{counted(crops, 'window')}, about {seconds / 60:.1f} minutes"], errors


def seconds_per_crop(pipeline: MoebiusPipeline, job: Job) -> float:
    """The network's time for one crop, estimated from a short run on one of noise, which only a network fills."""
    side = pipeline.size
    noise = photo_from_image(to_image(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8), "RGB"))
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    times: list[float] = []

    def clock(event: Event) -> None:
        if isinstance(event, Step):
            times.append(time.perf_counter())

    settings: dict[str, Any] = {"num_steps": 4, "guidance_scale": job.settings.guidance_scale}
    pipeline.inpaint(noise, mask, pipeline.settings(**settings), clock)
    stages = pipeline.stages.by_name
    step = (times[-1] - times[0]) / (len(times) - 1)  # the first one includes compilation
    rest = sum(stages[name].seconds for name in ("encode", "decode", "detail"))
    return rest + step * job.settings.num_steps


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for that disk: an error of this photo
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    """What identifies a file under all its names; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
