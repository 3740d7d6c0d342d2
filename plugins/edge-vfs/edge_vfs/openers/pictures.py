"""Pictures, as Pillow images and as arrays; a value that a reader would change is an error that names the other reader.

Pillow has no type for many kinds of pixel that PNG and TIFF have, and reads some of these with fewer bits, without the
sign or without a channel.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import UnreadableContent, need, suffix_of, warn

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")

_FORMATS = (
    *("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP"),  # the formats of the suffixes; MPO is a kind of JPEG
    *("AVIF", "ICNS", "ICO", "JPEG2000", "PCX", "PPM", "PSD", "SGI", "TGA"),
)
"""Those that Pillow reads by itself: for EPS, it starts Ghostscript, whatever the file's name is."""

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


def _has_deep_channels(content: bytes) -> bool:
    """Return whether a PNG has several channels of 16 bits (its header, RFC 2083, section 4.1.1)."""
    return content.startswith(_PNG) and content[12:16] == b"IHDR" and content[24] == 16 and content[25] in (2, 4, 6)


def _check_tiff(file: File, image: Any) -> None:
    """Load a TIFF; raise `UnreadableContent` if its pixels are not those that its header (TIFF 6.0) states."""
    bits_tag, channels_tag, kinds_tag = 258, 277, 339
    unsigned, signed = 1, 2
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
    if channels == 1 and kind == unsigned and bits == 32 and image.getextrema()[0] < 0:
        raise _inexact(file, "pixels above 2147483647")
    if channels == 1 and kind == signed and bits == 8 and image.getextrema()[1] > 127:
        raise _inexact(file, "pixels below 0 in 8 bits")


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
        return imageio.imread(content, extension=suffix_of(file.basename) or None, **options)
