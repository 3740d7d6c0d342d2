"""Pictures: their pixels are exact, or the error names the opener that gives them."""

from __future__ import annotations

import io
import struct
import subprocess
import warnings
import zlib
from typing import Any

import numpy
import pytest
import tifffile
from PIL import Image

from edge_vfs.openers import InexactWarning, UnreadableContent

from .opening import opened


def tiff(pixels: Any, kind: int, *, color: int = 1) -> bytes:
    """An uncompressed TIFF of an array of rows, columns and channels, in one strip; `kind` is its SampleFormat."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    content = pixels.tobytes()
    shorts = {256: [width], 257: [height], 258: [pixels.itemsize * 8] * channels, 259: [1], 262: [color], 273: [0]}
    shorts |= {277: [channels], 278: [height], 279: [len(content)], 284: [1], 339: [kind] * channels}
    aside = 8 + 2 + 12 * len(shorts) + 4
    lists = b""
    entries = []
    for tag, values in shorts.items():
        packed = struct.pack(f"<{len(values)}H", *values)
        if len(packed) > 4:
            packed, lists = struct.pack("<I", aside + len(lists)), lists + packed
        entries.append([struct.pack("<HHI", tag, 3, len(values)), packed.ljust(4, b"\0")])
    entries[list(shorts).index(273)][1] = struct.pack("<HH", aside + len(lists), 0)
    directory = struct.pack("<H", len(entries)) + b"".join(start + value for start, value in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + lists + content


def png(pixels: Any) -> bytes:
    """A PNG of 16 bits for each channel."""
    height, width, channels = pixels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def rows(*values: Any, kind: str) -> Any:
    return numpy.array([values, values], dtype=kind)


EXACT = {
    "u1": (rows(200, 3, kind="u1"), 1),
    "u2": (rows(60000, 3, kind="<u2"), 1),
    "i2": (rows(-5, 30000, kind="<i2"), 2),
    "i4": (rows(-5, 2**31 - 1, kind="<i4"), 2),
    "u4": (rows(5, 2**31 - 1, kind="<u4"), 1),
    "i1": (rows(5, 127, kind="i1"), 2),
    "f4": (rows(1.5, -2e30, kind="<f4"), 3),
    "rgb": (rows([1, 200, 3], [4, 5, 6], kind="u1"), 1),
}

INEXACT = {
    "u4": (rows(4000000000, 1, kind="<u4"), 1),
    "i1": (rows(-5, 1, kind="i1"), 2),
    "u2-rgb": (rows([60001, 2, 3], [4, 5, 6], kind="<u2"), 1),
    "u1-two": (rows([201, 1], [2, 3], kind="u1"), 1),
    "u2-two": (rows([60001, 1], [2, 3], kind="<u2"), 1),
    "u1-five": (rows([201, 1, 2, 3, 4], [5, 6, 7, 8, 9], kind="u1"), 1),
    "f8": (rows(1e300, 1.5, kind="<f8"), 3),
    "f2": (rows(1.5, 2, kind="<f2"), 3),
    "u8": (rows(2**60 + 1, 2, kind="<u8"), 1),
    "f4-rgb": (rows([1.5, 2, 3], [4, 5, 6], kind="<f4"), 3),
}


def content_of(pixels: Any, kind: int) -> bytes:
    return tiff(pixels, kind, color=2 if pixels.ndim == 3 and pixels.shape[2] > 2 else 1)


@pytest.mark.parametrize("name", EXACT)
def test_what_pillow_holds_is_exact(name: str) -> None:
    pixels, kind = EXACT[name]
    assert numpy.asarray(opened("a.tif", content_of(pixels, kind))).tolist() == pixels.tolist()


@pytest.mark.parametrize("name", INEXACT)
def test_what_pillow_does_not_hold_names_the_opener_that_does(name: str) -> None:
    pixels, kind = INEXACT[name]
    content = content_of(pixels, kind)
    with pytest.raises(UnreadableContent, match='open_with="imageio" gives them') as raised:
        opened("a.tif", content)
    assert "BytesIO" not in str(raised.value)
    array = opened("a.tif", content, "imageio")
    assert (array.dtype, array.tolist()) == (pixels.dtype, pixels.tolist())


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_16_bits_for_each_of_several_channels(channels: int) -> None:
    pixels = (numpy.arange(4 * channels) * 4001).reshape(2, 2, channels)
    content = png(pixels)
    with pytest.raises(UnreadableContent, match='16 bits for each of several channels.*open_with="imageio" gives them'):
        opened("a.png", content)
    array = opened("a.png", content, "imageio")
    assert (array.dtype, array.tolist()) == (numpy.uint16, pixels.tolist())
    grey = opened("a.png", png(pixels[:, :, :1]))
    assert numpy.asarray(grey).tolist() == pixels[:, :, 0].tolist()


@pytest.mark.parametrize("open_with", ["pil", "imageio"])
@pytest.mark.parametrize("name", ["a.png", "a.eps", "a.tif"])
def test_a_postscript_program_is_never_run(monkeypatch: pytest.MonkeyPatch, name: str, open_with: str) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **named: started.append(arguments))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    for content in (program, struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, len(program), 0, 0, 0, 0, 0xFFFF) + program):
        with pytest.raises(UnreadableContent, match='open_with="file"') as raised:
            opened(name, content, open_with)
        assert "BytesIO" not in str(raised.value)
    assert started == []


@pytest.mark.parametrize(("name", "kind"), [("a.tif", "TIFF"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG")])
def test_of_several_pictures_the_first_comes_with_a_warning(name: str, kind: str) -> None:
    target = io.BytesIO()
    pictures = [Image.new("RGB", (3, 2), (shade, 0, 0)) for shade in (0, 100, 200)]
    pictures[0].save(target, kind, save_all=True, append_images=pictures[1:])
    with pytest.warns(InexactWarning, match=rf"{name} has 3 pictures, and the first is shown; image\.seek\(1\)"):
        image = opened(name, target.getvalue())
    assert image.convert("RGB").getpixel((1, 1))[0] < 20
    image.seek(2)
    assert image.convert("RGB").getpixel((1, 1))[0] > 180


def test_a_compressed_tiff_keeps_its_bits() -> None:
    pixels = (numpy.arange(40_000) // 7).astype("<u2").reshape(200, 200)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        target = io.BytesIO()
        Image.fromarray(pixels).save(target, "TIFF", compression=compression)
        assert opened("a.tif", target.getvalue(), "imageio").tolist() == pixels.tolist()
        assert numpy.asarray(opened("a.tif", target.getvalue())).tolist() == pixels.tolist()


def test_a_single_picture_comes_without_a_warning() -> None:
    target = io.BytesIO()
    Image.new("RGB", (3, 2)).save(target, "GIF")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened("a.gif", target.getvalue()).size == (3, 2)


def written(image: Any, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def tiffs(*pictures: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    with tifffile.TiffWriter(target) as writer:
        for pixels in pictures:
            writer.write(pixels, metadata=None, **options)
    return target.getvalue()


def test_pixels_that_are_as_they_look() -> None:
    colors = numpy.arange(18, dtype="u1").reshape(2, 3, 3)
    inks = numpy.arange(24, dtype="u1").reshape(2, 3, 4)
    planar = tiffs(numpy.ascontiguousarray(colors.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numpy.asarray(opened("a.tif", planar)).tolist() == colors.tolist()
        assert opened("a.tif", planar, "imageio").tolist() == colors.transpose(2, 0, 1).tolist(), "as it is stored"
        for content in (
            tiffs(inks, photometric="separated"),
            tiffs(inks, photometric="rgb", extrasamples=["unassalpha"]),
        ):
            assert numpy.asarray(opened("a.tif", content)).tolist() == inks.tolist()
            assert opened("a.tif", content, "imageio").tolist() == inks.tolist()


@pytest.mark.parametrize(("bits", "packed", "values"), [(2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\xef", [0, 1, 14, 15])])
def test_grey_of_few_bits_is_stretched_to_8_by_pillow(bits: int, packed: bytes, values: list[int]) -> None:
    content = tiff(numpy.frombuffer(packed, "u1").reshape(1, -1), 1)
    for tag, value in ((256, 4), (258, bits)):
        start = content.index(struct.pack("<HHI", tag, 3, 1))
        content = content[: start + 8] + struct.pack("<I", value) + content[start + 12 :]
    assert opened("a.tif", content, "imageio").tolist() == [values]
    assert numpy.asarray(opened("a.tif", content)).tolist() == [[value * 255 // (2**bits - 1) for value in values]]


def test_colors_multiplied_by_alpha_warn() -> None:
    pixels = numpy.array([[[10, 20, 30, 100], [4, 5, 6, 255]]], "u1")
    content = tiffs(pixels, photometric="rgb", extrasamples=["assocalpha"])
    with pytest.warns(InexactWarning, match='multiplied by their alpha, .*open_with="imageio" gives them as they are'):
        opened("a.tif", content)
    assert opened("a.tif", content, "imageio").tolist() == pixels.tolist()


def test_what_imageio_leaves_out_is_in_a_warning() -> None:
    shades = [Image.new("RGB", (3, 2), (shade, 0, 0)) for shade in (0, 100, 200)]
    moving = written(shades[0], "WEBP", save_all=True, append_images=shades[1:], lossless=True)
    with pytest.warns(InexactWarning, match=r"a\.webp has 3 pictures, and the first came; index=1 opens the next"):
        assert opened("a.webp", moving, "imageio").shape == (2, 3, 3)
    assert opened("a.webp", moving, "imageio", index=2)[0, 0, 0] > 180
    assert opened("a.webp", moving, "imageio", index=...).shape == (3, 2, 3, 3)
    for kind, suffix in (("PNG", ".png"), ("GIF", ".gif"), ("TIFF", ".tif")):
        content = written(shades[0], kind, save_all=True, append_images=shades[1:])
        assert opened(f"a{suffix}", content, "imageio").shape == (3, 2, 3, 3), "all came"
    several = tiffs(numpy.zeros((2, 3), "u1"), numpy.ones((4, 5), "u2"))
    with pytest.warns(InexactWarning, match=r"a\.tif has 2 series of pictures .*, and the first came; index=1 opens"):
        assert opened("a.tif", several, "imageio").shape == (2, 3)
    assert opened("a.tif", several, "imageio", index=1).shape == (4, 5)


def test_transparency_and_palettes_that_imageio_leaves_out_are_in_a_warning() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    for kind, suffix in (("PNG", ".png"), ("GIF", ".gif")):
        content = written(image, kind, transparency=0)
        with pytest.warns(InexactWarning, match='has transparent pixels, which came without that; open_with="pil"'):
            opened(f"a{suffix}", content, "imageio")
        assert opened(f"a{suffix}", content).info["transparency"] == 0
        opened(f"a{suffix}", written(image, kind), "imageio")
    colors = numpy.zeros((3, 256), "u2")
    with pytest.warns(InexactWarning, match='has a palette, whose indices came without its colors; open_with="pil"'):
        opened("a.tif", tiffs(numpy.array([[0, 1]], "u1"), photometric="palette", colormap=colors), "imageio")
