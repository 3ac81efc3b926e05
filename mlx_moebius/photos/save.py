"""Writing a photo: in the source's encoding, with all that its file carried and a record of how it was filled.

A file appears under its name complete or not at all.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import EVERYBODY, permissions, replacing
from mlx_moebius.photos import attached, gain_map, jxl, metadata, sixteen_bit
from mlx_moebius.photos.formats import EXTENSIONS, MODES, jpeg_segment
from mlx_moebius.photos.geometry import Pixels
from mlx_moebius.photos.limits import check_format
from mlx_moebius.photos.palettes import BLACK_AND_WHITE, numbered
from mlx_moebius.photos.photo import Metadata, Photo, require_heic, to_image
from mlx_moebius.photos.privacy import without_previews, without_streams
from mlx_moebius.photos.xattr import copy_tags

WRITABLE = 0o222  # checked in the file's mode too: an administrator may write anything
QUALITY = 95  # of a lossy format, where the source's encoding is unknown
GREY = ("L", "I;16")
JPEG_SEGMENT = 65533  # bytes that a JPEG marker holds
PHOTOMETRIC = 262  # the TIFF field that says which number is white
JPEG_DPI = 65535  # the most that a JPEG can say
FULL_COLOUR: dict[str, dict[str, Any]] = {
    "JPEG": {"subsampling": 0},
    "WEBP": {"exact": True, "method": 4},
    "AVIF": {"subsampling": "4:4:4"},
    "HEIF": {"chroma": 420},
    "JXL": {},
}


def default_output(path: str | Path) -> Path:
    """`NAME_filled.EXT` beside the source."""
    path = Path(path)
    return path.with_name(f"{path.stem}_filled{path.suffix}")


def check_output(photo: Photo, path: str | Path, size: tuple[int, int] | None = None) -> str:
    """The format (Pillow's name) that `path` asks for. Call it before the work, not after.

    Raises MoebiusError when the extension is unknown, the format cannot hold the photo's mode, depth or size (`size`,
    (width, height), where it is not the photo's), or the folder is missing or read-only. Whether an
    existing file may be replaced is for the caller to check.
    """
    path = Path(path)
    name = EXTENSIONS.get(path.suffix.lower())
    if name is None:
        raise MoebiusError(f"{path}: the extension must be one of {' '.join(EXTENSIONS)}")
    if _storable(photo, name) is None:
        depth = "16 bits a channel" if photo.mode.endswith(";16") else "transparency"
        lacks = {"I;16": "16-bit grey", "CMYK": "CMYK colours"}.get(photo.mode, depth)
        instead = " or ".join(f for f in ("PNG", "TIFF") if photo.mode in MODES[f])
        raise MoebiusError(f"{path}: {name} cannot hold the photo's {lacks}: choose {instead}")
    try:
        inner = "JPEG" if name == "JXL" and _goes_as_jpeg(photo) else name
        check_format(inner, *(size or (photo.width, photo.height)))
    except MoebiusError as error:
        raise error.within(path) from None
    if name == "HEIF":
        require_heic()
    if name == "JXL":
        jxl.require()
        if not jxl.is_srgb(photo.metadata.icc, photo.mode) and not _goes_as_jpeg(photo):
            raise MoebiusError(
                f"{path}: JPEG XL is written without a colour profile other than sRGB's: choose PNG or TIFF"
            )
    if path.is_dir():
        raise MoebiusError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise MoebiusError(f"the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise MoebiusError(f"the folder {path.parent} is read-only")
    if path.exists() and not (path.stat().st_mode & WRITABLE and os.access(path, os.W_OK)):
        raise MoebiusError(f"{path} is read-only: give another name, or make it writable")
    return name


def write_photo(
    photo: Photo,
    path: str | Path,
    quality: int | None = None,
    provenance: Mapping[str, Any] | None = None,
    source: Path | None = None,
    keep_time: bool = False,
    overwrite: bool = True,
) -> list[str]:
    """Write the photo in the format of `path`'s extension; returns lines that the user should know.

    In the source's format the encoding is the source's (a JPEG's quantization tables and subsampling, lossless WebP,
    a TIFF's compression). `quality` (1 to 100) overrides it for JPEG, WebP, AVIF, HEIC and JPEG XL; the others are
    lossless. ICC profile, EXIF, XMP, IPTC, comment, resolution and PNG text are kept as far as the format has a place.
    `provenance` (JSON values, with `version`) goes into EXIF: `Software`, and `UserComment` behind any text there.
    The file gets the permissions and tags of the file `source`, and with `keep_time` its modification time.
    Where `path` is a symbolic link, what it points to is replaced. Without `overwrite`, an existing file is refused.
    Raises MoebiusError, with nothing left behind.
    """
    path = Path(path)
    name = check_output(photo, path)
    if quality is not None and not 1 <= quality <= 100:
        raise MoebiusError(f"quality must be 1 to 100, not {quality}")
    try:
        data, notes = encode(photo, name, quality, provenance)
    except MemoryError:
        raise MoebiusError(f"{path}: not enough memory to encode it") from None
    except (OSError, ValueError, RuntimeError, SystemError) as error:  # encoders' limits, such as 16383 for WebP
        raise MoebiusError(f"{path}: {name} cannot hold this picture ({error}): choose another format") from error
    mode = EVERYBODY if source is None else permissions([source])
    prepare = None if source is None else lambda part: notes.extend(_made_alike(part, source, keep_time))
    with replacing(path, prepare, overwrite=overwrite, mode=mode) as file:
        file.write(data)
    return [f"{path}: {note}" for note in notes]


def replace_by(content: Path, path: Path) -> list[str]:
    """Give a photo's file the content of another one. It keeps its permissions and tags; at no moment is it half.

    Returns lines that the user should know. Raises MoebiusError.
    """
    notes: list[str] = []
    mode = permissions([path])
    with (
        content.open("rb") as source,
        replacing(path, lambda part: notes.extend(_made_alike(part, path, keep_time=False)), mode=mode) as file,
    ):
        shutil.copyfileobj(source, file)
    return notes


def encode(
    photo: Photo, name: str, quality: int | None = None, provenance: Mapping[str, Any] | None = None
) -> tuple[bytes, list[str]]:
    """The bytes of the file in the format `name`, and notes; see `write_photo`."""
    stored = _storable(photo, name)
    assert stored is not None, "check_output comes first"
    if name == "JXL" and _goes_as_jpeg(photo):
        data, notes = encode(photo, "JPEG", quality, provenance)
        return jxl.packed(data, stored.mode, (photo.width, photo.height)), notes
    carried = _without_old_pictures(photo.metadata)
    options = _encoding(photo, name, quality)
    if carried.icc:
        options["icc_profile"] = carried.icc
    if carried.dpi and not (name == "JPEG" and max(carried.dpi) > JPEG_DPI):
        options["dpi"] = carried.dpi
    # Pillow moves an orientation from AVIF's EXIF to the container, and would rewrite the block for it.
    size = photo.width, photo.height
    exif = metadata.updated_exif(carried.exif, size, provenance, orientation=name != "AVIF")
    xmp = metadata.upright_xmp(carried.xmp)
    notes = []
    if carried.dpi and "dpi" not in options:
        notes.append(f"JPEG holds no resolution above {JPEG_DPI} dpi; it was left out")
    if carried != photo.metadata:
        notes.append("previews in its metadata showed the photo as it was; they were left out")
    if stored.infrared is not None and not _keeps_infrared(stored, name):
        notes.append("its infrared channel was left out; TIFF keeps it")
        stored = replace(stored, infrared=None)
    gains = photo.gains if name == "JPEG" else None
    if gains is not None:
        map_file = gain_map.encoded(gains)
        xmp = gain_map.announced(xmp, gains, len(map_file))
    elif photo.gains is not None:
        notes.append(attached.NO_GAIN_MAP)
    if name == "JPEG":
        if len(exif) + 6 > JPEG_SEGMENT:
            notes.append("the EXIF is too large for JPEG with the settings in it; they were left out")
            exif = metadata.updated_exif(carried.exif, size, None)
        if len(exif) + 6 > JPEG_SEGMENT or len(xmp) + 29 > JPEG_SEGMENT:
            notes.append("EXIF or XMP is too large for JPEG and was left out")
            exif, xmp = (b"" if len(block) + 29 > JPEG_SEGMENT else block for block in (exif, xmp))
        options.update(comment=carried.comment, extra=_iptc_segment(carried.iptc))
    elif name == "PNG":
        options["pnginfo"] = _png_info(carried, xmp)
    elif name == "BMP" and (exif or xmp or carried.icc):
        notes.append("BMP holds no metadata (EXIF, ICC, XMP, settings); it was left out")
    if name in ("JPEG", "WEBP", "AVIF", "HEIF", "JXL") and xmp:
        options["xmp"] = xmp
    if name in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF") and exif:
        options["exif"] = b"Exif\0\0" + exif
    elif name == "JXL" and exif:
        options["exif"] = bytes(4) + exif  # where in the box it begins
    white_is_zero = options.pop("white_is_zero", False) and stored.palette is BLACK_AND_WHITE
    pixels = 255 - stored.pixels if white_is_zero else stored.pixels
    numbers = None if stored.palette is None else numbered(pixels, stored.palette, name)
    if stored.palette is not None and numbers is None:
        what = "one bit a pixel" if stored.palette is BLACK_AND_WHITE else "the palette"
        notes.append(f"{what} could not be kept; it has 8 bits a channel")
    data = _encoded(stored, name, options) if numbers is None else _encoded_numbers(numbers, name, options)
    if gains is not None:
        data = gain_map.attached(data, gains, map_file)
    if name == "TIFF":  # Pillow writes no sub-directories beside compressed pixels
        fields: dict[int, Any] = metadata.describing(metadata.read_fields(exif)) if exif else {}
        if white_is_zero:
            fields[PHOTOMETRIC] = metadata.Field(metadata.SHORT, bytes(2))
        if xmp:
            fields[metadata.XMP_PACKET] = metadata.Field(metadata.BYTE, xmp)
        data = metadata.edit_fields(data, fields, keep_pages=stored.infrared is not None) if fields else data
    return data, notes


def _made_alike(path: Path, source: Path, keep_time: bool) -> list[str]:
    """Give a file the permissions of `source` (its owner may always write), its tags, and its time if wanted.

    If the disk does not allow it, or the source is gone, the photo is kept all the same: returns a note.
    """
    try:
        like = source.stat()
        path.chmod(stat.S_IMODE(like.st_mode) & 0o777 | stat.S_IWUSR)
        if keep_time:
            os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))
    except OSError as error:
        kept = "permissions and time" if keep_time else "permissions"
        return [f"the source's {kept} could not be kept: {error.strerror or error}"]
    with suppress(OSError):  # many file systems have no tags
        copy_tags(source, path)
    return []


def _storable(photo: Photo, name: str) -> Photo | None:
    """The photo in a mode that the format holds; None where something but wholly opaque alpha would be lost."""
    if photo.mode in MODES[name]:
        return photo
    alpha = photo.alpha()
    if alpha is None or alpha.min() < 255:
        return None
    colours = photo.pixels[..., :3] if photo.plain_mode == "RGBA" else photo.pixels[..., 0]
    mode = {"LA;16": "I;16", "RGBA;16": "RGB;16"}.get(photo.mode, photo.mode[:-1])
    opaque = replace(photo, pixels=np.ascontiguousarray(colours), mode=mode)
    return opaque if opaque.mode in MODES[name] else None


def _goes_as_jpeg(photo: Photo) -> bool:
    """Whether JPEG XL holds the photo as a JPEG, packed without loss: it was one, or has lossy colours not in sRGB."""
    if photo.format == "JPEG":
        return photo.mode in MODES["JXL"]
    lossy = not photo.encoding.get("lossless") and photo.mode in ("L", "RGB")
    return lossy and not jxl.is_srgb(photo.metadata.icc, photo.mode)


def _encoded(stored: Photo, name: str, options: dict[str, Any]) -> bytes:
    """The pixels as a file, with Pillow's save options."""
    is_deep = stored.mode in sixteen_bit.MODES.values()
    if is_deep and name == "TIFF":
        has_infrared = stored.infrared is not None
        return sixteen_bit.tiff(_with_fourth(stored) if has_infrared else stored.pixels, options, has_infrared)
    buffer = io.BytesIO()
    if stored.infrared is not None and stored.mode in GREY:
        behind = [to_image(stored.infrared, stored.mode)]
        to_image(stored.pixels, stored.mode).save(buffer, name, save_all=True, append_images=behind, **options)
        return buffer.getvalue()
    if stored.infrared is not None:
        to_image(_with_fourth(stored), "RGBX").save(buffer, name, **options)
        return buffer.getvalue()
    shown = to_image(np.zeros((1, 1, 3), np.uint8), "RGB") if is_deep else to_image(stored.pixels, stored.mode)
    shown.save(buffer, name, **options)
    return sixteen_bit.png(stored.pixels, buffer.getvalue()) if is_deep else buffer.getvalue()


def _keeps_infrared(stored: Photo, name: str) -> bool:
    """Whether the format holds the infrared picture, and a wider frame or a reduced one has not lost it."""
    fits = stored.infrared is not None and stored.infrared.shape == stored.pixels.shape[:2]
    return fits and name == "TIFF" and stored.mode in ("RGB", "RGB;16", *GREY) and stored.palette is None


def _with_fourth(stored: Photo) -> Pixels:
    """Colours and infrared [H, W, 4]."""
    assert stored.infrared is not None
    return np.concatenate([stored.pixels, stored.infrared[..., None]], axis=-1)


def _encoded_numbers(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    """A picture with a palette, or of one bit a pixel, as a file."""
    buffer = io.BytesIO()
    options.pop("tiffinfo", None)  # differences of palette indices mean nothing
    image.save(buffer, name, **options)
    return buffer.getvalue()


def _encoding(photo: Photo, name: str, quality: int | None) -> dict[str, Any]:
    """Pillow's save options: the source's in its format, high quality in another one."""
    same = photo.format == name
    options = {**FULL_COLOUR.get(name, {}), **(photo.encoding if same else {})}
    if name == "TIFF":
        options.setdefault("compression", "tiff_adobe_deflate")
        if options["compression"] in ("tiff_lzw", "tiff_adobe_deflate"):
            options["tiffinfo"] = {317: 2}  # horizontal differences, which make photos a good deal smaller
    elif name in FULL_COLOUR and (quality is not None or not (options.get("qtables") or options.get("lossless"))):
        options["quality"] = QUALITY if quality is None else quality
        options.pop("qtables", None)
        options.pop("lossless", None)
    return options


def _without_old_pictures(carried: Metadata) -> Metadata:
    """The metadata without pictures of the photo as it was. EXIF thumbnails are for `updated_exif` to remove."""
    exif = metadata.without_thumbnail(carried.exif) if carried.exif else b""
    blank = without_streams(exif)
    chunks = tuple(
        (kind, without_streams(data)) for kind, data in carried.png_chunks if not data.startswith(b"Raw profile type ")
    )
    return replace(
        carried,
        exif=carried.exif if blank == exif else metadata.checked_block(blank),
        xmp=without_previews(carried.xmp),
        iptc=without_streams(carried.iptc),
        comment=without_streams(carried.comment),
        png_chunks=chunks,
    )


def _png_info(carried: Metadata, xmp: bytes) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for kind, data in carried.png_chunks:
        info.add(kind, data)
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return info


def _iptc_segment(iptc: bytes) -> bytes:
    """An APP13 marker with the IPTC record, the one part of Photoshop's resources that describes the photo."""
    if not 0 < len(iptc) < JPEG_SEGMENT - 30:
        return b""
    body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    return jpeg_segment(0xED, body)
