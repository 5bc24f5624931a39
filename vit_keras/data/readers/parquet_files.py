"""The Parquet files of a data set as Hugging Face lays them out, and the split that each is of.

    data/train-00000-of-00004.parquet, data/test-00000-of-00001.parquet    by the files' names
    default/train/0000.parquet                                             or by their folders'

`data.path` is a folder, a file, a pattern such as `data/train-*.parquet`, or the name of a data set
on huggingface.co, `owner/name`, of which the Parquet files alone are fetched.
"""

import functools
import glob
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from vit_keras.config.schema import DataConfig
from vit_keras.data.readers import layout_names
from vit_keras.errors import SettingError
from vit_keras.text import abbreviated_list, first_line

HUB_NAME = re.compile(r"(?:hf://datasets/|https://huggingface\.co/datasets/)?([\w.-]+/[\w.-]+)/?")
SUFFIX = ".parquet"
SPLITS = ("train", "validation", "test")


class ParquetFile(NamedTuple):
    """A Parquet file, and the split that it is of; "" if there are none."""

    name: str  # within the data set
    path: Path
    split: str


def find(config: DataConfig) -> list[ParquetFile]:
    """The Parquet files of `data.path`, sorted by split and name.

    Raises:
        SettingError: there are none, or their splits are not clear.
    """
    root, paths = _paths(config)
    names = [path.relative_to(root).as_posix() for path in paths]
    splits = [_split_of(name) for name in names]
    if len({*splits}) > 1 and "" in splits:
        found, other = names[splits.index("")], next(filter(None, splits))
        raise SettingError(
            f"data.path={config.path}: {found} is named after no split, and other files are of "
            f"{other}; name those to read by a pattern, such as data.path='{root}/train*.parquet'"
        )
    if splits and "" not in splits and "train" not in splits:
        raise SettingError(
            f"data.path={config.path} has files of {' and '.join(sorted({*splits}))} and none of "
            "train; name a folder or a pattern with files to train on"
        )
    _check_one_configuration(config, names, splits)
    order = ("", *SPLITS)
    files = map(ParquetFile, names, paths, splits)
    return sorted(files, key=lambda file: (order.index(file.split), file.name))


def _paths(config: DataConfig) -> tuple[Path, list[Path]]:
    """The folder of the data set, and its Parquet files."""
    if not config.path:
        raise SettingError(
            "data.name=huggingface needs data.path: a folder, a file or a pattern of Parquet "
            "files, or the name of a data set on huggingface.co"
        )
    path = Path(config.path).expanduser()
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        return path, _below(path, config)
    if glob.has_magic(str(path)):
        found = sorted(Path(one) for one in glob.glob(str(path), recursive=True))
        found = [one for one in found if one.is_file()]
        if not found:
            raise SettingError(f"data.path={config.path} matches no file; check the pattern")
        return Path(os.path.commonpath([one.parent for one in found])), found
    if hub := HUB_NAME.fullmatch(str(config.path)):
        folder = _snapshot(hub[1], config)
        return folder, _below(folder, config)
    raise SettingError(
        f"data.path={config.path} is not there; name a folder, a file or a pattern of Parquet "
        "files, or owner/name of a data set on huggingface.co"
    )


def _below(folder: Path, config: DataConfig) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob(f"*{SUFFIX}"))
        if not any(map(layout_names.is_hidden, path.relative_to(folder).parts))
    ]
    if not found:
        raise SettingError(
            f"data.path={config.path} has no {SUFFIX} file; name a folder with some, or use "
            "data=folder for image files"
        )
    return found


def _snapshot(name: str, config: DataConfig) -> Path:
    """The folder that huggingface_hub keeps the Parquet files of a data set in."""
    try:
        return Path(_fetch(name, config.download))
    except ImportError:
        raise SettingError(
            f"data.path={config.path} is not there, and data sets of huggingface.co need "
            "huggingface_hub: pip install 'vit-keras-lab[records]'"
        ) from None
    except Exception as error:  # of huggingface_hub and of its client, without a common class
        way_out = (
            "check the name and the network, log in if the data set needs it (`hf auth login`)"
            if config.download
            else "data.download=true fetches it from huggingface.co"
        )
        raise SettingError(
            f"data.path={config.path} is neither a file here nor a data set that was fetched "
            f"before ({first_line(error)[:200]}); {way_out}, or name Parquet files"
        ) from None


@functools.cache  # several checks ask for it
def _fetch(name: str, download: bool) -> str:
    import huggingface_hub

    return huggingface_hub.snapshot_download(
        name,
        repo_type="dataset",
        allow_patterns=[f"*{SUFFIX}"],
        local_files_only=not download,
    )


def _split_of(name: str) -> str:
    """The split of a file by its name, or by the nearest folder that is named after one."""
    *folders, file = name.split("/")
    words = re.findall(r"[a-z]+", file.removesuffix(SUFFIX).lower())
    found = {split for split, own in layout_names.SPLIT_WORDS.items() if {*own} & {*words}}
    if len(found) == 1:
        return found.pop()
    return next(filter(None, map(layout_names.split_of, reversed(folders))), "")


def _check_one_configuration(config: DataConfig, names: list[str], splits: list[str]) -> None:
    """Refuse folders that have the same split each: they are data sets of their own."""
    folders = defaultdict(set)
    for name, split in zip(names, splits, strict=True):
        own = [part for part in name.split("/")[:-1] if not layout_names.split_of(part)]
        folders[split].add("/".join(own) or ".")
    for split, found in folders.items():
        if len(found) > 1:
            raise SettingError(
                f"data.path={config.path} has {split or 'Parquet'} files in "
                f"{abbreviated_list(sorted(found))}, which may be data sets of their own; name one "
                "of these folders, or files by a pattern such as 'folder/**/*.parquet'"
            )
