"""See what an augmentation does: `vit-keras show-augment data=cifar10 augment=heavy`."""

from pathlib import Path

from PIL import Image, PngImagePlugin

from vit_keras.cli import hydra_app
from vit_keras.config.schema import Config
from vit_keras.data.dataset import Splits
from vit_keras.errors import SettingError
from vit_keras.io import atomic

MARK = "vit_keras augmentation sheet"  # in the file, so that it may be written again


@hydra_app.main
def main(config):
    from vit_keras.data.splits import load_splits

    file_of(config)  # before the data are read
    splits = load_splits(config.data, config.train.seed)
    print(f"augmentation sheet: {write_sheet(config, splits).resolve()}")


def write_sheet(config: Config, splits: Splits, columns: int = 8) -> Path:
    """Draw the first training images of a run into `file_of(config)`, and give its path."""
    from vit_keras.augment import preview
    from vit_keras.data.splits import image_size

    images = splits.train.images[:columns]
    sheet = preview.augmentation_sheet(
        images, config.augment, seed=config.train.seed, size=image_size(config.data)
    )
    file = file_of(config)
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", MARK)
    with atomic.atomic_file(file) as new:
        sheet.save(new, format="PNG", pnginfo=mark)
    return file


def file_of(config: Config) -> Path:
    """`augmentation-<data>.png` in `run.dir`, or in `run.root`.

    Raises:
        SettingError: something else has that name.
    """
    folder = Path(config.run.dir or config.run.root).expanduser()
    file = folder / f"augmentation-{config.data.name}.png"
    if file.exists() and not _is_ours(file):
        raise SettingError(
            f"{file} is there and no augmentation sheet; move it away, or set run.root={folder} to "
            "another folder"
        )
    return file


def _is_ours(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            return picture.info.get("Software") == MARK
    except OSError:
        return False
