"""TIFF: where the parts of an image are in its file, and whether they have their checksum."""

import struct
import zlib
from typing import NamedTuple

BLOCK = 2**20  # bytes that are decompressed at a time
MAX_PIXEL_BYTES = 2**31  # of all strips, which may be the same few bytes of a file again and again
COMPRESSION = 259  # the tag; of these values it is zlib's, with a checksum that libtiff ignores
DEFLATE = (8, 32946)
PARTS = ((273, 279), (324, 325))  # tags: where strips, or tiles, begin and their lengths
SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by its type


class Directory(NamedTuple):
    """The directory of the first image of a file."""

    end: int  # of the directory and of the values of its tags
    is_last: bool  # there is no other image
    values: dict[int, list[int]]  # of the tags with the positions of pixels


def read_directory(content: bytes) -> Directory | None:
    """The first directory; None of a BigTIFF file.

    Raises:
        struct.error: the file ends before.
    """
    order = "<" if content.startswith(b"II") else ">"
    version, start = struct.unpack_from(f"{order}HI", content, 2)
    if version != 42:
        return None
    (count,) = struct.unpack_from(f"{order}H", content, start)
    last = start + 2 + 12 * count
    end, values = last + 4, {}
    for entry in range(start + 2, last, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", content, entry)
        size, place = number * SIZES.get(kind, 1), entry + 8
        if size > 4:
            (place,) = struct.unpack_from(f"{order}I", content, place)
            end = max(end, place + size)
        if tag in (COMPRESSION, *sum(PARTS, ())) and kind in (3, 4) and number < len(content):
            form = f"{order}{number}{'H' if kind == 3 else 'I'}"
            values[tag] = list(struct.unpack_from(form, content, place))
    (following,) = struct.unpack_from(f"{order}I", content, last)
    return Directory(end, not following, values)


def file_length(content: bytes) -> int | None:
    """The end of all that belongs to the image of a file; None if there are several."""
    directory = read_directory(content)
    if directory is None or not directory.is_last:
        return None
    end = max([directory.end, *(start + length for start, length in _parts(directory))])
    return end if abs(end - len(content)) > 1 else None  # parts begin at even places


def has_whole_pixels(content: bytes) -> bool:
    """Whether compressed pixels have the checksum of zlib, where they are compressed by it."""
    try:
        directory = read_directory(content)
    except struct.error:
        return True  # the decoder says what is wrong
    if directory is None or not {*DEFLATE} & {*directory.values.get(COMPRESSION, [])}:
        return True
    left = MAX_PIXEL_BYTES
    for start, length in _parts(directory):
        size = _decompressed_size(content[start : start + length], left)
        if size is None:
            return False
        left -= size
    return True


def _parts(directory: Directory) -> list[tuple[int, int]]:
    """(start, length) of each strip or tile."""
    values = directory.values
    return [
        part
        for starts, lengths in PARTS
        for part in zip(values.get(starts, []), values.get(lengths, []), strict=False)
    ]


def _decompressed_size(data: bytes, most: int) -> int | None:
    """In bytes; None if the data are damaged, or give more than `most`."""
    stream, size = zlib.decompressobj(), 0
    try:
        while data and not stream.eof and size <= most:
            size += len(stream.decompress(data, BLOCK))
            data = stream.unconsumed_tail
    except zlib.error:
        return None
    return size if stream.eof and size <= most else None
