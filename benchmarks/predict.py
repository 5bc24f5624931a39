"""Classify a folder of photos with `Predictor`, and one by one with `model.predict`.

    python benchmarks/predict.py [--run <dir>] [--data <folder>]

`ours` is `vit-keras predict`, from the files to the classes: decoding in threads, batches of a
fixed shape, and the compilation of the model, which is repeated in every round. `alone` is the loop
that a user writes first: `keras.utils.load_img` and `model.predict` of one image, on `--alone` of
the files, after a warm-up. The two take turns; the ratio is the median over the rounds.
"""

import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from figures import argument_parser, median_ratio, parse_arguments
from pictures import write_classes

import vit_keras
from vit_keras.predict import inputs

RELEASED = Path(__file__).parents[1] / "saved_models" / "cifar10_small"


def ours(run, files):
    """Images per second of `Predictor`, and the predicted classes."""
    predictor = vit_keras.Predictor(run)
    started = time.perf_counter()
    predictions = predictor.predict(files, top_k=1)
    speed = len(files) / (time.perf_counter() - started)
    return speed, [one.top[0].index for one in predictions]


def alone(model, files):
    """Images per second of `model.predict` image by image, and the predicted classes."""

    def predict(file):
        rows, columns, channels = model.input_shape[1:]
        mode = "grayscale" if channels == 1 else "rgb"
        size = dict(target_size=(rows, columns), interpolation="bilinear")
        image = keras.utils.load_img(file, color_mode=mode, **size)
        pixels = keras.utils.img_to_array(image)[None]
        return int(np.argmax(model.predict(pixels, verbose=0)))

    predict(files[0])
    started = time.perf_counter()
    classes = [predict(file) for file in files]
    return len(files) / (time.perf_counter() - started), classes


def main():
    options = argument_parser(__doc__)
    options.add_argument("--run", default=RELEASED)
    options.add_argument("--data", help="a folder; by default --images generated files of 100x100")
    options.add_argument("--images", type=int, default=2060)
    options.add_argument("--alone", type=int, default=200, help="number of images of the loop")
    options.add_argument("--rounds", type=int, default=3)
    settings = parse_arguments(options, images=20, alone=3, rounds=1)
    with tempfile.TemporaryDirectory() as folder:
        if settings.data is None:
            write_classes(Path(folder), settings.images, 100, 100)
        measure(settings, inputs.find_image_files([settings.data or folder]))


def measure(settings, files):
    # Spread over the folder: the first files may all be of one class and size.
    chosen = np.linspace(0, len(files) - 1, min(settings.alone, len(files))).astype(int)
    model = vit_keras.open_run(settings.run).model
    speeds = {"ours": [], "alone": []}
    for _ in range(settings.rounds):
        together, classes = ours(settings.run, files)
        one_by_one, expected = alone(model, [files[index] for index in chosen])
        speeds["ours"].append(together)
        speeds["alone"].append(one_by_one)
        agree = np.mean(np.array(classes)[chosen] == expected)
        print(
            f"{len(files)} files: {together:.0f} images/s; one by one {one_by_one:.1f}; "
            f"{together / one_by_one:.1f} x; same class for {agree:.1%}",
            flush=True,
        )
    ratio = median_ratio(*speeds.values())
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"ours {medians['ours']:.0f}, alone {medians['alone']:.1f} images/s, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
