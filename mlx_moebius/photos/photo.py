"""A photo in memory: its pixels, and everything that its file carries beside them.

Nothing is lost in silence: pixels keep the file's colours and bit depth, and what cannot be kept is refused or noted.
The network gets `Photo.rgb`; `Photo.composite` blends its fill in. `save.py` writes the result.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import check_regular
from mlx_moebius.photos import (
    attached,
    cmyk,
    formats,
    gain_map,
    infrared,
    jxl,
    limits,
    metadata,
    nclx,
    recognise,
    sixteen_bit,
)
from mlx_moebius.photos.geometry import Box, Mask, Pixels, slices
from mlx_moebius.photos.palettes import palette_of
from mlx_moebius.photos.privacy import Region, map_regions, turned
from mlx_moebius.side_by_side import side_by_side

TEXT_LIMIT = 64 << 20  # bytes of text or ICC profile in a PNG, unpacked: Pillow's 1 MB is less than editors write
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = TEXT_LIMIT
Floats = NDArray[np.float32]
Keep = Callable[[Floats], Floats]  # moves colours [N, C]; see `kept_colours`
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's L
BAND = 512  # rows blended at a time, which bounds the memory for float copies
READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP")
NATIVE_MODES = {"1": "L", "P": "RGB", "RGBX": "RGB", "I;16B": "I;16", "I;16L": "I;16"} | {
    mode: mode for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "I;16")
}


@dataclass(frozen=True)
class Metadata:
    """What a file carries beside its pixels. `exif` is a TIFF block, `iptc` the IPTC record of a JPEG's APP13."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    comment: bytes = b""
    dpi: tuple[float, float] | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, eq=False)
class Photo:
    """Pixels upright (EXIF orientation applied), in the file's mode and bit depth.

    `mode` is Pillow's: L, LA, RGB, RGBA, CMYK or I;16 (grey, uint16), or one of LA;16, RGB;16, RGBA;16 (uint16), which
    Pillow lacks; palettes are resolved. `encoding` holds Pillow's save options that repeat the source's compression,
    `orientation` the EXIF value (1 to 8) that was applied, `notes` lines that the user should know. `gains` is an Ultra
    HDR JPEG's gain map. `palette` is the file's palette, [N, C] in `mode` (see `palettes.palette_of`). `infrared` is a
    scan's infrared picture [H, W] in the depth of `pixels`, which dust is dark in.
    """

    pixels: Pixels
    mode: str
    format: str | None = None
    metadata: Metadata = Metadata()
    encoding: Mapping[str, Any] = field(default_factory=dict)
    orientation: int = 1
    notes: tuple[str, ...] = ()
    gains: gain_map.GainMap | None = None
    palette: Pixels | None = None
    infrared: Pixels | None = None

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.pixels.shape[0])

    @property
    def plain_mode(self) -> str:
        """The same mode with 8 bits a channel."""
        return "L" if self.mode == "I;16" else self.mode.removesuffix(";16")

    @property
    def box(self) -> Box:
        """The whole photo."""
        return 0, 0, self.width, self.height

    def alpha(self) -> Pixels | None:
        """Opacity [H, W], uint8, 255 = wholly opaque; None for a mode without it."""
        if self.plain_mode not in ("LA", "RGBA"):
            return None
        return self.pixels[..., -1] if self.pixels.dtype == np.uint8 else (self.pixels[..., -1] // 257).astype(np.uint8)

    def hidden(self) -> Mask | None:
        """What is wholly transparent, [H, W]: what is stored there (mostly black) was never seen. None: nothing."""
        alpha = self.alpha()
        return alpha == 0 if alpha is not None and not alpha.all() else None

    def with_infrared(self, values: Pixels) -> Photo:
        """The photo with an infrared picture [H, W] of its size, in the place of opacity if it has one."""
        colours = np.ascontiguousarray(self.pixels[..., :3]) if self.plain_mode == "RGBA" else self.pixels
        values = infrared.in_depth(values, colours.dtype)
        return replace(self, pixels=colours, mode=self.mode.replace("RGBA", "RGB"), infrared=values)

    def rgb(self, box: Box | None = None) -> NDArray[np.uint8]:
        """What the network sees, uint8 [h, w, 3], of the whole photo or of `box`.

        Opacity is ignored (colours under transparent parts are taken as stored), grey is repeated, 16 bits are
        rounded to 8, CMYK goes to sRGB by the photo's ICC profile.
        """
        pixels = self.pixels[slices(box or self.box)]
        if self.mode == "CMYK":
            return np.asarray(cmyk.convert(to_image(pixels, "CMYK"), "RGB", self.metadata.icc))
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if self.plain_mode in ("RGB", "RGBA"):
            return np.ascontiguousarray(pixels[..., :3])
        grey = pixels[..., 0] if self.plain_mode == "LA" else pixels
        return np.repeat(grey[..., None], 3, axis=-1)

    def composite(
        self, fill: Pixels, weight: Floats, box: Box | None = None, opaque: bool = False, keep: Keep | None = None
    ) -> Photo:
        """The photo with `fill` blended in, in the photo's colours and depth; pixels of weight 0 are not touched.

        `fill` is uint8, or float in 0..255, RGB [h, w, 3]; `weight` is [h, w] in 0..1; both cover `box` (the whole
        photo by default). Opacity stays as it is unless `opaque`, which makes filled parts opaque by their weight.
        `keep` (see `kept_colours`) is applied last, to the pixels that are touched.
        """
        return self.composite_all([(fill, weight, box or self.box)], opaque, keep)

    def composite_all(
        self, fills: Iterable[tuple[Pixels, Floats, Box]], opaque: bool = False, keep: Keep | None = None
    ) -> Photo:
        """`composite` of several fills with their weights and boxes, one after the other."""
        photo = self
        for fill, weight, box in fills:
            photo = replace(photo, pixels=self.pixels.copy()) if photo is self else photo
            photo._lay(fill, weight, photo.pixels[slices(box)], opaque, keep)
            photo = replace(photo, metadata=photo.without_regions(weight, box))
        return photo

    def _lay(self, fill: Pixels, weight: Floats, window: Pixels, opaque: bool, keep: Keep | None) -> None:
        """Blend a fill into a window of the photo's pixels."""

        def blend(top: int) -> None:
            rows = slice(top, top + BAND)
            touched = weight[rows] > 0
            if touched.any():
                some = window[rows][touched], fill[rows][touched], weight[rows][touched]
                window[rows][touched] = self._blended(*some, opaque, keep)

        side_by_side(blend, range(0, len(window), BAND))

    def without_regions(self, weight: Floats, box: Box) -> Metadata:
        """The metadata without the regions (of faces) whose middle is filled."""

        def unless_filled(region: Region) -> Region | None:
            x, y = int(region[0] * self.width) - box[0], int(region[1] * self.height) - box[1]
            inside = 0 <= y < weight.shape[0] and 0 <= x < weight.shape[1]
            return None if inside and weight[y, x] >= 0.5 else region

        return replace(self.metadata, xmp=map_regions(self.metadata.xmp, unless_filled))

    def _blended(self, source: Pixels, fill: Pixels, weight: Floats, opaque: bool, keep: Keep | None) -> Pixels:
        """`composite` of some pixels, [n] or [n, C]; their `fill` [n, 3] and `weight` [n] are given."""
        share = weight[:, None].astype(np.float32)
        if self.mode == "CMYK":  # in light, not in ink: the same colour from other shares of black would show as a seam
            seen = np.asarray(cmyk.convert(to_image(source[None], "CMYK"), "RGB", self.metadata.icc))[0]
            seen = seen.astype(np.float32)
            seen = np.rint(seen * (1 - share) + fill * share).clip(0, 255).astype(np.uint8)
            blended = np.array(cmyk.convert(to_image(seen[None], "RGB"), "CMYK", self.metadata.icc))[0]
            return blended if keep is None else keep(seen.astype(np.float32)).astype(blended.dtype)
        target = source.reshape(len(weight), -1).astype(np.float32)
        has_alpha = self.plain_mode in ("LA", "RGBA")
        colours = target[..., :-1] if has_alpha else target
        colours[...] = colours * (1 - share) + self._native(fill) * share  # nothing of them is left at a share of 1
        if opaque and has_alpha:
            target[..., -1:] += (np.iinfo(source.dtype).max - target[..., -1:]) * share
        if keep is not None:
            channels = self.palette.shape[1] if self.palette is not None else colours.shape[-1]
            target[:, :channels] = keep(target[:, :channels])
        return np.rint(target).clip(0, np.iinfo(source.dtype).max).astype(source.dtype).reshape(source.shape)

    def _native(self, fill: Pixels) -> Floats:
        """RGB fill [n, 3] in 0..255 as the photo's RGB or grey, float32 [n, C without opacity]."""
        colours = fill.astype(np.float32) * np.float32(257 if self.pixels.dtype == np.uint16 else 1)
        if self.plain_mode in ("RGB", "RGBA"):
            return colours
        return colours @ LUMA[:, None]


def read_photo(path: str | Path) -> Photo:
    """Read a JPEG, PNG, WebP, TIFF, AVIF, BMP or (with the extras `heic` and `jxl`) HEIC or JPEG XL file.

    Raises MoebiusError with one line for whatever is missing, damaged, cut short, too large, animated, or cannot be
    kept as it is.
    """
    path = Path(path)
    with opened(path) as (file, image):
        notes = []
        bits = formats.bits_per_channel(file, image)
        is_deep = False
        if bits > 8 and not formats.is_grey16(image):
            if image.format in formats.READ_AS_8_BITS:
                notes.append(f"{path} has {bits} bits a channel; they are reduced to 8")
            elif bits == 16 and image.format in ("PNG", "TIFF"):
                is_deep = True
                sixteen_bit.require()
                limits.check_size(*image.size, copies=2)
            else:
                raise MoebiusError(
                    f"it has {bits} bits a channel, of which only 8 could be kept: save it as 8-bit (or 16-bit grey)"
                )
        gains = gain_map.read(file) if image.format in ("JPEG", "MPO") else None
        if image.format == "MPO" and (count := getattr(image, "n_frames", 1)) > (1 if gains is None else 2):
            notes.append(f"{path} holds {count} pictures; only the main one is kept")
        exif = formats.exif_block(file, image)
        if not exif and image.info.get("exif"):
            notes.append(f"{path}: its EXIF is damaged and was left out")
        encoding = formats.source_encoding(file, image)
        chunks = formats.png_chunks(file) if image.format == "PNG" else ()
        page = image.tell() if image.format == "TIFF" else 0
        photo = photo_from_image(image)
        if is_deep:
            pixels, fourth = sixteen_bit.read_pixels(file, str(image.format), page)
            dust: Pixels | None = None if fourth is None else oriented(fourth, photo.orientation)
            photo = replace(photo, pixels=oriented(pixels, photo.orientation), mode=sixteen_bit.MODES[pixels.shape[-1]])
        else:
            dust = infrared.fourth_channel(file, image) if image.format == "TIFF" else None
        if image.format == "TIFF" and dust is None and (found := infrared.behind(image, page)) is not None:
            dust = oriented(found[0], 1 if found[1] else photo.orientation)
            kept = "a fourth channel" if photo.plain_mode.startswith("RGB") else "a second page"
            notes.append(f"{path}: its infrared page is kept as {kept}")
        photo = photo if dust is None else photo.with_infrared(dust)
        if lost := formats.unusable(image):
            notes.append(f"{path}: its {' and '.join(lost)} cannot be read and was left out")
        if photo.infrared is None and (extra := formats.extra_channels(image)):
            notes.append(f"{path}: {extra} left out")
        xmp, left_out = attached.without_announcements(photo.metadata.xmp)
        left_out += attached.announced_by_container(image, formats.bytes_at(file, 0, 65536))
        if gains is not None:
            gains = replace(gains, pixels=oriented(gains.pixels, photo.orientation))
            left_out = [line for line in left_out if line != attached.NO_GAIN_MAP]
        notes += [f"{path}: {line}" for line in dict.fromkeys(left_out)]
        icc = photo.metadata.icc
        if not icc and (numbers := formats.colour_numbers(file, image)):
            named = nclx.profile(*numbers)
            icc = named or b""
            if named is None:
                notes.append(f"{path}: its colours are given by unknown numbers, and were taken as sRGB")
        if (
            photo.mode == "CMYK"
            and photo.metadata.icc
            and cmyk.profiled(Image.new("CMYK", (1, 1)), "RGB", photo.metadata.icc) is None
        ):
            notes.append(f"{path}: its colour profile is not one for CMYK; colours are converted by the plain formula")
        carried = replace(photo.metadata, exif=exif, icc=icc, xmp=xmp, png_chunks=chunks)
        return replace(photo, metadata=carried, encoding=encoding, notes=tuple(notes), gains=gains)


def read_provenance(path: str | Path) -> dict[str, Any] | None:
    """The model, seed and settings that a photo was filled with (see `save.write_photo`), or None."""
    with opened(Path(path)) as (file, image):
        return metadata.provenance_in(formats.exif_block(file, image))


def photo_from_image(image: Image.Image) -> Photo:
    """A photo from a Pillow image; the image is loaded, not changed. Raises MoebiusError for modes such as LAB or F."""
    orientation = image.info.get("original_orientation") or formats.orientation(image)  # some arrive upright
    xmp = formats.block(image, "xmp")  # before Pillow turns a TIFF, which takes the orientation out
    image.load()
    xmp = xmp or formats.block(image, "xmp")
    mode = NATIVE_MODES.get(image.mode)
    if image.has_transparency_data:  # besides alpha channels: palettes, or a colour that stands for transparent
        mode = {"1": "LA", "L": "LA", "LA": "LA", "I;16": None}.get(image.mode, "RGBA")
    if mode is None:
        raise MoebiusError(f"pictures of mode {image.mode} are not supported: convert it to RGB or grey first")
    pixels = np.asarray(image if image.mode == mode or mode == "I;16" else image.convert(mode))
    if mode == "I;16":
        pixels = pixels.astype(np.uint16)  # native byte order
    if 0 in pixels.shape:
        raise MoebiusError("the picture has no pixels")
    pixels = oriented(pixels, formats.orientation(image))  # Pillow turns a TIFF when it loads, and then says 1
    info = image.info
    return Photo(
        pixels=pixels,
        mode=mode,
        format="JPEG" if image.format == "MPO" else image.format,
        metadata=Metadata(
            exif=metadata.checked_block(info.get("exif") or b""),
            icc=formats.block(image, "icc_profile"),
            xmp=map_regions(xmp, turned(orientation)),
            iptc=info.get("photoshop", {}).get(0x0404, b""),
            comment=info.get("comment", b"") if image.format in ("JPEG", "MPO") else b"",
            dpi=formats.resolution(image),
        ),
        orientation=orientation,
        palette=palette_of(image, mode),
    )


def to_image(pixels: Pixels, mode: str) -> Image.Image:
    """A Pillow image of native pixels."""
    data = np.ascontiguousarray(pixels)
    return Image.frombuffer(mode, (data.shape[1], data.shape[0]), data, "raw", mode, 0, 1)


def oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels [H, W, ...] turned upright from an EXIF orientation (1 to 8; CIPA DC-008, tag 274)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Image.Image]]:
    """Open a picture file. Whatever goes wrong, also while it is in use, raises a MoebiusError that names the file."""
    if path.is_dir():
        raise MoebiusError(f"{path} is a folder, not a photo")
    Image.init()
    try:
        check_regular(path)
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata and sizes below the limit
            head = file.read(65536)
            if not head:
                raise MoebiusError("the file is empty (0 bytes)")
            if what := recognise.unreadable(path, head):
                raise MoebiusError(what)
            heic = head[4:8] == b"ftyp" and any(brand in head[:64] for brand in (b"heic", b"heix", b"heim", b"heis"))
            if heic:
                require_heic()
            file.seek(0)
            with limits.without_pillow_limit():
                if head.startswith(jxl.STARTS):
                    inner, image = jxl.opened(file)
                else:
                    known = ["HEIF"] if heic else [name for name in READABLE if name in Image.OPEN]
                    inner, image = file, Image.open(file, formats=known)
            with image:
                limits.check_size(*image.size)
                # HEIC and MPO files keep depth maps, previews and the like beside the main picture.
                if image.format == "TIFF" and recognise.is_raw_tiff(image):
                    raise MoebiusError(recognise.RAW)
                if image.format == "TIFF" and (page := recognise.full_page(image)) is not None:
                    image.seek(page)  # the others are thumbnails
                    limits.check_size(*image.size)
                elif getattr(image, "is_animated", False) and image.format not in ("MPO", "HEIF"):
                    count = getattr(image, "n_frames", 2)
                    raise MoebiusError(f"it is animated or has pages ({count}): only single pictures can be filled")
                yield inner, image
    except MoebiusError as error:
        raise error.within(path) from None
    except FileNotFoundError:
        raise MoebiusError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise MoebiusError(
            f"{path} is not a JPEG, PNG, WebP, TIFF, AVIF, BMP, HEIC or JPEG XL picture, or is damaged"
        ) from None
    except MemoryError:
        raise MoebiusError(f"{path} does not fit into memory") from None
    except Exception as error:  # decoders raise anything on damaged files
        if "MAX_TEXT" in str(error):
            raise MoebiusError(f"{path} holds more than {TEXT_LIMIT >> 20} MB of text, the limit: remove it") from None
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise MoebiusError(f"{path} cannot be read: it is damaged or cut short ({reason})") from error


def require_heic() -> None:
    """Teach Pillow HEIC. Raises MoebiusError when the optional package is missing."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise MoebiusError('HEIC needs an optional package: pip install "mlx-moebius[heic]"') from None
