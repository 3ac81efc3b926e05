"""From a photo to the crops that the network fills, and from their fills back to the photo. No network here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment.shot import Shot
from mlx_moebius.alignment.take import Use, take_from
from mlx_moebius.errors import LESS, Change, Note
from mlx_moebius.inpainting import detail
from mlx_moebius.inpainting.crops import Crop, plan
from mlx_moebius.inpainting.detail import Detail, lay
from mlx_moebius.inpainting.flat import continue_flat
from mlx_moebius.inpainting.plain import continue_plain
from mlx_moebius.inpainting.push_pull import continued, push_pull
from mlx_moebius.inpainting.seam import Seam, measure_seam
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.inpainting.specks import heal_specks
from mlx_moebius.inpainting.stitch import blend, extract, feather_width, match_colour, prefill
from mlx_moebius.photos.gain_map import GainMap
from mlx_moebius.photos.geometry import Box, Colours, Mask, Pixels, intersection, slices
from mlx_moebius.photos.growth import check_growth, grow
from mlx_moebius.photos.kept_colours import kept_colours
from mlx_moebius.photos.mask_files import check as check_mask
from mlx_moebius.photos.masks import components, dilate
from mlx_moebius.photos.photo import Photo
from mlx_moebius.side_by_side import side_by_side

BAND = 512  # rows of a photo that are blended at a time, which bounds the memory, and columns of their tiles
GAINS_RIM = 8  # pixels of a gain map round what is filled in it
MAX_ENLARGEMENT = 3.0  # beyond it the fill is visibly softer than the photo


@dataclass(frozen=True, slots=True)
class Result:
    """A filled photo, the mask that was filled, the crops, the seam (None: not measured), and notes, one per line.

    `details` says where detail was grown; it is empty where none was wanted. `weights`, uint16 [H, W], is the fill's
    share in every pixel, 65535 for all of it; None after a widening and with `reference`. `uses` says what other shots
    gave, `continued` how many parts of the mask were filled from what is round them, without the network.
    """

    photo: Photo
    mask: Mask
    crops: list[Crop]
    seam: Seam | None
    notes: list[str]
    details: list[Detail] = field(default_factory=list)
    weights: NDArray[np.uint16] | None = None
    uses: list[Use] = field(default_factory=list)
    continued: int = 0

    @property
    def warnings(self) -> list[str]:
        """Everything that the user should know, one per line: the notes, and what is wrong with the seam."""
        return [*self.notes, *(self.seam.warnings() if self.seam else [])]

    @property
    def enlargement(self) -> float:
        """Enlargement of the most enlarged crop: 1 is native detail."""
        return max((crop.enlargement for crop in self.crops), default=1.0)


@dataclass(frozen=True, slots=True)
class PreparedCrops:
    """The crops of one photo, ready for the network: one image uint8 [S, S, 3] and one mask bool [S, S] per crop.

    In the images of `prepare_crops`, nothing is left of the object to remove: its surroundings continue smoothly.
    What other shots show of the mask, its plain parts and its specks are already filled in `photo` (see `alignment`,
    `plain` and `specks`); `rest` is the remaining mask. If nothing remains, there are no crops. `levels` are masks too:
    colours are matched to the pixels round them. `uses` and `continued` as in `Result`.
    """

    photo: Photo
    mask: Mask
    crops: list[Crop]
    images: list[NDArray[np.uint8]]
    masks: list[Mask]
    levels: list[Mask]
    rest: Mask
    uses: list[Use] = field(default_factory=list)
    continued: int = 0

    def match_colours(self, fills: Iterable[Colours], settings: Settings) -> Iterator[Colours]:
        """The fills (0..1) in 8-bit levels, with colours matched to the photo if the settings ask for it."""
        for fill, image, mask in zip(fills, self.images, self.levels, strict=True):
            levels = fill.clip(0, 1) * np.float32(255)
            yield match_colour(levels, image, mask) if settings.compensate else levels

    def grow_details(self, levels: Sequence[Colours], settings: Settings) -> Iterator[Detail]:
        """The detail of every crop, in order; nothing where the settings want no detail."""
        if settings.detail and settings.paste:
            yield from detail.grow_details(
                self.photo, self.rest, self.crops, self.images, self.masks, levels, settings.seed
            )

    def finish(self, levels: list[Colours], details: list[Detail], settings: Settings) -> Result:
        """Blend all crops into the photo; all other pixels stay bit for bit."""
        photo, mask, crops = self.photo, self.rest, self.crops
        if not settings.paste:
            crops = [replace(crop, box=_inside(crop, photo)) for crop in crops]
            mask = np.ones_like(mask)
        grown = [detail for detail in details if detail.colours is not None]
        plain = [index for index in range(len(crops)) if not details or details[index].colours is None]
        crops, levels = [crops[index] for index in plain], [levels[index] for index in plain]
        keep = kept_colours(photo, ~self.mask)
        shares = np.where(self.mask & ~self.rest, np.uint16(65535), np.uint16(0))
        boxes = [crop.reach(photo.width, photo.height) for crop in crops] + [detail.box for detail in grown]

        def drawn_in(tile: Box) -> tuple[Colours, NDArray[np.float32]]:
            colours, weights = blend(levels, crops, mask, tile)
            for each in grown:
                lay(each, tile, colours, weights)
            return colours, weights

        def bands() -> Iterator[tuple[Colours, NDArray[np.float32], Box]]:
            for top in range(0, photo.height, BAND):
                band = (0, top, photo.width, min(photo.height, top + BAND))
                across = [(left, top, min(photo.width, left + BAND), band[3]) for left in range(0, photo.width, BAND)]
                if tiles := [tile for tile in across if any(intersection(tile, box) for box in boxes)]:
                    colours = np.zeros((band[3] - top, photo.width, 3), np.float32)
                    weights = np.zeros(colours.shape[:2], np.float32)
                    for tile, (drawn, shown) in zip(tiles, side_by_side(drawn_in, tiles), strict=True):
                        colours[slices(tile, band[:2])], weights[slices(tile, band[:2])] = drawn, shown
                    share = np.ceil(weights.clip(0, 1) * np.float32(65535)).astype(np.uint16)
                    shares[band[1] : band[3]] = np.maximum(shares[band[1] : band[3]], share)
                    yield colours, weights, band

        photo = photo.composite_all(bands(), settings.opaque, keep)
        photo = replace(photo, gains=filled_gains(photo, shares > 0), infrared=filled_infrared(photo, shares > 0))
        seam = measure_seam(photo.rgb(), self.mask, widest_feather(crops), hidden=photo.hidden())
        result = Result(photo, self.mask, self.crops, seam, [], details, shares, self.uses, self.continued)
        soft = max((crop.enlargement for crop in crops), default=1.0)
        if soft > MAX_ENLARGEMENT:
            result.notes.append(
                Note(
                    f"the fill is enlarged {soft:.1f} times and will be softer than the photo",
                    "mask smaller parts",
                    Change("context", LESS),
                )
            )
        return result


def prepare_crops(
    photo: Photo, mask: Mask, size: int, settings: Settings, overlap: int = 0, others: Sequence[Shot] = ()
) -> PreparedCrops:
    """Plan the crops of a photo and cut them out, for a network that takes `size` pixels.

    With `overlap`, known pixels that far round the mask are filled too, instead of the dilation that the settings ask
    for. There the photo is known but the network invents, so that is where colours are matched. What `others`, shots of
    the same scene, show of the mask is taken from them first.
    """
    unknown = mask
    check_mask(unknown, inverted=False, warnings=[])
    mask = dilate(unknown, 2 * overlap + 1) if overlap else grow(unknown, settings.dilate)
    check_growth(mask, unknown)
    found = take_from(photo, mask, others, settings.opaque)
    photo, rest = found.photo, mask & ~found.taken
    aside = 0
    if settings.detail and settings.paste and not overlap and rest.any():
        asked = rest
        photo, rest = continue_known(photo, rest, settings.opaque)
        photo, rest = heal_specks(photo, rest, settings.opaque)
        aside = len(components(asked & ~rest))
    crops = plan(rest, size, settings.context, settings.max_crop, settings.whole_image)
    hidden = photo.hidden()
    unseen = rest if hidden is None or hidden.all() else rest | hidden  # else nothing could be continued
    rgb = continued(photo.rgb(), unseen)  # before crops are reduced, which blends neighbours
    extracted = side_by_side(lambda crop: extract(rgb, rest, crop), crops)
    masks = [hole for _, hole in extracted]
    images = side_by_side(lambda pair: prefill(*pair), extracted)
    levels = [extract(rgb, unknown, crop)[1] for crop in crops] if overlap else masks
    return PreparedCrops(photo, mask, crops, images, masks, levels, rest, found.uses, aside)


def continue_known(photo: Photo, mask: Mask, opaque: bool) -> tuple[Photo, Mask]:
    """The photo with the parts of a mask [H, W] filled whose surroundings say what is there, and the rest of the mask.

    With `opaque`, filled pixels become opaque; otherwise their opacity stays.
    """
    return continue_flat(*continue_plain(photo, mask, opaque), opaque)


def filled_gains(photo: Photo, changed: Mask) -> GainMap | None:
    """The gain map, interpolated where the photo was changed [H, W]; its mean if all of it was changed."""
    gains = photo.gains
    if gains is None:
        return None
    values = gains.pixels.reshape(*gains.pixels.shape[:2], -1)
    rows, columns = (np.arange(n) * of // n for n, of in zip(values.shape, changed.shape, strict=False))
    unknown = dilate(np.logical_or.reduceat(np.logical_or.reduceat(changed, rows, 0), columns, 1), 3)
    if unknown.all():
        return replace(gains, pixels=np.full_like(gains.pixels, gains.pixels.mean(axis=(0, 1))))
    return replace(gains, pixels=_interpolated(values, unknown).reshape(gains.pixels.shape))


def filled_infrared(photo: Photo, changed: Mask) -> Pixels | None:
    """The infrared picture, interpolated where the photo was changed [H, W]: what was there is there no longer."""
    if photo.infrared is None or photo.infrared.shape != changed.shape or changed.all():
        return photo.infrared
    return _interpolated(photo.infrared[..., None], changed)[..., 0]


def _interpolated(values: Pixels, unknown: Mask) -> Pixels:
    """Values [H, W, C] with those that are unknown [H, W] interpolated from what is round them."""
    values, most = values.copy(), np.iinfo(values.dtype).max
    for part in components(unknown):
        left, top, right, bottom = part.box
        near = np.s_[max(0, top - GAINS_RIM) : bottom + GAINS_RIM, max(0, left - GAINS_RIM) : right + GAINS_RIM]
        filled = np.rint(push_pull(values[near].astype(np.float32), ~unknown[near])).clip(0, most)
        values[near] = np.where(unknown[near][..., None], filled, values[near])
    return values


def widest_feather(crops: list[Crop]) -> int:
    """Pixels beyond the mask in which the photo may have changed."""
    return max((feather_width(crop) for crop in crops), default=0)


def _inside(crop: Crop, photo: Photo) -> Box:
    left, top, right, bottom = crop.frame
    return max(0, left), max(0, top), min(photo.width, right), min(photo.height, bottom)
