"""Image files made to break a decoder, or to take all memory or time of a computer."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
RGB_8_BITS = b"\x08\x02\0\0\0"
BLANK = bytes(40)


def picture(kind="PNG", **settings):
    """A good file of 16x16 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), "uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()


def chunk(kind, data, checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(*before, width=8, height=8, data=b"\0" * 25 * 8, checksum=None):
    """A PNG of black pixels with chunks before them."""
    header = chunk(b"IHDR", struct.pack(">II", width, height) + RGB_8_BITS)
    pixels = chunk(b"IDAT", zlib.compress(data), checksum)
    return PNG + header + b"".join(before) + pixels + chunk(b"IEND", b"")


def zeros(megabytes):
    """Compressed, a thousandth of it."""
    stream = zlib.compressobj(9)
    return b"".join(stream.compress(bytes(2**20)) for _ in range(megabytes)) + stream.flush()


def text_bomb(megabytes=8):
    return png(chunk(b"zTXt", b"Comment\0\0" + zeros(megabytes)))


def profile_bomb(megabytes=8):
    return png(chunk(b"iCCP", b"profile\0\0" + zeros(megabytes)))


def pixel_bomb(megabytes=8):
    """More pixels than its size says, with a wrong checksum, so that all would be looked at."""
    return PNG + b"".join(
        [
            chunk(b"IHDR", struct.pack(">II", 8, 8) + RGB_8_BITS),
            chunk(b"IDAT", zeros(megabytes), checksum=1),
            chunk(b"IEND", b""),
        ]
    )


def two_headers():
    """A small header, and then the one that Pillow takes."""
    return png(chunk(b"IHDR", struct.pack(">II", 12_000, 12_000) + RGB_8_BITS))


def icon(content):
    """A picture as an icon that says it is of 16x16."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(content), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + content


def gif(frames):
    """An animation of that many frames of 4x4."""
    first = io.BytesIO()
    Image.new("P", (4, 4), 1).save(first, "GIF")
    content = first.getvalue()
    start = content.rindex(b",\0\0\0\0")
    return content[:start] + content[start:-1] * frames + b";"


def tiff(*entries, following=0, count=None):
    """A TIFF of 8x8 grey pixels; entries of (tag, type, count, value) are added or replace some;
    (tag, None) takes one away.

    The pixels begin at 8, the directory at 72.
    """
    known = {
        256: (3, 1, 8),
        257: (3, 1, 8),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (3, 1, 8),
        279: (4, 1, 64),
    }
    known |= {tag: values for tag, *values in entries}
    rows = [
        struct.pack("<HHII", tag, *values)
        for tag, values in sorted(known.items())
        if values != [None]
    ]
    number = struct.pack("<H", len(rows) if count is None else count)
    directory = number + b"".join(rows) + struct.pack("<I", following)
    return struct.pack("<2sHI", b"II", 42, 72) + bytes(range(64)) + directory


def tiff_of_pages(count, side=8_000):
    """Pages of black pixels, all of them the same few bytes."""
    pixels = zeros(side * side // 2**20 + 1)
    tags = {
        256: side,
        257: side,
        258: 8,
        259: 8,
        262: 1,
        273: 8,
        277: 1,
        278: side,
        279: len(pixels),
    }
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start, size = 8 + len(pixels), 6 + len(rows)
    pages = [
        struct.pack("<H", len(tags)) + rows + struct.pack("<I", start + size * number)
        for number in range(1, count)
    ]
    last = struct.pack("<H", len(tags)) + rows + bytes(4)
    return struct.pack("<2sHI", b"II", 42, start) + pixels + b"".join(pages) + last


def tiled_tiff(side):
    """A TIFF of 8x8 pixels in one tile of another size, which PackBits has compressed."""
    tile = [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 64)]
    return tiff((259, 3, 1, 32_773), (273, None), (278, None), (279, None), *tile)


def jpeg_of_scans(count):
    """A progressive JPEG whose second scan comes again and again."""
    content = picture("JPEG", progressive=True)
    starts = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]
    again = content[starts[1] : starts[2]]
    again = again[: again.index(b"\xff\xc4")] if b"\xff\xc4" in again else again
    return content[: starts[1]] + again * count + content[starts[1] :]


def jpeg_of_size(width, height):
    """The header of a JPEG with another size in it."""
    content = picture("JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def with_exif(exif):
    """A JPEG with these bytes as its EXIF."""
    content = picture("JPEG")
    body = b"Exif\0\0" + exif
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def numpy_file(kind, shape):
    """A NumPy file that says so, and has few values."""
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    text = repr(header).encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(64)


BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<svg xmlns="http://www.w3.org/2000/svg"><text>&b;</text>
<image href="file:///etc/passwd"/><script>alert(1)</script></svg>"""

# Name -> (content, statuses): 200 where the image itself is whole.
FILES = {
    "no content": (b"", 422),
    "text": (b"no image", 422),
    "zeros": (bytes(1000), 422),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
    "an SVG of entities and scripts": (BILLION_LAUGHS, 422),
    "a program": (b"\x7fELF" + bytes(100), 422),
    "a zip file": (b"PK\x03\x04" + bytes(100), 422),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'id'\ntR.", 422),
    **{
        f"half of a {kind}": ((content := picture(kind))[: len(content) // 2], 422)
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO")
    },
    **{
        f"the first bytes of a {kind}": (picture(kind)[:20], 422)
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "ICO")
    },
    "a PNG of 10,000 megapixels": (png(width=100_000, height=100_000), 422),
    "a PNG of 2 megapixels in one row": (png(width=2_000_000, height=1), 422),
    "a PNG of 2^31 columns": (png(width=2**31, height=2**31), 422),
    "a PNG of two headers": (two_headers(), 422),
    "a PNG without a header": (PNG + chunk(b"IDAT", b"x") + chunk(b"IEND", b""), 422),
    "a PNG of no columns": (png(width=0), 422),
    "a PNG of one pixel": (png(width=1, height=1), 422),
    "a PNG with 8 MB of text": (text_bomb(), 200),
    "a PNG with a profile of 8 MB": (profile_bomb(), 200),
    "a PNG with 8 MB of pixels": (pixel_bomb(), 422),
    "a PNG with 10,000 texts": (png(*[chunk(b"tEXt", b"a\0b")] * 10_000), 200),
    "a chunk of 2^32 bytes": (PNG + b"\xff\xff\xff\xffIHDR" + bytes(20), 422),
    "a large PNG as an icon": (icon(png(width=12_000, height=12_000)), 422),
    "an icon of 65,535 pictures": (b"\0\0\1\0\xff\xff\x10\x10\0\0\1\0\x20\0" + bytes(60), 422),
    "an icon in an icon": (icon(icon(picture())), 422),
    "a GIF of 2,000 frames": (gif(2_000), 200),
    "a GIF of 4,295 megapixels": (b"GIF89a" + b"\xff" * 4 + picture("GIF")[10:], 422),
    "a JPEG of 4,294 megapixels": (jpeg_of_size(65_500, 65_500), 422),
    "a JPEG of 300 scans": (jpeg_of_scans(300), 422),
    "a JPEG with EXIF of noise": (with_exif(bytes(range(256)) * 8), 200),
    "a JPEG with an endless EXIF": (with_exif(b"MM\0*\0\0\0\x08\0\0\0\0\0\x08"), 200),
    "a TIFF whose directory comes again": (tiff(following=72), 200),
    "a TIFF of an empty tag": (tiff((254, 3, 0, 0)), 200),
    "a TIFF of 65,535 tags": (tiff(count=65_535), 422),
    "a TIFF of 4 billion strips": (tiff((273, 4, 2**32 - 1, 8)), 422),
    "a TIFF of 4 billion columns": (tiff((256, 4, 1, 2**32 - 1)), 422),
    "a TIFF of one huge tile": (tiled_tiff(12_000), 422),
    "a TIFF of a tile of 4 billion columns": (tiled_tiff(2**32 - 1), 422),
    "a TIFF of a compression that is none": (tiff((259, 3, 1, 9999)), 422),
    "a WebP of 268 megapixels": (
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff\x3f\0" * 2 + bytes(12),
        422,
    ),
    "a BMP of 2^31 rows": (b"BM" + bytes(12) + struct.pack("<Iii", 40, 8, -(2**31)) + BLANK, 422),
    "a PPM of 10^18 pixels": (b"P6 1000000000 1000000000 255\n" + bytes(100), 422),
    "a PPM of a million digits": (b"P6 " + b"9" * 900_000, 422),
    "an array with a pickle": (numpy_file("|O", (8, 8)), 422),
    "an array of 10^18 values": (numpy_file("<f8", (10**9, 10**9)), 422),
    "a DICOM file of noise": (bytes(128) + b"DICM" + bytes(range(256)), 422),
    "an AVIF of noise": (b"\0\0\0\x1cftypavif" + bytes(range(256)), 422),
    "a HEIC of noise": (b"\0\0\0\x1cftypheic" + bytes(range(256)), 422),
}
