"""Pictures, as Pillow images and as arrays."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import need, suffix_of

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


class PILOpener:
    """Pictures as Pillow images."""

    suffixes: ClassVar[tuple[str, ...]] = _PICTURES

    def recognizes(self, head: bytes) -> bool:
        begins = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
        return head.startswith(begins) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")

    def open(self, file: File) -> Any:
        need("a picture", file, "PIL")
        from PIL import Image

        with file:
            image = Image.open(io.BytesIO(file.readall()))
        image.load()
        return image


class ImageIOOpener:
    """Pictures as NumPy arrays, by imageio; used only by name, since pictures are Pillow images by default."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def options(self, file: File) -> Collection[str]:
        return {"index"}

    def open(self, file: File, **options: Any) -> Any:
        imageio = need("a picture", file, "imageio.v3", "imageio")
        with file:
            content = file.readall()
        return imageio.imread(content, extension=suffix_of(file.basename) or None, **options)
