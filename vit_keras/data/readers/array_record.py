"""Data sets of TFDS in files of ArrayRecord: lazy images, of which any is read without the others.

Images of some size are read from where they lie; small ones are copied first, see `record_copy`.

They are prepared by `builder.download_and_prepare(file_format="array_record")`. Reading them needs
neither TensorFlow nor the code of the data set.
"""

import functools
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import SourceData
from vit_keras.data.readers import record_copy, tfds_index, tfds_metadata
from vit_keras.data.readers.folder import read_scanned
from vit_keras.data.readers.record_listing import as_listing
from vit_keras.data.readers.record_scan import Example, ScannedRecord, Shard, split_name
from vit_keras.data.readers.tfds_metadata import TEST_SPLITS, Features
from vit_keras.errors import SettingError
from vit_keras.text import first_line

# Bytes of a record on average: finding one takes 10 microseconds whatever its size, which is a
# fifth of decoding 3 kB, and nothing beside a photo. Small ones are copied, as those of Parquet.
SMALL = 16_000
ROWS = 64  # read at a time in a scan: their images are in memory
OPEN_FILES = 256  # at a time; most systems allow a process 1024
# Of a reader that is asked for single records: the next ones are not read ahead.
OPTIONS = {"options": "readahead_buffer_size:0", "file_reader_buffer_size": 4096}


def read(config: DataConfig, size: tuple[int, int]) -> SourceData:
    """The training and the test split as lazy images, and a finding for each damaged one.

    Args:
        config: of a data set that is prepared.
        size: (X, Y) of the images.

    Raises:
        SettingError: the data set is damaged, or a package is missing.
    """
    features, folder = tfds_index.features(config), tfds_index.prepared(config)
    assert folder is not None
    if features.channels not in (1, 3):
        raise SettingError(
            f"data.name={config.name} has images of {features.channels} channels, which are not "
            "read from array_record; prepare it with file_format='tfrecord'"
        )
    source = ArrayRecordImages(folder, features, config.name)
    is_copied = _is_small(source)
    found = _scan(source, config, is_copied)
    images = record_copy.CopiedImages(found) if is_copied else source
    names = tfds_index.class_names(config) or []
    listing, scanned = as_listing(found, int, names, config)
    return read_scanned(config, images, listing, scanned, size, is_grey=features.channels == 1)


def _scan(
    source: "ArrayRecordImages", config: DataConfig, is_copied: bool
) -> dict[Shard, list[ScannedRecord]]:
    """The records of the training split, and of the first other one that has labels."""
    kind = f"{source.features.image} {source.features.label}"
    shards = source.shards()

    def scanned(name: str, split: str) -> dict[Shard, list[ScannedRecord]]:
        parts = [Shard(path.name, path, split, count) for path, count in shards[name].items()]
        return record_copy.scan(parts, source.examples, kind, config, is_copied)

    train = scanned("train", "train")
    for name in (name for name in TEST_SPLITS if name in shards):
        test = scanned(name, "test")
        if all(label >= 0 for records in test.values() for label, _ in records):
            return train | test
    return train  # the labels of a competition's test split are -1


def _is_small(source: "ArrayRecordImages") -> bool:
    """Whether finding an image in its file takes long beside decoding it."""
    files = {path: n for parts in source.shards().values() for path, n in parts.items()}
    return sum(path.stat().st_size for path in files) < SMALL * sum(files.values())


class ArrayRecordImages:
    """The encoded images of the files of a folder, by the file and the number of a record.

    Args:
        folder: of a prepared data set.
        features: its image and its label.
        name: of the data set, for messages.

    Raises:
        SettingError: a package is missing.
    """

    def __init__(self, folder: Path, features: Features, name: str) -> None:
        self.folder, self.features, self.name = folder, features, name
        # Of TFDS, which imports no TensorFlow for it.
        self._example = _imported("tensorflow_datasets.proto", name).tf_example_pb2.Example
        module = _imported("array_record.python.array_record_module", name)
        # Without a reference to this object, with which they are closed.
        self._reader = functools.lru_cache(OPEN_FILES)(
            lambda file: module.ArrayRecordReader(str(folder / file), **OPTIONS)
        )

    def read(self, path: str) -> bytes:
        file, row = split_name(path)
        try:
            return self._image(self._parse(self._reader(file).read([row])[0]))
        except Exception as error:  # of array_record and protobuf, without a common class
            raise OSError(first_line(error)) from None

    def place(self, path: str) -> str:
        return str(self.folder / path)

    def shards(self) -> dict[str, dict[Path, int]]:
        """The files of each split, each with its number of images."""
        return tfds_metadata.shards(self.folder / "dataset_info.json", self.name)

    def examples(self, shard: Shard) -> Iterator[Example]:
        """The encoded image and the label of each record of a file, in order."""
        try:
            reader = self._reader(shard.name)
            if (count := reader.num_records()) != shard.count:
                raise ValueError(f"{count} records, and there were {shard.count}")
            for start in range(0, count, ROWS):
                for record in reader.read(start, min(start + ROWS, count)):
                    features = self._parse(record)
                    label = features[self.features.label].int64_list.value[0]
                    yield self._image(features) or None, label
        except Exception as error:
            raise SettingError(
                f"{shard.path} is damaged ({first_line(error)}); delete {self.folder} and "
                f"prepare {self.name} again"
            ) from None

    def _parse(self, record: bytes) -> Any:
        return self._example.FromString(record).features.feature

    def _image(self, features: Any) -> bytes:
        return features[self.features.image].bytes_list.value[0]


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise SettingError(
            f"data.name={name} is prepared as array_record, which needs {package} ({error}): "
            "pip install 'vit-keras-lab[records]'"
        ) from None
