"""PNG chunks: checksums of the pixels, significant bits, and a copy without damaged metadata."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
KEPT = (*CRITICAL, b"tRNS", b"sBIT", b"eXIf")  # what the pixels and their orientation need
MAX_PROFILE = 2**24  # bytes
BLOCK = 2**20  # bytes that are decompressed at a time
MAX_PIXEL_BYTES = 8  # of RGBA with 16 bits


class Chunk(NamedTuple):
    """A chunk of a PNG file."""

    kind: bytes
    data: memoryview
    is_intact: bool  # by its checksum


def sample_depth(content: bytes) -> int:
    """The bits of a stored sample; 0 of a file that is no PNG."""
    return content[24] if content.startswith(SIGNATURE) and len(content) > 24 else 0


def read_chunks(content: bytes) -> Iterator[Chunk]:
    """All chunks up to IEND, or up to the first that does not end within the file."""
    view, position = memoryview(content), len(SIGNATURE)
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            return
        checksum = zlib.crc32(view[position + 4 : end])
        yield Chunk(kind, view[position + 8 : end], checksum == _integer(view[end : end + 4]))
        if kind == b"IEND":
            return
        position = end + 4


def stored_size(chunks: Iterable[Chunk]) -> tuple[int, int]:
    """(height, width) by the chunk IHDR; the largest of several, as Pillow takes the last one."""
    headers = [chunk.data for chunk in chunks if chunk.kind == b"IHDR" and len(chunk.data) >= 8]
    sizes = [struct.unpack_from(">II", header) for header in headers]
    return max((height for _, height in sizes), default=0), max((w for w, _ in sizes), default=0)


def has_whole_pixels(chunks: Sequence[Chunk]) -> bool:
    """Whether the pixels are as they were written, by the checksums, which Pillow does not check.

    Where that of a chunk is wrong, that of the compressed pixels decides.
    """
    pixels = [chunk for chunk in chunks if chunk.kind == b"IDAT"]
    if all(chunk.is_intact for chunk in pixels):
        return True
    height, width = stored_size(chunks)
    left = MAX_PIXEL_BYTES * height * (width + 1) + BLOCK  # 32 MB may decompress to 32 GB
    stream = zlib.decompressobj()
    try:
        for chunk in pixels:
            rest: bytes | memoryview = chunk.data
            while rest and left > 0:
                left -= len(stream.decompress(rest, BLOCK))
                rest = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof


def without_metadata(chunks: Iterable[Chunk]) -> tuple[bytes, bytes | None, list[str]]:
    """(a copy with intact chunks that the pixels need alone, the colour profile, what is left out).

    Pillow refuses a whole image for a long text or profile, or for a wrong checksum of either.
    """
    parts, profile, omitted = [SIGNATURE], None, []
    for kind, data, is_intact in chunks:
        if kind in CRITICAL or (kind in KEPT and is_intact):
            body = kind + data
            parts += [struct.pack(">I", len(data)), body, struct.pack(">I", zlib.crc32(body))]
            continue
        if kind == b"iCCP" and is_intact:
            profile = _profile(bytes(data))
        if kind != b"iCCP" or profile is None:
            omitted.append(kind.decode("latin-1"))
    return b"".join(parts), profile, list(dict.fromkeys(omitted))


def significant_bits(chunks: Iterable[Chunk]) -> int:
    """The bits of a sample by the chunk sBIT; 0 if the file does not say."""
    for kind, data, is_intact in chunks:
        if kind == b"sBIT" and is_intact and len(data):
            colours = data if len(data) in (1, 3) else data[:-1]  # without alpha
            return max(colours) if 0 < max(colours) <= 16 else 0
    return 0


def samples_of_16_bits(content: bytes) -> np.ndarray | None:
    """(x, y), (x, y, 3) or (x, y, 4) uint16 as stored; None if it is damaged.

    Pillow has no colours of more than eight bits.
    """
    cleaned, *_ = without_metadata(
        chunk for chunk in read_chunks(content) if chunk.kind in (*CRITICAL, b"tRNS")
    )
    array = cv2.imdecode(np.frombuffer(cleaned, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        return None
    if array.ndim == 2:
        return array
    order = cv2.COLOR_BGRA2RGBA if array.shape[-1] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(array, order)


def _profile(data: bytes) -> bytes | None:
    """The colour profile in a chunk iCCP: a name, 0, the method 0, compressed bytes."""
    compressed = data[data.find(b"\0") + 2 :]
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(compressed, MAX_PROFILE)
    except zlib.error:
        return None
    return profile if stream.eof else None


def _integer(data: memoryview) -> int:
    return int.from_bytes(data, "big")
