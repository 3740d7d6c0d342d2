"""Pictures: depths, modes, pages."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy
import tifffile
from PIL import Image

from .cases import Case


def drawn(kind: str, mode: str, pixels: Any, **options: Any) -> bytes:
    """A picture as Pillow writes it."""
    target = io.BytesIO()
    depth = {"I;16": "u2", "F": "f4", "I": "i4", "1": "?"}.get(mode, "u1")
    picture = Image.fromarray(numpy.array(pixels, depth))
    (picture if picture.mode == mode else picture.convert(mode)).save(target, kind, **options)
    return target.getvalue()


def tiff(pixels: Any, dtype: str, **options: Any) -> bytes:
    """A TIFF as tifffile writes it, without the description of shapes that only tifffile reads."""
    target = io.BytesIO()
    tifffile.imwrite(target, numpy.array(pixels, dtype), metadata=None, **options)
    return target.getvalue()


def png(
    depth: int, color: int, rows: list[bytes], width: int, *, height: int | None = None, more: bytes = b""
) -> bytes:
    """A PNG by its chunks; `height` is what the header says, the number of rows by default."""
    header = struct.pack(">IIBBBBB", width, height or len(rows), depth, color, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def cases() -> Iterator[Case]:
    yield from _png()
    yield from _tiff()
    yield from _others()


def _png() -> Iterator[Case]:
    grey, colors = [[0, 255]], [[[1, 200, 3], [4, 5, 6]]]
    yield Case("grey.png", drawn("PNG", "L", grey), "8-bit grey", ("L", grey))
    yield Case("rgb.png", drawn("PNG", "RGB", colors), "8-bit RGB", ("RGB", colors))
    yield Case("UPPER.v2.PNG", drawn("PNG", "L", grey), "an upper-case suffix", ("L", grey))
    transparent = [[[1, 2, 3, 0], [4, 5, 6, 128]]]
    yield Case("rgba.png", drawn("PNG", "RGBA", transparent), "colours beneath no opacity", ("RGBA", transparent))
    yield Case(
        "grey_alpha.png", drawn("PNG", "LA", [[[7, 0], [9, 128]]]), "grey with opacity", ("LA", [[[7, 0], [9, 128]]])
    )
    yield Case("bits.png", png(1, 0, [b"\x80"], 2), "1 bit", ("1", [[True, False]]))
    yield Case("2_bits.png", png(2, 0, [b"\x1b"], 4), "2-bit grey, scaled to 8 as PNG says", ("L", [[0, 85, 170, 255]]))
    yield Case("4_bits.png", png(4, 0, [b"\x0f"], 2), "4-bit grey, scaled to 8", ("L", [[0, 255]]))
    yield Case("16_bits.png", png(16, 0, [b"\xea\x60\0\1"], 2), "16-bit grey", ("I;16", [[60000, 1]]))
    deep = png(16, 2, [struct.pack(">3H", 60001, 2, 3)], 1)
    yield Case("16_bits_rgb.png", deep, "16 bits a channel", error='16 bits for each.*open_with="imageio"')
    yield Case(
        "16_bits_rgb_array.png", deep, "the same as an array", ("uint16", [[[60001, 2, 3]]]), open_with="imageio"
    )
    yield Case(
        "16_bits_alpha.png",
        png(16, 4, [struct.pack(">2H", 60001, 2)], 1),
        "16-bit grey with opacity",
        ("uint16", [[[60001, 2]]]),
        open_with="imageio",
    )
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
    yield Case(
        "palette.png", png(8, 3, [b"\1\0"], 2, more=palette), "a palette", ("RGB", [[[40, 50, 60], [10, 20, 30]]])
    )
    frames = [Image.new("L", (2, 2), shade) for shade in (0, 99, 200)]
    target = io.BytesIO()
    frames[0].save(target, "PNG", save_all=True, append_images=frames[1:])
    yield Case("animated.png", target.getvalue(), "an animated PNG", ("L", [[0, 0]] * 2), warns="has 3 pictures")
    picture = drawn("PNG", "L", [[n % 256 for n in range(99)]] * 99)
    yield Case("truncated.png", picture[:-60], "cut short", error="truncated|cut")
    yield Case("checksum.png", picture[:45] + b"\xff" + picture[46:], "a damaged byte", error='open_with="file"')
    bomb = png(1, 0, [], 200_000, height=200_000)
    for name, opener in (("bomb.png", None), ("bomb_array.png", "imageio")):
        yield Case(name, bomb, "a header of 40 gigapixels", error="more pixels.*MAX_IMAGE_PIXELS", open_with=opener)


def _tiff() -> Iterator[Case]:
    exact: dict[str, tuple[Any, str, str]] = {
        "u1": ([[200, 3]], "u1", "L"),
        "u2": ([[60000, 3]], "u2", "I;16"),
        "i2": ([[-5, 30000]], "i2", "I"),
        "i4": ([[-5, 2**31 - 1]], "i4", "I"),
        "f4": ([[1.5, -3.0]], "f4", "F"),
    }
    for name, (pixels, dtype, mode) in exact.items():
        yield Case(f"{name}.tif", tiff(pixels, dtype), f"pixels of type {dtype}", (mode, pixels))
        yield Case(
            f"{name}_array.tif",
            tiff(pixels, dtype),
            "the same as an array",
            (str(numpy.dtype(dtype)), pixels),
            open_with="imageio",
        )
    inexact: dict[str, tuple[Any, str]] = {
        "u4": ([[4000000000, 1]], "u4"),
        "i1": ([[-5, 1]], "i1"),
        "u8": ([[2**60 + 1, 1]], "u8"),
        "f8": ([[1e300, 1.5]], "f8"),
        "f2": ([[1.5, 2.0]], "f2"),
        "c8": ([[1 + 2j]], "c8"),
    }
    for name, (pixels, dtype) in inexact.items():
        content = tiff(pixels, dtype)
        yield Case(f"{name}.tiff", content, f"pixels of type {dtype}", error='open_with="imageio" gives')
        yield Case(
            f"{name}_array.tiff",
            content,
            "the same as an array",
            (str(numpy.dtype(dtype)), pixels),
            open_with="imageio",
        )
    channels = [[[60001, 2, 3], [4, 5, 6]]]
    deep = tiff(channels, "u2", photometric="rgb")
    yield Case("u2_rgb.tif", deep, "16 bits a channel", error='open_with="imageio" gives')
    yield Case("u2_rgb_array.tif", deep, "the same as an array", ("uint16", channels), open_with="imageio")
    planes = [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]]
    interleaved = numpy.moveaxis(numpy.array(planes), 0, -1).tolist()
    planar = tiff(planes, "u1", photometric="rgb", planarconfig="separate")
    yield Case("planar.tif", planar, "planes one after the other", ("RGB", interleaved))
    five = [[[201, 1, 2, 3, 4]]]
    yield Case(
        "five.tif",
        tiff(five, "u1", photometric="minisblack", planarconfig="contig"),
        "five channels",
        error='open_with="imageio"',
    )
    yield Case("white_is_zero.tif", tiff([[0, 255]], "u1", photometric="miniswhite"), "0 is white", ("L", [[255, 0]]))
    big_endian = io.BytesIO()
    tifffile.imwrite(big_endian, numpy.array([[60000, 3]], "u2"), byteorder=">", metadata=None)
    yield Case("big_endian.tif", big_endian.getvalue(), "big-endian", ("I;16B", [[60000, 3]]))
    packed = tiff([[60000, 3]] * 9, "u2", compression="zlib", predictor=True)
    yield Case("predictor.tif", packed, "compressed differences", ("I;16", [[60000, 3]] * 9))
    bigtiff = io.BytesIO()
    tifffile.imwrite(bigtiff, numpy.array([[200, 3]], "u1"), bigtiff=True, metadata=None)
    yield Case("bigtiff.tif", bigtiff.getvalue(), "BigTIFF", ("L", [[200, 3]]))
    stack = io.BytesIO()
    with tifffile.TiffWriter(stack) as writer:
        for value in (1, 2, 3):
            writer.write(numpy.full((2, 2), value, "u1"), contiguous=False, metadata=None)
    yield Case("stack.tif", stack.getvalue(), "three pages", ("L", [[1, 1], [1, 1]]), warns="has 3 pictures")
    yield Case("truncated.tif", tiff([[1] * 64] * 64, "u1")[:-2000], "cut short", error='open_with="file"')


def _others() -> Iterator[Case]:
    flat = [[128] * 8] * 8
    yield Case("grey.jpg", drawn("JPEG", "L", flat), "grey", ("L", flat))
    yield Case("grey.jpeg", drawn("JPEG", "L", flat), "the longer suffix", ("L", flat))
    cmyk = [[[255, 0, 0, 0]] * 8] * 8
    target = io.BytesIO()
    Image.fromarray(numpy.array(cmyk, "u1"), "CMYK").save(target, "JPEG", quality=100, subsampling=0)
    yield Case("cmyk.jpg", target.getvalue(), "four inks, as Adobe inverts them", ("CMYK", cmyk))
    exif = Image.Exif()
    exif[274] = 6
    turned = drawn("JPEG", "L", [[128] * 8] * 16, exif=exif)
    yield Case("turned.jpg", turned, "EXIF says to turn it: pixels are as stored", ("L", [[128] * 8] * 16))
    noise = numpy.random.default_rng(1).integers(0, 256, (64, 64)).tolist()
    yield Case("truncated.jpg", drawn("JPEG", "L", noise)[:-1000], "cut short", error="truncated|cut")
    palette = [[[10, 20, 30], [40, 50, 60]]]
    yield Case("palette.gif", drawn("GIF", "RGB", palette), "a palette", ("RGB", palette))
    frames = [Image.new("L", (2, 2), shade) for shade in (0, 99)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    yield Case("moving.gif", moving.getvalue(), "two frames", ("RGB", [[[0, 0, 0]] * 2] * 2), warns="has 2 pictures")
    yield Case("rgb.bmp", drawn("BMP", "RGB", palette), "rows from the bottom, padded", ("RGB", palette))
    yield Case("bits.bmp", drawn("BMP", "1", [[True, False]]), "1 bit", ("1", [[True, False]]))
    exact = drawn("WEBP", "RGBA", [[[1, 2, 3, 0], [4, 5, 6, 255]]], lossless=True, exact=True)
    yield Case("lossless.webp", exact, "lossless WebP", ("RGBA", [[[1, 2, 3, 0], [4, 5, 6, 255]]]))
    animated = io.BytesIO()
    Image.new("RGB", (2, 2)).save(
        animated, "WEBP", save_all=True, lossless=True, append_images=[Image.new("RGB", (2, 2), 255)]
    )
    yield Case("moving.webp", animated.getvalue(), "two frames", ("RGB", [[[0, 0, 0]] * 2] * 2), warns="has 2 pictures")
    yield Case("half.webp", exact[:20], "cut short", error='open_with="file"')
