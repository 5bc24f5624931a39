"""Layout of a folder of images: its splits, classes and files, found without opening a file.

    <path>/<class>/...                     split at random; a fifth is the test split
    <path>/{train,val,test}/<class>/...    split as it is; a missing val or test is drawn from train

A class is a folder, with all folders below it. `class_layout` finds where they are, and
`folder_files` what is in them: files that are no images of a class are listed with the reason.
Hidden files and folders are ignored. Symbolic links are followed if they stay within `data.path`,
or all of them with `data.follow_links=true`.
"""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import Finding
from vit_keras.data.readers import class_layout, folder_files, layout_names
from vit_keras.data.readers.class_layout import LITERAL, Layout
from vit_keras.data.readers.folder_files import FolderTree, FoundFile, ListingRules
from vit_keras.data.readers.layout_names import SCIENTIFIC, SUFFIXES
from vit_keras.errors import SettingError
from vit_keras.text import abbreviated_list, counted

MANIFEST = "split_manifest.csv"  # which `vit-keras split` writes beside the splits
ALLOW = "allow"


class ListedFile(NamedTuple):
    """A file that may be an image of a class."""

    path: str  # within `data.path`
    split: str  # "train", "validation", "test"; "" if the folder has no splits
    label: int
    reason: str  # why it cannot be opened; empty if it can
    group: str = ""  # that it stays together with; empty where there are none
    several: tuple[int, ...] | None = None  # with task=multilabel: its labels, in order

    @property
    def labels(self) -> tuple[int, ...]:
        """Its class; or all of its labels, which may be none."""
        return (self.label,) if self.several is None else self.several


class Listing(NamedTuple):
    """Everything that is in a folder, but for what is hidden."""

    files: list[ListedFile]  # sorted by split, class and name
    others: list[Finding]  # files that hold no image of a class
    class_names: list[str]
    layout: Layout


def root(config: DataConfig) -> Path:
    """The folder `data.path`.

    Raises:
        SettingError: `data.path` is not set, or is no folder.
    """
    if not config.path:
        raise SettingError(
            "data.name=folder needs data.path, a folder with a sub-folder of images for each class"
        )
    path = Path(config.path).expanduser()
    if not path.is_dir():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        table = ", or read a table by data=csv" if path.is_file() else ""
        raise SettingError(
            f"data.path={config.path} is no folder{where}; {_near(path)}name the one with the "
            f"classes{table}"
        )
    return path


def _near(path: Path) -> str:
    """`did you mean photos? Or `: a folder beside one that does not exist."""
    try:
        folders = [one.name for one in os.scandir(path.parent) if one.is_dir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, folders, n=1)
    return f"did you mean {path.parent / near[0]}? Or " if near and not path.exists() else ""


def listing_rules(config: DataConfig) -> ListingRules:
    """What is left out where the folder is listed."""
    suffixes = config.suffixes
    return ListingRules(
        boundary=None if config.follow_links else os.path.realpath(root(config)) + os.sep,
        suffixes=None
        if suffixes is None
        else tuple(f".{suffix.lower().lstrip('.')}" for suffix in suffixes),
        is_literal=config.layout == LITERAL,
        allowed=() if config.value_range is None else SCIENTIFIC,
    )


def find_layout(config: DataConfig) -> Layout:
    """Where the splits and the classes of `data.path` are.

    Raises:
        SettingError: the folder cannot be read in one way only; see `class_layout.find_layout`.
    """
    tree = FolderTree(root(config), f"data.path={config.path}", listing_rules(config))
    return class_layout.find_layout(tree, config.layout)


def splits(config: DataConfig) -> dict[str, str]:
    """The splits of the folder, each with its folder; {"": "."} if it has none.

    Raises:
        SettingError: see `find_layout`.
    """
    return {split: folder or "." for split, folder in find_layout(config).splits.items()}


def class_names(config: DataConfig) -> list[str]:
    """The names of the classes, sorted.

    Raises:
        SettingError: there are fewer than two classes, or splits with different classes.
    """
    return class_names_of(config, find_layout(config))


def class_names_of(config: DataConfig, layout: Layout) -> list[str]:
    """The names of the classes of a layout, which all its splits have; see `class_names`."""
    (first, names), *others = ((split, list(found)) for split, found in layout.folders.items())
    if len(names) < (1 if config.missing_classes == ALLOW else 2):
        passed_over = _passed_over(config, layout.splits[first])
        raise SettingError(
            f"data.path={config.path} has {counted(len(names), 'sub-folder[s]')} with images, one "
            f"for each class, and two or more classes are needed{_beside(config)}; name the folder "
            "that contains the classes"
            + (f" ({passed_over.path}: {passed_over.reason})" if passed_over else "")
        )
    for split, own in others:
        _check_same_classes(config, (layout.splits[first], names), (layout.splits[split], own))
    for name in names:
        if not name.isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in name):
            raise SettingError(
                f"data.path={config.path}: the class {name!a} is not named in UTF-8; rename it"
            )
    return names


def _beside(config: DataConfig) -> str:
    """What lies in the folder itself, where somebody may have meant another one."""
    if config.name != "folder":
        return ""
    with os.scandir(root(config)) as entries:
        is_file = [one.is_file() for one in entries]
    if not is_file:
        return " (the folder is empty)"
    files = sum(is_file)
    return f" ({counted(files, 'file[s] lie[s|]')} in it without a sub-folder)" if files else ""


def _passed_over(config: DataConfig, folder: str) -> FoundFile | None:
    """The first file of the sub-folders of `folder` that is not read, as of one more class."""
    if config.name != "folder":
        return None
    depth = len(Path(folder).parts) + 1
    files = folder_files.find_files(root(config), folder, listing_rules(config))
    inner = (file for file in files if len(Path(file.path).parts) > depth)
    return min((file for file in inner if not file.is_candidate), default=None)


def _check_same_classes(
    config: DataConfig, train: tuple[str, list[str]], other: tuple[str, list[str]]
) -> None:
    """Refuse a split without a class of the training split, unless allowed, or with another one."""
    (first, names), (folder, other_names) = train, other
    own, others = {*names}, {*other_names}
    missing = [name for name in names if name not in others and _is_selected(config, names, name)]
    extra = [name for name in other_names if name not in own]
    if config.missing_classes == ALLOW:
        missing = []
    if config.classes is not None:  # which leaves the extra ones out
        extra = []
    if not missing and not extra:
        return
    differences = [f"{folder} lacks {abbreviated_list(missing)}"] if missing else []
    differences += [f"{folder} also has {abbreviated_list(extra)}"] if extra else []
    ways_out = ["set data.missing_classes=allow to go on without"] if missing else []
    ways_out += ["name the classes to keep by data.classes"] if extra else []
    raise SettingError(
        f"data.path={config.path}: {first} and {folder} need the same classes, but "
        f"{' and '.join(differences)}; {', and '.join(ways_out)}"
    )


def list_files(config: DataConfig) -> list[ListedFile]:
    """The files that may be images of a class, sorted by split, class and name."""
    return list_folder(config).files


def list_folder(config: DataConfig) -> Listing:
    """All files of the folder: those that may be images of a class, and the others.

    Raises:
        SettingError: a class has no file that may be an image.
    """
    layout, rules, path = find_layout(config), listing_rules(config), root(config)
    names, files, others = class_names_of(config, layout), list[ListedFile](), list[Finding]()
    for split, label, name, folders in _class_folders(layout, names):
        found = sorted(
            file for folder in folders for file in folder_files.find_files(path, folder, rules)
        )
        candidates = [file for file in found if file.is_candidate]
        if folders and not candidates:
            _check_has_images(config, names, split, name, folders[0])
        several = (label,) if config.several_labels else None  # until the files are compared
        files += [
            ListedFile(file.path, split, label, file.reason, several=several) for file in candidates
        ]
        others += [
            Finding("ignored", file.path, split, name, file.reason)
            for file in found
            if not file.is_candidate
        ]
    owned = {folder for *_, folders in _class_folders(layout, names) for folder in folders}
    outside = sorted(folder_files.find_files(path, "", rules, owned))
    others += [_outside(file, layout) for file in outside if file.path != MANIFEST]
    for split, folder in layout.splits.items():
        if not any(file.split == split for file in files):
            raise SettingError(f"data.path={config.path}: {folder or '.'} has no image; add some")
    return Listing(files, others, names, layout)


def _class_folders(layout: Layout, names: list[str]) -> Iterator[tuple[str, int, str, list[str]]]:
    """(split, label, class, its folders) of each class in each split."""
    for split, folders in layout.folders.items():
        for label, name in enumerate(names):
            yield split, label, name, folders.get(name, [])


def _check_has_images(
    config: DataConfig, names: list[str], split: str, name: str, folder: str
) -> None:
    if not is_needed(config, names, split, name):
        return
    raise SettingError(
        f"data.path={config.path}: {folder} has no image ({', '.join(SUFFIXES)}); add some, or "
        f"{way_out(split)}"
    )


def way_out(split: str) -> str:
    """What to do about a class without images."""
    if split in ("", "train"):
        return "remove the class, or name the classes to keep by data.classes"
    return "set data.missing_classes=allow"


def _outside(file: FoundFile, layout: Layout) -> Finding:
    """A file that is in no class, with the reason."""
    reason = file.reason or "in no folder of a class"
    for folder in layout.unlabelled:
        if not file.reason and file.path.startswith(f"{folder}/"):
            reason = f"without a label: {folder} has no folder for each class"
    return Finding("ignored", file.path, "", "", reason)


def is_needed(config: DataConfig, names: list[str], split: str, name: str) -> bool:
    """Whether a split must have images of a class."""
    if split not in ("", "train") and config.missing_classes == ALLOW:
        return False
    return _is_selected(config, names, name)


def _is_selected(config: DataConfig, names: list[str], name: str) -> bool:
    """Whether `data.classes` keeps the class; without that setting all are kept."""
    if config.classes is None:
        return True
    return bool({name, str(names.index(name))} & set(map(str, config.classes)))


def layout_findings(listing: Listing) -> Iterator[Finding]:
    """What is unusual about the folders: one around the classes, names that are nearly the same."""
    layout = listing.layout
    if layout.base:
        yield Finding("inner_folder", layout.base, "", "", "the folder around the classes")
    for folder in layout.unlabelled:
        yield Finding("no_classes", folder, "", "", "it has no folder for each class")
    for name, other in layout_names.similar_names(listing.class_names):
        yield Finding("similar_names", name, "", name, "another class", other, "", other)
