"""Fill a photo from file to file: metadata and encoding are kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlx_moebius.alignment.sources import read_shots
from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.inpainting.call import check_names, chosen_settings, several
from mlx_moebius.inpainting.pictures import Picture, as_mask
from mlx_moebius.inpainting.pipeline import Callback, MoebiusPipeline
from mlx_moebius.inpainting.settings import Changes, Settings
from mlx_moebius.models import DEFAULT_MODEL
from mlx_moebius.photos.growth import grow
from mlx_moebius.photos.limits import allowing
from mlx_moebius.photos.mask_files import check_share, load_mask
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import check_output, default_output, write_photo
from mlx_moebius.selection.request import select as selected

if TYPE_CHECKING:
    from typing_extensions import Unpack


def fill(
    photo: str | Path,
    mask: Picture | Sequence[Picture] | None = None,
    output: str | Path | None = None,
    *,
    model: str | MoebiusPipeline = DEFAULT_MODEL,
    boxes: Sequence[str] = (),
    invert: bool = False,
    large: bool = False,
    overwrite: bool = False,
    quality: int | None = None,
    metadata: bool = True,
    keep_time: bool = False,
    max_pixels: int | None = None,
    dtype: str | None = None,
    memory_limit: str | int | None = None,
    settings: Settings | None = None,
    callback: Callback | None = None,
    others: Sequence[str | Path] = (),
    select: Sequence[str] = (),
    **changes: Unpack[Changes],
) -> Path:
    """Fill what a mask covers in a photo's file, and write a file that keeps everything else.

    Encoding, bit depth, ICC profile, EXIF and whatever else the format holds are kept. Outside the mask, pixels stay
    the same before encoding.

    Args:
        photo: the file.
        mask: a file, white where to fill, or "alpha" for what is transparent in the photo; a PIL image or an array
            [H, W]; or several, which are united.
        output: the file to write, in the format of its extension; NAME_filled.EXT beside the photo if None.
        model: a name or folder as `MoebiusPipeline.from_pretrained` takes it, or a pipeline, which saves loading the
            model for every photo.
        boxes: more areas to fill, as "x,y,w,h" in pixels.
        invert: fill what masks and boxes leave out.
        large: more than half of the photo may be filled.
        overwrite: replace an output that exists.
        quality: 1 to 100, of JPEG, WebP, AVIF, HEIC and JPEG XL; that of the photo if None.
        metadata: record model and settings in the file.
        keep_time: give the output the photo's modification time.
        max_pixels: the most that a photo may have, whatever the memory; as memory allows if None.
        dtype, memory_limit: as in `MoebiusPipeline.from_pretrained`, where `model` is a name.
        settings, changes: as in `pipe(...)`; `extend` works here too.
        callback: called with every step of the network and every crop that gets detail.
        others: files with other shots of the scene, or a folder of them. What they show of the mask is taken from them,
            where it fits; `NAME_mask.png` beside one says what in it must not be taken. Needs the extra `shots`.
        select: more to fill, selected instead of painted, such as "box:100,50,200,300" or "dust"; `selection.request`
            lists what there is. Needs the extra `select`.

    Returns the file that was written. Warns (`warnings.warn`) of what may not be meant. Raises MoebiusError, with
    nothing written.
    """
    check_names(changes)
    source = Path(photo)
    target = default_output(source) if output is None else Path(output)
    if target.exists() and not overwrite:
        raise MoebiusError(f"{target} exists", "choose another name", Change("overwrite", True))
    with allowing(max_pixels):
        picture = read_photo(source)
        check_output(picture, target)
        notes, hole = [*picture.notes], None
        if mask is not None or boxes or select or not (changes.get("extend") or (settings and settings.extend)):
            drawings = [] if mask is None else [as_mask(drawing) for drawing in several(mask)]
            found = selected(picture, select) if select else None
            hole, said = load_mask(picture, drawings, boxes, invert, found)
            notes += said
            asked = changes.get("dilate", settings.dilate if settings else None)
            check_share(grow(hole, "auto" if asked is None else asked), hole, large, invert)
        pipe = model
        if not isinstance(pipe, MoebiusPipeline):
            pipe = MoebiusPipeline.from_pretrained(pipe, dtype, memory_limit)
        chosen = chosen_settings(pipe, settings, changes)
        result = pipe.inpaint(picture, hole, chosen, callback, read_shots([Path(path) for path in others], source))
    record = pipe.provenance(chosen, result, selected=select) if metadata else None
    notes += [
        *result.warnings,
        *write_photo(result.photo, target, quality, record, source, keep_time),
    ]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return target
