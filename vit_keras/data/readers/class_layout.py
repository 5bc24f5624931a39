"""Where the splits and the classes of a tree of folders are; on a disk or in a zip.

    <class>/...                      split at random
    {train,val,test}/<class>/...     split as it is
    <folder>/...                     either of these in a folder around them

Two questions cannot be answered by the names, and are asked: whether folders with the same
sub-folders are splits or classes, and what a folder beside `train` is.
"""

import posixpath
from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from vit_keras.config.quoting import quote_override
from vit_keras.data.readers import layout_names
from vit_keras.data.readers.layout_names import SPLIT_WORDS
from vit_keras.errors import SettingError
from vit_keras.text import abbreviated_list
from vit_keras.validators import check_choice

AUTO, CLASSES, LITERAL = LAYOUTS = ("auto", "classes", "literal")
# Of the sub-folders of two folders, how many are in both: from here on they are asked about.
NEARLY_THE_SAME = 0.5
IMAGES, OTHERS, EMPTY = "images", "other files", "nothing"


class AmbiguousLayoutError(SettingError):
    """The names of the folders can mean two things; a setting says which."""


class Tree(Protocol):
    """Folders within a data set, by their paths; the data set itself is "".

    Attributes:
        name: how messages name it.
    """

    name: str

    def folders(self, folder: str) -> list[str]:
        """The names of its sub-folders, sorted, without hidden ones and those of a system."""

    def check_links(self, folder: str) -> None:
        """Refuse sub-folders that are links out of the data set, which are not followed."""

    def holds(self, folder: str) -> str:
        """What is in it and below: `images`, `other files` alone, or `nothing`."""

    def count_images(self, folder: str) -> int:
        """The number of images in the folder itself."""


class Layout(NamedTuple):
    """Where the splits and the classes are."""

    base: str  # the folder around them; "" if it is the data set's own
    splits: dict[str, str]  # split -> folder; {"": base} if there are none
    folders: dict[str, dict[str, list[str]]]  # split -> class -> folders
    unlabelled: list[str]  # folders of a split that have no classes


def find_layout(tree: Tree, asked: Any = AUTO) -> Layout:
    """The layout of `tree`.

    Args:
        tree: the folders.
        asked: `data.layout`: `auto` goes by the names; with `classes` each folder is a class;
            `literal` takes names as version 0.1 did; a dictionary names the folder of each split.

    Raises:
        SettingError: two folders are of one split, or no split is there to train on.
        AmbiguousLayoutError: the names can mean two things.
    """
    if isinstance(asked, Mapping):
        base, splits = "", _given_splits(tree, asked)
    else:
        check_choice("data.layout", asked, LAYOUTS)
        base = "" if asked == CLASSES else unwrapped(tree, "")
        found = {} if asked == CLASSES else _named_splits(tree, base, asked == LITERAL)
        splits = _unwrapped_splits(tree, found)
    if not splits:
        if asked == AUTO:
            _check_not_splits(tree, base)
        splits = {"": base}
    folders = {
        split: _class_folders(tree, folder, asked == LITERAL) for split, folder in splits.items()
    }
    unlabelled = [
        split for split in folders if split != "train" and split and _is_unlabelled(folders, split)
    ]
    return Layout(
        base,
        {split: folder for split, folder in splits.items() if split not in unlabelled},
        {split: classes for split, classes in folders.items() if split not in unlabelled},
        [splits[split] for split in unlabelled],
    )


def unwrapped(tree: Tree, folder: str, classes: Collection[str] | None = None) -> str:
    """`folder`, or the one further in if single folders are around the classes or splits.

    A folder of other files beside it (`docs/`) does not count, an empty one does.

    Args:
        tree: the folders.
        folder: to begin with.
        classes: in the folder of a split, the names that a single folder is a class by.
    """
    while True:
        tree.check_links(folder)
        names = [name for name in tree.folders(folder) if tree.holds(_in(folder, name)) != OTHERS]
        if len(names) != 1 or layout_names.class_name(names[0]) in (classes or ()):
            return folder
        inner = _in(folder, names[0])
        below = tree.folders(inner)
        is_split = classes is None and layout_names.split_of(names[0]) == "train"
        if not below or tree.count_images(inner) >= len(below):  # fewer are strays
            return folder
        if is_split and not layout_names.split_folders(below)["train"]:
            return folder
        folder = inner


def _unwrapped_splits(tree: Tree, found: Mapping[str, str]) -> dict[str, str]:
    """The folders of splits, each without a further folder around its classes."""
    if not found:
        return {}
    train = unwrapped(tree, found["train"], ())
    classes = _class_folders(tree, train, False)
    return {
        split: train if split == "train" else unwrapped(tree, folder, classes)
        for split, folder in found.items()
    }


def _given_splits(tree: Tree, asked: Mapping) -> dict[str, str]:
    """The folders that `data.layout={train: A, test: B}` names."""
    splits = {}
    for name, folder in asked.items():
        split = next((split for split, words in SPLIT_WORDS.items() if name in words), None)
        if type(folder) is int:  # as YAML reads the name 2024
            folder = str(folder)
        if split is None or split in splits or not isinstance(folder, str):
            raise SettingError(
                f"data.layout={dict(asked)} needs a folder for train, and may have one for "
                "validation and test: 'data.layout={train: photos, test: more}'"
            )
        splits[split] = posixpath.normpath(folder)
        if splits[split].startswith(("/", "..")):
            raise SettingError(f"data.layout={dict(asked)}: {folder} is not within {tree.name}")
    if "train" not in splits:
        raise SettingError(f"data.layout={dict(asked)} has no train; add train: <folder>")
    for split in splits:
        if tree.holds(splits[split]) == EMPTY:
            raise SettingError(
                f"data.layout={dict(asked)}: {tree.name} has no {splits[split]} with images; name "
                "a folder within it"
            )
    return {split: splits[split] for split in SPLIT_WORDS if split in splits}


def _named_splits(tree: Tree, base: str, is_literal: bool) -> dict[str, str]:
    """The splits by their folders' names, in order; none if there is no training split."""
    names = _class_candidates(tree, base, is_literal)
    found = layout_names.split_folders(names, is_literal)
    if not any(tree.folders(_in(base, name)) for name in found["train"]):
        _check_train(tree, names, found, is_literal)
        return {}
    others = [name for name in names if not any(name in folders for folders in found.values())]
    train, *_ = found["train"]
    if others:
        raise AmbiguousLayoutError(
            f"{tree.name} has {others[0]} beside {train}, so that {train} may be a class or a "
            f"split; set '{_example(base, found)}' if it is a split, or data.layout=classes"
        )
    for split, folders in found.items():
        if len(folders) > 1:
            raise AmbiguousLayoutError(
                f"{tree.name} has {' and '.join(folders)}, which are both the {split} split; "
                f"choose one by '{_example(base, found)}'"
            )
    return {split: _in(base, folders[0]) for split, folders in found.items() if folders}


def _check_train(
    tree: Tree, names: list[str], found: dict[str, list[str]], is_literal: bool
) -> None:
    """Refuse splits without one to train on, and splits without classes."""
    if names and len(found["validation"]) + len(found["test"]) == len(names):
        raise SettingError(
            f"{tree.name} has {' and '.join(names)}, and no train/<class>/ to train on; add it, or "
            "name the folder with the classes"
        )
    is_split = sum(map(bool, found.values())) > 1 and sum(map(len, found.values())) == len(names)
    if is_split and not is_literal:
        raise AmbiguousLayoutError(
            f"{tree.name} has {' and '.join(names)}, which are named as splits and have no folder "
            "for each class in them; sort their images into such folders, or set "
            "data.layout=classes if these are the classes"
        )


def _example(base: str, found: Mapping[str, list[str]]) -> str:
    pairs = (
        f"{split}: {quote_override(_in(base, names[0]))}" for split, names in found.items() if names
    )
    return f"data.layout={{{', '.join(pairs)}}}"


def _check_not_splits(tree: Tree, base: str) -> None:
    """Ask whether folders that all have nearly the same sub-folders are classes."""
    names = _class_candidates(tree, base, False)
    below = []
    for name in names:
        folder = _in(base, name)
        below.append(set(map(layout_names.class_name, tree.folders(folder))))
        if len(below[-1]) < 2 or tree.count_images(folder):
            return
    if len(names) < 2 or not all(_are_alike(*pair) for pair in pairwise(below)):
        return
    raise AmbiguousLayoutError(
        f"{tree.name}: {abbreviated_list(names)} have the same sub-folders "
        f"({abbreviated_list(sorted(below[0]))}), as splits have; say which is which by "
        f"'{_example(base, {'train': names[:1], 'test': names[1:]})}', or set data.layout=classes "
        "if they are the classes"
    )


def _are_alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= max(2, NEARLY_THE_SAME * len(one | other))


def _class_candidates(tree: Tree, folder: str, is_literal: bool) -> list[str]:
    """The sub-folders of `folder` but those that hold other files alone, as `docs/`."""
    tree.check_links(folder)
    return [
        name
        for name in tree.folders(folder)
        if is_literal or tree.holds(_in(folder, name)) != OTHERS
    ]


def _class_folders(tree: Tree, folder: str, is_literal: bool) -> dict[str, list[str]]:
    """Class -> its folders, sorted; two if its name is written in two ways that look the same."""
    found = defaultdict(list)
    for name in _class_candidates(tree, folder, is_literal):
        found[name if is_literal else layout_names.class_name(name)].append(_in(folder, name))
    return dict(sorted(found.items()))


def _is_unlabelled(folders: dict[str, dict[str, list[str]]], split: str) -> bool:
    """Whether a split has no class's folder: its images alone, perhaps in one further folder."""
    return len(folders[split]) < 2 and not {*folders[split]} & {*folders["train"]}


def _in(folder: str, name: str) -> str:
    return posixpath.join(folder, name)
