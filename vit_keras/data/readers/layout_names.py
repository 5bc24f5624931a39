"""What the names in a folder of images mean: splits, folders of the system, kinds of files.

Only names are looked at here; which files are images is decided by their content, except for
endings that no image has.
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

# Endings of image files. Such a file is expected to be an image: it is reported if it is none.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif"),
    *(".jpe", ".jp2", ".j2k", ".tif", ".tiff", ".heic", ".heif", ".avif", ".ico"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".dib", ".icns", ".jxl"),
)
# Pictures that are not read: drawings, documents, and raw data of cameras.
UNREAD = (
    *(".svg", ".svgz", ".eps", ".ai", ".psd", ".xcf"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
)
SCIENTIFIC = (".dcm", ".npy")  # which are read where `data.value_range` is set
# Endings of files that people keep beside images, and that are not opened.
COMPANIONS = frozenset(
    f".{ending}"
    for ending in re.findall(
        r"\w+",
        """
        txt md rst json jsonl ndjson xml yaml yml toml ini cfg log html htm csv tsv
        pdf doc docx odt rtf xls xlsx ods ppt pptx db sqlite lnk url dat desktop theme
        py ipynb m r sh bat js css php zip tar gz tgz bz2 xz 7z rar
        npy npz pkl h5 hdf5 mat parquet tfrecord pt pth keras onnx
        mp4 mov avi mkv webm wav mp3 ogg flac m4a
        """,
    )
)
# What a system writes into every folder: a folder that holds nothing else counts as empty.
SYSTEM_FILES = ("thumbs.db", "desktop.ini")
# Folders of systems, which hold copies, thumbnails and what was deleted.
SYSTEM_FOLDERS = {
    "__macosx": "macOS",
    "$recycle.bin": "Windows",
    "recycler": "Windows",
    "system volume information": "Windows",
    "found.000": "Windows",
    "lost+found": "Linux",
    "@eadir": "a Synology NAS",
    "#recycle": "a Synology NAS",
    "#snapshot": "a Synology NAS",
    "@recycle": "a QNAP NAS",
    "@recently-snapshot": "a QNAP NAS",
    "__pycache__": "Python",
}

# Split -> the words that name its folder, in any case.
SPLIT_WORDS = {
    "train": ("train", "training", "trainset", "traindata"),
    "validation": ("val", "valid", "validation", "valset", "dev"),
    "test": ("test", "testing", "testset", "testdata"),
}
# Words beside them that mean nothing: `training_set`, `Test Images`, `seg_train`.
FILLERS = frozenset(
    re.findall(r"\w+", "set sets data dataset image images img imgs photos folder dir split seg")
)
# Those up to version 0.1, exactly so written.
LITERAL_SPLITS = {
    "train": ("train",),
    "validation": ("val", "validation", "valid"),
    "test": ("test",),
}


def is_hidden(name: str) -> bool:
    # macOS puts `._photo.jpg` beside a photo on a foreign disk
    return name.startswith(".")


def system_of(name: str) -> str:
    """The system that a folder of this name belongs to; empty if it may be a person's own."""
    return SYSTEM_FOLDERS.get(name.casefold(), "")


def not_an_image(name: str, suffixes: tuple[str, ...] | None = None) -> str:
    """Why a file is not opened, by its name alone; empty for one that its content decides on.

    Args:
        name: of the file.
        suffixes: the only endings to read, in lower case; by default none is left out but those of
            `COMPANIONS`.
    """
    name = name.lower()
    if suffixes is not None:
        return "" if name.endswith(suffixes) else "not among data.suffixes"
    ending = os.path.splitext(name)[1]
    if ending == ".npy":
        return "a NumPy file, which is read where data.value_range is set"
    return f"no image, by its ending {ending}" if ending in COMPANIONS else ""


def is_named_as_image(name: str) -> bool:
    """Whether the ending of a file says that it is a picture."""
    return name.lower().endswith((*SUFFIXES, *UNREAD))


def class_name(folder: str) -> str:
    """The name of a class: macOS and Linux write the same letters, é, by different characters."""
    return unicodedata.normalize("NFC", folder)


def similar_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in case or in spaces: (`cat`, `Cat`)."""
    groups = defaultdict(list)
    for name in names:
        groups[" ".join(name.casefold().split())].append(name)
    return [(other, first) for first, *others in groups.values() for other in others]


def split_folders(names: Iterable[str], literal: bool = False) -> dict[str, list[str]]:
    """Split -> the names that are of it, as `train`, `Training_Set`, `dogs_train`.

    A further word is allowed where it is the same in all of them: `dogs_train`, `dogs_test`.

    Args:
        names: of the folders beside each other.
        literal: whether only the names of `LITERAL_SPLITS` count.
    """
    found: dict[str, list[str]] = {split: [] for split in SPLIT_WORDS}
    if literal:
        for name in names:
            for split, words in LITERAL_SPLITS.items():
                found[split] += [name] if name in words else []
        return found
    keys = {name: key for name in names if (key := _split_and_stem(name))}
    stems = Counter(stem for _, stem in keys.values())
    usual = "" if "" in stems else max(stems, key=lambda stem: stems[stem], default="")
    is_shared = not usual or len({split for split, stem in keys.values() if stem == usual}) > 1
    for name, (split, stem) in keys.items():
        if stem == usual and is_shared:
            found[split].append(name)
    return found


def split_of(name: str) -> str:
    """The split that a folder of this name holds, whatever is beside it; empty if none."""
    split, stem = _split_and_stem(name) or ("", "")
    return "" if stem else split


def _split_and_stem(name: str) -> tuple[str, str] | None:
    """`dogs_train` -> ("train", "dogs"); None without exactly one word of a split."""
    words = re.findall(r"[^\W\d_]+|\d+", name.casefold())
    found = [split for word in words for split, own in SPLIT_WORDS.items() if word in own]
    if len(found) != 1:
        return None
    is_split = {word for own in SPLIT_WORDS.values() for word in own}
    return found[0], " ".join(w for w in words if w not in is_split and w not in FILLERS)
