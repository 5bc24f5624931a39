"""Images in a folder, one sub-folder a class: paths and labels, then pixels."""

from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.config import DataConfig
from vit_keras.errors import SettingError
from vit_keras.variants import height_and_width

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")


def class_names(config: DataConfig) -> list[str]:
    """The names of the sub-folders, in order.

    Raises:
        SettingError: `data.path` is not set, is no folder, or has no two classes in it.
    """
    if not config.path:
        raise SettingError(
            "data.name=folder needs data.path, a folder with a sub-folder of images for each class"
        )
    root = Path(config.path).expanduser()
    if not root.is_dir():
        raise SettingError(f"data.path={config.path} is no folder; name the one with the classes")
    names = sorted(item.name for item in root.iterdir() if item.is_dir() and item.name[0] != ".")
    if len(names) < 2:
        raise SettingError(
            f"data.path={config.path} has {len(names)} sub-folders, and a class each makes two or "
            "more; name the folder above the classes"
        )
    return names


def size(config: DataConfig) -> tuple[int, int]:
    """(height, width) that every image is brought to: `data.image_size`."""
    if config.image_size is None:
        raise SettingError(
            "data.image_size is not set, and a folder's images have no one size; set it, such as "
            "data.image_size=224"
        )
    return height_and_width(config.image_size, "data.image_size")


def files(config: DataConfig) -> tuple[list[Path], np.ndarray]:
    """Every image's path and label, class by class in the order of their names.

    Raises:
        SettingError: a class has no image.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names(config)):
        folder = Path(str(config.path)).expanduser() / name
        found = sorted(path for path in folder.iterdir() if _is_image(path))
        if not found:
            raise SettingError(
                f"data.path={config.path}: {name} has no image ({', '.join(SUFFIXES)}); put some "
                "there, or take the folder away"
            )
        paths += found
        labels += [label] * len(found)
    return paths, np.asarray(labels, np.int32)


def _is_image(path: Path) -> bool:
    """Hidden files are none: macOS puts `._photo.jpg` beside each photo on a foreign disk."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read(path: Path, size: tuple[int, int]) -> np.ndarray:
    """One image as it is meant to be seen, in three channels: (height, width, 3) uint8.

    Raises:
        SettingError: the file cannot be decoded.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            seen = _in_bytes(ImageOps.exif_transpose(image)).convert("RGB")
            return np.asarray(seen.resize(size[::-1], Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SettingError(f"{path} cannot be read ({error}); mend it or take it away") from None


def _in_bytes(image: Any) -> Any:
    """16 bits a pixel as 8, which Pillow would clip to white."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype("uint8"))
