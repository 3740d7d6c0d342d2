"""Pictures, as Pillow images and as arrays; a value that a reader would change is an error that names the other reader.

Pillow has no type for many kinds of pixel that PNG and TIFF have, and reads some of these with fewer bits, without the
sign or without a channel.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers import comparing
from edge_vfs.openers.opener import Content, UnreadableContent, UnsavableValue, need, suffix_of, warn

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")

_FORMATS = (
    *("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP"),  # the formats of the suffixes; MPO is a kind of JPEG
    *("AVIF", "ICNS", "ICO", "JPEG2000", "PCX", "PPM", "PSD", "SGI", "TGA"),
)
"""Those that Pillow reads by itself: for EPS, it starts Ghostscript, whatever the file's name is."""

_FORMAT_OF = {
    **{".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".gif": "GIF", ".bmp": "BMP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}

_LOSSY = (".jpg", ".jpeg", ".webp")

_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")

_PNG = b"\x89PNG\r\n\x1a\n"


class PILOpener:
    """Pictures as Pillow images."""

    suffixes: ClassVar[tuple[str, ...]] = _PICTURES

    def recognizes(self, head: bytes) -> bool:
        begins = (_PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
        return head.startswith(begins) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")

    def open(self, file: File) -> Any:
        need("a picture", file, "PIL")
        from PIL import Image, UnidentifiedImageError

        Image.init()
        with file:
            content = file.readall()
        if _has_deep_channels(content):
            raise _inexact(file, "16 bits for each of several channels")
        try:
            image = Image.open(io.BytesIO(content), formats=[name for name in _FORMATS if name in Image.OPEN])
        except Image.DecompressionBombError as error:
            raise _too_large(file) from error
        except UnidentifiedImageError as error:
            if content.startswith((b"II", b"MM")):
                raise UnreadableContent(
                    f'Pillow does not know the pixels of {file.basename}; open_with="imageio" gives them as an array, '
                    'and open_with="file" the bytes'
                ) from error
            raise UnreadableContent(
                f'{file.basename} is not a picture of a format that Pillow may open; open_with="file" gives its bytes'
            ) from error
        if image.format == "TIFF":
            _check_tiff(file, image)
        else:
            image.load()
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            warn(f"{file.basename} has {pages} pictures, and the first is shown; image.seek(1) goes on to the next")
        return image

    def save_options(self, basename: str) -> Collection[str]:
        return {"quality"} if suffix_of(basename) in _LOSSY else ()

    def save(self, file: Content, value: Any, quality: int | None = None) -> None:
        need("a picture", file, "PIL", doing="saving")
        image = _image(value)
        suffix = suffix_of(file.basename)
        if suffix in (".jpg", ".jpeg") and quality is None:
            raise UnsavableValue("JPEG changes the values of pixels; quality=95 or less saves it with such changes")
        if quality is not None and not (type(quality) is int and 0 <= quality <= 100):
            raise UnsavableValue(f"quality must be a whole number from 0 to 100, not {quality!r}")
        if getattr(image, "n_frames", 1) > 1:
            raise UnsavableValue(f"it has {image.n_frames} pictures, of which one is saved; give image.copy() of one")
        besides = {"exif": _exif(image), "icc_profile": image.info.get("icc_profile")}
        settings: dict[str, Any] = {name: value for name, value in besides.items() if value}
        if quality is not None:
            settings["quality"] = quality
        elif suffix == ".webp":
            settings |= {"lossless": True, "exact": True}  # exact: with the colours of transparent pixels
        image.save(file, _FORMAT_OF.get(suffix, "PNG"), **settings)

    def difference(self, value: Any, opened: Any, quality: int | None = None) -> str | None:
        image = _image(value)
        if image is not value and quality is None:
            import numpy

            return comparing.difference(value, numpy.asarray(opened))
        for what in ("mode", "size"):
            if getattr(image, what) != getattr(opened, what):
                return f"it has the {what} {getattr(image, what)!r}, and comes back with {getattr(opened, what)!r}"
        if quality is None and _pixels(image) != _pixels(opened):
            return "some of its pixels come back with other values"
        if image.info.get("icc_profile") != opened.info.get("icc_profile"):
            return "its colour profile does not come back; remove image.info['icc_profile'] if it is not needed"
        if any(_tags(opened).get(tag) != value for tag, value in _tags(image).items()):
            return "its Exif tags do not come back as they are; image.getexif().clear() removes them"
        return None

    def alternatives(self, basename: str) -> Iterator[tuple[str, str | None]]:
        yield from ((".png", None), (".tif", None))
        yield from ((suffix_of(basename), "imageio"), (".png", "imageio"), (".tif", "imageio"))


def _image(value: Any) -> Any:
    """Return a value as a Pillow image; an array if Pillow has a type for its pixels."""
    from PIL import Image

    if isinstance(value, Image.Image):
        return value
    if not hasattr(value, "dtype") or not hasattr(value, "__array_interface__"):
        raise UnsavableValue(f"a picture is needed, a PIL.Image.Image or numpy.ndarray, not {type(value).__name__}")
    if value.dtype == bool and value.ndim == 2:
        return Image.fromarray(value.astype("uint8") * 255).convert("1")
    try:
        return Image.fromarray(value)
    except TypeError as error:
        raise UnsavableValue(
            f"Pillow has no type for an array of {value.dtype} with the shape {value.shape}"
        ) from error


_LAYOUT = frozenset({*range(254, 260), 262, 263, 266, 273, *range(277, 280), 282, 283, 284, 296, 297, 317, 320}) | {
    *(*range(322, 326), 330, 338, 339, 347, *range(529, 533), 34675)
}
"""Tags of a TIFF that say how its pixels are stored, which Pillow gives among those of Exif."""


_GROUPS = (0x8769, 0x8825)
"""Tags of Exif that lead to more tags: those of the camera and of the place."""


def _exif(image: Any) -> Any:
    """Return the Exif tags of an image, without those about the layout of a TIFF; None if there are none."""
    from PIL import Image

    exif = Image.Exif()
    for place, value in _tags(image).items():
        if isinstance(place, tuple):
            exif.get_ifd(place[0])[place[1]] = value
        else:
            exif[place] = value
    loaded = Image.Exif()
    loaded.load(exif.tobytes())  # which adds the tags that lead to the groups
    return loaded if _tags(image) else None


def _tags(image: Any) -> dict[Any, Any]:
    """Return the Exif tags of an image by their number, or by the numbers of their group and their own."""
    exif = image.getexif()
    tags = {tag: value for tag, value in exif.items() if tag not in _LAYOUT and tag not in _GROUPS}
    return tags | {(group, tag): value for group in _GROUPS for tag, value in exif.get_ifd(group).items()}


def _pixels(image: Any) -> tuple[bytes, bytes | None]:
    """Return the values of the pixels, and what they show where a palette or a transparent colour says it."""
    shows = image.mode in ("P", "PA") or "transparency" in image.info
    return image.tobytes(), image.convert("RGBA").tobytes() if shows else None


def _has_deep_channels(content: bytes) -> bool:
    """Return whether a PNG has several channels of 16 bits (its header, RFC 2083, section 4.1.1)."""
    return content.startswith(_PNG) and content[12:16] == b"IHDR" and content[24] == 16 and content[25] in (2, 4, 6)


def _check_tiff(file: File, image: Any) -> None:
    """Load a TIFF; raise `UnreadableContent` if its pixels are not those that its header (TIFF 6.0) states."""
    bits_tag, channels_tag, alpha_tag, kinds_tag = 258, 277, 338, 339
    unsigned, signed, multiplied = 1, 2, 1
    bits = max(image.tag_v2.get(bits_tag, (1,)))
    channels = image.tag_v2.get(channels_tag, 1)
    kind = max(image.tag_v2.get(kinds_tag, (unsigned,)))
    if channels > 1 and bits > 8:
        raise _inexact(file, f"{bits} bits for each of {channels} channels")
    if len(image.getbands()) != channels:
        raise _inexact(file, f"{channels} channels")
    if channels > 1 and kind == signed:
        raise _inexact(file, f"signed pixels in {channels} channels")
    image.load()
    if image.mode == "RGBA" and image.tag_v2.get(alpha_tag) in (multiplied, (multiplied,)):
        warn(
            f"{file.basename} has colors that are multiplied by their alpha, and Pillow divides them by it and rounds; "
            'open_with="imageio" gives them as they are'
        )
    if channels == 1 and kind == unsigned and bits == 32 and image.getextrema()[0] < 0:
        raise _inexact(file, "pixels above 2147483647")
    if channels == 1 and kind == signed and bits == 8 and image.getextrema()[1] > 127:
        raise _inexact(file, "pixels below 0 in 8 bits")


def _too_large(file: File) -> UnreadableContent:
    return UnreadableContent(
        f"{file.basename} has more pixels than Pillow opens, since they could fill the memory; "
        "PIL.Image.MAX_IMAGE_PIXELS = None before it is opened lifts the limit"
    )


def _inexact(file: File, what: str) -> UnreadableContent:
    return UnreadableContent(
        f'{file.basename} has {what}, which a Pillow image cannot hold; open_with="imageio" gives them as an array'
    )


class ImageIOOpener:
    """Pictures as NumPy arrays, by imageio; used only by name, since pictures are Pillow images by default."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def options(self, file: File) -> Collection[str]:
        return {"index"}

    def open(self, file: File, **options: Any) -> Any:
        imageio = need("a picture", file, "imageio.v3", "imageio")
        with file:
            content = file.readall()
        if content.startswith(_POSTSCRIPT):
            raise UnreadableContent(
                f"{file.basename} is a PostScript program, which is not run to see its picture; "
                'open_with="file" gives its bytes'
            )
        if _has_deep_channels(content):
            # imageio reads it by Pillow, with 8 bits.
            return need("a picture of 16 bits a channel", file, "imagecodecs").png_decode(content)
        try:
            array = imageio.imread(content, extension=suffix_of(file.basename) or None, **options)
        except Exception as error:
            raise _too_large(file) if type(error).__name__ == "DecompressionBombError" else error
        _warn_of_rest(file, content, array, whole="index" not in options)
        return array

    def save(self, file: Content, value: Any) -> None:
        imageio = need("a picture", file, "imageio.v3", "imageio", "numpy", doing="saving")
        if not hasattr(value, "dtype") or not hasattr(value, "__array_interface__"):
            raise UnsavableValue(f"an array of pixels is needed, not {type(value).__name__}")
        suffix = suffix_of(file.basename) or ".png"
        if suffix == ".png" and value.dtype == "uint16" and value.ndim == 3:
            # imageio writes it by Pillow, with 8 bits.
            file.write(need("a picture of 16 bits a channel", file, "imagecodecs", doing="saving").png_encode(value))
        elif suffix in (".tif", ".tiff"):
            picture = io.BytesIO()
            in_colour = value.ndim == 3 and value.shape[2] in (3, 4)
            tifffile = need("a picture", file, "tifffile", doing="saving")
            tifffile.imwrite(picture, value, photometric="rgb" if in_colour else "minisblack")
            file.write(picture.getbuffer())
        else:
            file.write(imageio.imwrite("<bytes>", value, extension=suffix))

    def alternatives(self, basename: str) -> Iterator[tuple[str, str | None]]:
        yield from ((".png", "imageio"), (".tif", "imageio"))


def _warn_of_rest(file: File, content: bytes, array: Any, *, whole: bool) -> None:
    """Warn of what imageio leaves out: further pictures, transparency, the colors of a palette.

    Args:
        file: the file, for the warning.
        content: its content.
        array: what imageio gives.
        whole: whether all pictures of the file could be in the array.
    """
    if content.startswith((b"II", b"MM")):
        _warn_of_rest_of_tiff(file, content, whole=whole)
        return
    from PIL import Image

    formats: list[str] = [name for name in ("PNG", "GIF", "WEBP") if name in Image.OPEN]
    if not content.startswith((_PNG, b"GIF8", b"RIFF")):
        return
    with Image.open(io.BytesIO(content), formats=formats) as image:
        pictures, has_alpha = getattr(image, "n_frames", 1), "transparency" in image.info
    if whole and pictures > 1 and content.startswith(b"RIFF"):  # of PNG and GIF, all come
        warn(f"{file.basename} has {pictures} pictures, and the first came; index=1 opens the next, index=... all")
    if has_alpha and array.shape[-1] != 4:
        warn(f'{file.basename} has transparent pixels, which came without that; open_with="pil" keeps it')


def _warn_of_rest_of_tiff(file: File, content: bytes, *, whole: bool) -> None:
    try:
        import tifffile
    except ModuleNotFoundError:
        return  # imageio reads it by Pillow
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        pictures, has_palette = len(tiff.series), tiff.pages.first.colormap is not None
    if whole and pictures > 1:
        warn(
            f"{file.basename} has {pictures} series of pictures of one size and type each, and the first came; "
            "index=1 opens the next"
        )
    if has_palette:
        warn(f'{file.basename} has a palette, whose indices came without its colors; open_with="pil" has both')
