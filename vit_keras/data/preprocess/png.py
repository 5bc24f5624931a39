"""Open a file, of a PNG also one whose metadata are damaged."""

import io
import zlib

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # the chunks of a PNG without which it has no pixels


def open_image(file):
    """A path or an open file -> (a Pillow image, how many bits a PNG says it uses or 0)."""
    if hasattr(file, "read"):
        content = file.read()
    else:
        with open(file, "rb") as opened:
            content = opened.read()
    if not content.startswith(PNG):
        return Image.open(io.BytesIO(content)), 0
    chunks = png_chunks(content)
    used = [max(data if len(data) in (1, 3) else data[:-1]) for data in chunks.get(b"sBIT", [])]
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Exception:  # for its metadata perhaps, without which it is read
        image = Image.open(io.BytesIO(without_metadata(chunks)))
        image.info["icc_profile"] = icc_profile(chunks)
    return image, used[0] if used else 0


def png_chunks(content):
    """Kind -> contents of the chunks of a PNG that are intact, or that its pixels need."""
    chunks: dict[bytes, list[bytes]] = {}
    start = len(PNG)
    while start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        body = content[start + 4 : end]
        is_intact = zlib.crc32(body) == int.from_bytes(content[end : end + 4], "big")
        if is_intact or body[:4] in PIXELS:
            chunks.setdefault(body[:4], []).append(body[4:])
        start = end + 4
    return chunks


def without_metadata(chunks):
    """A PNG with the chunks alone that the pixels and their orientation need."""
    content = PNG
    for kind in (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"):
        for data in chunks.get(kind, []):
            checksum = zlib.crc32(kind + data).to_bytes(4, "big")
            content += len(data).to_bytes(4, "big") + kind + data + checksum
    return content


def icc_profile(chunks):
    """The ICC profile of a PNG; None if there is none, or it is damaged."""
    for data in chunks.get(b"iCCP", []):
        try:
            return zlib.decompress(data[data.find(b"\0") + 2 :])
        except zlib.error:
            pass
    return None
