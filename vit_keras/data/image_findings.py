"""What a scan shows of whole images: flat ones, what the crop cuts off, bit depths, odd files."""

import statistics
from collections.abc import Iterator, Sequence

from vit_keras.data.dataset import Finding
from vit_keras.data.lazy_images import FileRecord, LazyImages
from vit_keras.text import abbreviated_list, counted, one_line

MAX_CUT = 1 / 3  # of an image, that a crop may cut off without a finding
MAX_CUT_OF_MOST = 1 / 5  # of most images, without a line about it
UNUSUAL = 8  # times the usual side of an image, from which on another one is named
ROUNDING = 1e-9


def image_findings(images: LazyImages, classes: Sequence[str], split: str) -> list[Finding]:
    """A finding for each image of a split that is read, and that a person should look at.

    Args:
        images: of the split.
        classes: the name of each image's class.
        split: its name.
    """
    return [
        Finding(problem, record.path, split, name, detail)
        for record, name in zip(images.files, classes, strict=True)
        for problem, detail in _problems(record, images)
    ]


def kept_by_crop(record: FileRecord, size: tuple[int, int]) -> float:
    """The fraction of an image that remains when it is cropped to the aspect ratio of `size`."""
    height, width = record.height, record.width
    if record.orientation >= 5:  # turned by a quarter
        height, width = width, height
    ratio = (height * size[1]) / (width * size[0])
    return min(ratio, 1 / ratio)


def cut_off(images: LazyImages) -> list[str]:
    """A line if the crop cuts off more than a fifth of most images."""
    if images.resize_mode != "crop":
        return []
    least = 1 - MAX_CUT_OF_MOST - ROUNDING
    count = sum(kept_by_crop(record, images.size) < least for record in images.files)
    if count <= len(images.files) / 2:
        return []
    return [
        f"{count:,} of {counted(len(images.files), 'image[s]')} to train on lose more than a fifth "
        "to data.resize_mode=crop; data.resize_mode=pad keeps them whole, and "
        "data.image_size=[height,width] has their shape"
    ]


def unusual_sizes(images: LazyImages) -> list[str]:
    """A line if a few images are far larger or far smaller than the others."""
    sides = [max(record.height, record.width) for record in images.files]
    usual = statistics.median(sides) if sides else 0
    found = [
        f"{one_line(record.path)} ({record.width}x{record.height})"
        for record, side in zip(images.files, sides, strict=True)
        if not usual / UNUSUAL < side < usual * UNUSUAL
    ]
    if not found or len(found) > len(sides) / 10:  # a mixture, of which no size is unusual
        return []
    return [
        f"{counted(len(found), 'image[s] to train on [is|are]')} far from the usual "
        f"{usual:.0f} pixels of the longer side: {abbreviated_list(found)}; look whether they "
        "belong here"
    ]


def is_flat(record: FileRecord, background: str) -> bool:
    """Whether an image is of one colour over `data.background`."""
    if background in ("white", "black"):
        return record.flat_over in (background, "both")
    return record.flat_over == "both"


def _problems(record: FileRecord, images: LazyImages) -> Iterator[tuple[str, str]]:
    """(problem, detail) of each finding of an image."""
    options = images.options
    if is_flat(record, options.background):
        over = f" over data.background={options.background}" if record.has_alpha else ""
        yield "flat", f"of one colour{over}"
    kept = kept_by_crop(record, images.size)
    if images.resize_mode == "crop" and 1 - kept > MAX_CUT + ROUNDING:
        yield "cropped", f"{kept:.0%} of {record.width}x{record.height} remain"
    if options.decoder_version > 1 and not record.bits:
        taken = f"{options.bit_depth} of 16 bits taken"
        yield "bit_depth", f"{taken}, values up to {record.largest}"
    if record.remark:
        yield "odd_file", record.remark
