"""Read weight files: a path -> names and arrays, and the model's metadata in the files beside them.

No file is ever unpickled.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from vit_keras.config import renamed_settings
from vit_keras.config.schema import DataConfig
from vit_keras.errors import SettingError
from vit_keras.pretrained import model_config, tfhub
from vit_keras.text import first_line

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
# Models with a head, and the vision towers, have a prefix before the names of the ViT's weights.
PREFIX = re.compile(
    r"^(?:(?:vit|deit|dinov2|dinov2_with_registers|vision_model)\.(?!classifier)|model\.(?=layer\.))"
)


@dataclass
class WeightFile:
    """The weights of a file with their original names.

    Attributes:
        path: of the file or folder.
        weights: name -> float32 array.
        metadata: what the file states about the model: fields of `Architecture`, `image_size`,
            `num_classes` and `data`, how images are read.
        is_saved_model: whether it is a SavedModel, whose logits can be compared.
    """

    path: Path
    weights: dict[str, np.ndarray]
    metadata: dict[str, Any] = field(default_factory=dict)
    is_saved_model: bool = False


def read(path: Path) -> WeightFile | None:
    """Read the weights at `path`; None for a SavedModel that is no known ViT.

    Raises:
        SettingError: no known kind of file, or a damaged one.
    """
    if path.suffix in PICKLES:
        raise _pickle(path)
    for is_kind, reader in READERS:
        if is_kind(path):
            with _damage(path):
                return reader(path)
    raise _unreadable(path)


def _pickle(path: Path) -> SettingError:
    return SettingError(
        f"handle={path} is a pickle, which can run arbitrary code when it is opened; "
        "convert it to safetensors where it comes from (safetensors.torch.save_file)"
    )


def _unreadable(path: Path) -> SettingError:
    """An error that names the missing file, or else the supported kinds of files."""
    for kind, needed in (("config.yaml", "best.keras"), ("model.safetensors", "config.json")):
        if _has(kind)(path):
            return SettingError(
                f"handle={path} has {kind} and no {needed}; add that file, or use another handle"
            )
    if path.is_dir() and (pickles := sorted(p for p in path.iterdir() if p.suffix in PICKLES)):
        return _pickle(pickles[0])
    return SettingError(
        f"handle={path} has no weights that can be read; use a SavedModel folder, a run "
        "or .keras file of vit_keras, a Google .npz, a .safetensors file, or a folder of Hugging "
        "Face, timm or keras-hub with its config.json"
    )


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn any exception of a library on a damaged file into a one-line `SettingError`."""
    try:
        yield
    except (SettingError, ImportError):
        raise
    except Exception as error:  # zipfile, NumPy, h5py, safetensors: no common base class
        raise SettingError(
            f"handle={path} is damaged ({first_line(error)[:200]}); download it again"
        ) from error


def _npz(path: Path) -> WeightFile:
    if not zipfile.is_zipfile(path):  # else NumPy suggests opening it as a pickle
        raise ValueError("no zip archive, which an .npz is")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return WeightFile(path, _floats(path, dict(archive)))
    except ValueError as error:
        if "allow_pickle" in str(error):  # an array of Python objects
            raise _pickle(path) from None
        raise


def _safetensors(path: Path) -> WeightFile:
    return WeightFile(path, _floats(path, _tensors(path)), model_config.read(path.parent))


def _open_clip(path: Path) -> WeightFile:
    return _safetensors(path / "open_clip_model.safetensors")


def _hugging_face(path: Path) -> WeightFile:
    """A single file, or the shards that an index lists."""
    index = path / "model.safetensors.index.json"
    shards = ["model.safetensors"]
    if index.exists():
        shards = sorted(set(model_config.read_json(index)["weight_map"].values()))
    weights: dict[str, np.ndarray] = {}
    for shard in shards:
        if not (path / shard).is_file() or Path(shard).name != shard:
            raise SettingError(f"handle={path} lacks {shard}; download it again")
        weights |= _tensors(path / shard)
    return WeightFile(path, _floats(path, weights), model_config.read(path))


def _tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return {PREFIX.sub("", name): value for name, value in load_file(path).items()}


def _keras_hub(path: Path) -> WeightFile:
    config = model_config.read_json(path / "config.json")["config"]
    metadata = {
        "norm_epsilon": config["layer_norm_epsilon"],
        "image_size": config["image_shape"][:2],
    }
    weights = _h5(path / "model.weights.h5")
    task = path / "task.json"
    if task.exists():
        head = model_config.read_json(task)["config"]
        if head.get("intermediate_dim") is not None or head.get("pooling") != "token":
            raise SettingError(
                f"handle={path} has a keras-hub head with pooling={head.get('pooling')} and "
                f"intermediate_dim={head.get('intermediate_dim')}, which is not supported; save "
                "only its backbone (classifier.backbone.save_to_preset)"
            )
        heads = _h5(path / "task.weights.h5")
        weights |= {name: value for name, value in heads.items() if name.startswith("layers/dense")}
    return WeightFile(path, _floats(path, weights), metadata)


def _h5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    weights: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                weights.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return weights


def _saved_model(path: Path) -> WeightFile | None:
    weights = tfhub.vit_weights(path)
    if weights is None:
        return None
    return WeightFile(path, _floats(path, weights), is_saved_model=True)


def _own(path: Path) -> WeightFile:
    """A `.keras` file, or the best model of a run."""
    import keras

    from vit_keras.model.vit import describe

    file = path / "best.keras" if path.is_dir() else path
    if not zipfile.is_zipfile(file):  # Keras reports a truncated file as missing
        raise ValueError(f"{file.name} is no zip archive, as a .keras file is")
    model = keras.models.load_model(file, compile=False)
    try:
        metadata = describe(model)
    except SettingError:
        raise SettingError(
            f"handle={path} is a Keras model that vit_keras did not make, and no weights can be "
            "read from it; use a ViT in one of the formats listed in load_pretrained"
        ) from None
    metadata.pop("num_classes")
    if (path / "config.yaml").is_file():  # a run
        metadata["data"] = _data_of_run(path / "config.yaml")
    return WeightFile(
        path, {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}, metadata
    )


def _data_of_run(config: Path) -> DataConfig:
    settings: Any = OmegaConf.to_container(OmegaConf.load(config))
    data = renamed_settings.current_tree(settings).get("data") or {}
    known = [item.name for item in fields(DataConfig)]
    return DataConfig(**{name: value for name, value in data.items() if name in known})


def _floats(path: Path, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    result = {}
    for name, value in weights.items():
        if value.dtype.kind not in "fV" or not value.size:  # V: bfloat16 of ml_dtypes
            continue  # counters etc.; a needed weight is then reported missing
        result[name] = np.asarray(value, "float32")
        if not np.isfinite(result[name]).all():
            raise SettingError(
                f"handle={path}: {name} has values that are not finite; download it again"
            )
    return result


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda path: path.is_dir() and all((path / name).exists() for name in names)


READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path], WeightFile | None]], ...] = (
    (lambda path: path.is_file() and path.suffix == ".npz", _npz),
    (lambda path: path.is_file() and path.suffix == ".safetensors", _safetensors),
    (lambda path: path.is_file() and path.suffix == ".keras", _own),
    (_has("saved_model.pb"), _saved_model),
    (_has("best.keras"), _own),
    (_has("config.json", "model.weights.h5"), _keras_hub),
    (_has("config.json", "model.safetensors"), _hugging_face),
    (_has("config.json", "model.safetensors.index.json"), _hugging_face),
    (_has("open_clip_model.safetensors"), _open_clip),
)
