"""Draw augmented training images: `vit-keras show-augment data=cifar10 augment=heavy`."""

from pathlib import Path

from PIL import Image, PngImagePlugin

from vit_keras.cli import hydra_app
from vit_keras.config.schema import Config
from vit_keras.data.dataset import Splits
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.text import folder_name

MARK = "vit_keras augmentation sheet"  # in the PNG; only such a file may be overwritten


@hydra_app.main
def main(config):
    from vit_keras.data.splits import load_splits

    sheet_file(config)  # checked before the data are read
    splits = load_splits(config.data, config.train.seed)
    print(f"augmentation sheet: {write_sheet(config, splits).resolve()}")


def write_sheet(config: Config, splits: Splits, columns: int = 8) -> Path:
    """Draw augmented versions of training images of all classes into `sheet_file(config)`."""
    from vit_keras.augment import preview
    from vit_keras.data.splits import image_size

    images = splits.train.images[splits.train.spread(columns)]
    sheet = preview.augmentation_sheet(
        images, config.augment, seed=config.train.seed, size=image_size(config.data)
    )
    file = sheet_file(config)
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", MARK)
    with atomic.atomic_file(file) as new:
        sheet.save(new, format="PNG", pnginfo=mark)
    return file


def sheet_file(config: Config) -> Path:
    """Path of `augmentation-<data>.png` in `run.dir`, or in `run.root`.

    Raises:
        SettingError: there is another file of that name.
    """
    folder = Path(config.run.dir or config.run.root).expanduser()
    file = folder / f"augmentation-{folder_name(config.data.name)}.png"
    if file.exists() and not _is_ours(file):
        raise SettingError(
            f"{file} exists and is not an augmentation sheet; move it away, or set "
            f"run.root={folder} to another folder"
        )
    return file


def _is_ours(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            return image.info.get("Software") == MARK
    except OSError:
        return False
