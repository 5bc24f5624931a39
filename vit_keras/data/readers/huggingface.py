"""Read Parquet files of encoded images, as Hugging Face's hub has them, by random access.

The images are copied once into the cache, see `record_copy`, and looked at on the way. After that
they are lazy like files of a folder: decoded when they are needed, in the same order and with the
same result.
"""

from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, SourceData
from vit_keras.data.readers import parquet_columns, parquet_files, record_copy
from vit_keras.data.readers.folder import read_scanned
from vit_keras.data.readers.parquet_columns import Columns
from vit_keras.data.readers.record_listing import as_listing
from vit_keras.data.readers.record_scan import Shard
from vit_keras.data.resize import requested_size
from vit_keras.errors import SettingError

NO_LABEL = -1  # of an image whose label is not published


def read(config: DataConfig) -> SourceData:
    """The splits of the files as lazy images, and a finding for each bad row.

    Raises:
        SettingError: the files cannot be read, or copied; or a row is bad and `data.on_bad_file` is
            fail.
    """
    size, names = requested_size(config), class_names(config)
    shards, columns = _labelled_shards(config), _columns(config)
    found = record_copy.scan(
        shards,
        lambda shard: parquet_columns.examples(shard.path, columns),
        f"{columns.image} {columns.label}",
        config,
    )
    numbers = {name: number for number, name in enumerate(names)}

    def number_of(label: Any) -> int | None:
        name = _name_of(label, columns)
        if name is None or columns.names is not None:
            return None if name is None else label
        return numbers[name]

    listing, scanned = as_listing(found, number_of, names, config)
    return read_scanned(config, record_copy.CopiedImages(found), listing, scanned, size)


def info(config: DataConfig) -> DatasetInfo:
    return DatasetInfo(requested_size(config), config.channels or 3, len(class_names(config)))


def class_names(config: DataConfig) -> list[str]:
    """The names that the schema has; else the labels that there are, sorted."""
    columns = _columns(config)
    if columns.names is not None:
        return list(columns.names)
    found = {label for shard in _shards(config) for label in _labels(shard, columns)}
    names = sorted(one for one in found if one not in (None, NO_LABEL, ""))
    if len(names) < 2:
        raise SettingError(
            f"data.path={config.path} has {f'the one label {names[0]}' if names else 'no label'} "
            f"in its column {columns.label}, and two or more are needed; name another by "
            "data.label_column"
        )
    return [str(name) for name in names]


def image_counts(config: DataConfig) -> dict[str, int]:
    columns, counts = _columns(config), dict[str, int]()
    for shard in _labelled_shards(config):
        name = shard.split or "train"
        counts[name] = counts.get(name, 0) + sum(
            _name_of(label, columns) is not None for label in _labels(shard, columns)
        )
    return counts


def _shards(config: DataConfig) -> list[Shard]:
    return [
        Shard(file.name, file.path, file.split, parquet_columns.row_count(file.path))
        for file in parquet_files.find(config)
    ]


def _labelled_shards(config: DataConfig) -> list[Shard]:
    """The shards without those of a split of which no image has a label, as of a competition.

    Raises:
        SettingError: no image to train on has a label.
    """
    shards, columns = _shards(config), _columns(config)
    labelled = {
        shard.split
        for shard in shards
        if any(_name_of(label, columns) is not None for label in _labels(shard, columns))
    }
    if not labelled & {"", "train"}:
        raise SettingError(
            f"data.path={config.path}: no row to train on has a label in {columns.label}; name "
            "another column by data.label_column"
        )
    return [shard for shard in shards if shard.split in labelled]


def _columns(config: DataConfig) -> Columns:
    """The columns of the images and labels, which all files have.

    Raises:
        SettingError: they differ.
    """
    (first, *others) = parquet_files.find(config)
    columns = parquet_columns.columns(first.path, config)
    for other in others:
        if (own := parquet_columns.columns(other.path, config)) != columns:
            raise SettingError(
                f"data.path={config.path}: {other.name} has the columns {own.image} and "
                f"{own.label}, or classes, that differ from those of {first.name}; name files of "
                "one kind by a pattern"
            )
    return columns


def _labels(shard: Shard, columns: Columns) -> list[Any]:
    return parquet_columns.labels(shard.path, columns)


def _name_of(label: Any, columns: Columns) -> str | None:
    """The class of a label as it is stored; None if it is none."""
    if label in (None, NO_LABEL, ""):
        return None
    if columns.names is None:
        return str(label)
    is_class = isinstance(label, int) and 0 <= label < len(columns.names)
    return columns.names[label] if is_class else None
