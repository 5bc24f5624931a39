"""The time that `vit-keras estimate` says, beside that of the training itself.

    python benchmarks/estimate.py               # ten minutes; --cases names some of them

Each case is estimated and then trained, in this process, from reading the data to the test at the
end. Both take the time of a machine that does nothing else.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import argument_parser, parse_arguments
from PIL import Image
from sklearn.datasets import load_digits

import vit_keras
from vit_keras.config.schema import RunConfig
from vit_keras.training.estimate import estimate

ROOT = Path(__file__).parents[1]
PHOTOS = "75 photos"  # one step an epoch
CASES = {
    PHOTOS: ("recipe=folder", "train.epochs=60"),
    "digits": ("recipe=digits",),
    "MNIST": ("recipe=mnist", "data.limit=20000", "train.epochs=3"),
    "CIFAR-10": ("recipe=cifar10_small", "data.limit=5000", "train.epochs=3"),
    "fine-tuning": (
        "recipe=finetune_digits",
        f"pretrained.handle={ROOT / 'saved_models/cifar10_hour'}",
        "pretrained.baseline=false",
    ),
}
LOW, HIGH = 0.7, 1.4  # of estimate / training


def write_photos(folder):
    """75 images of three classes, of the size that photos are often shrunk to."""
    digits = load_digits(n_class=3)
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.target == label)[:25]:
            image = Image.fromarray((digits.images[index] * 255 / 16).astype("uint8"))
            image.resize((640, 480)).save(folder / str(label) / f"{index}.jpg")
    return folder


def epochs_of(words, epochs):
    """Overrides that train for so many epochs; of a fine-tuning in each stage."""
    stages = vit_keras.load_config(*words).stages
    names = [f"stages.{name}.epochs" for name in stages] or ["train.epochs"]
    return [f"{name}={epochs}" for name in names]


def measure(words, folder):
    """Seconds as estimated, and of the training."""
    config = replace(vit_keras.load_config(*words), run=RunConfig(dir=str(folder / "run")))
    estimated = estimate(config).seconds
    started = time.perf_counter()
    vit_keras.train_model(config)
    return estimated, time.perf_counter() - started


def main():
    options = argument_parser(__doc__)
    options.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    options.add_argument("--epochs", type=int, help="of each case, in place of its own")
    settings = parse_arguments(options, cases=["digits"], epochs=1)
    rows = []
    for case in settings.cases:
        with tempfile.TemporaryDirectory() as place:
            words = CASES[case]
            if case == PHOTOS:
                words = (*words, f"data.path={write_photos(Path(place) / 'photos')}")
            if settings.epochs:
                words = (*words, *epochs_of(words, settings.epochs))
            rows.append((case, *measure(words, Path(place))))
    print("| | estimate, s | training, s | ratio |\n| --- | --- | --- | --- |")
    for case, estimated, real in rows:
        print(f"| {case} | {estimated:.0f} | {real:.0f} | {estimated / real:.2f} |")
    wrong = [case for case, estimated, real in rows if not LOW <= estimated / real <= HIGH]
    if wrong and not settings.smoke:
        raise SystemExit(f"not within {LOW} to {HIGH}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
