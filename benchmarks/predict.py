"""Classify photos with `vit-keras predict`, by ONNX Runtime and by Keras, and with a plain loop.

    python benchmarks/predict.py [--run <dir>] [--data <folder>]

`one photo` is the whole command in a process of its own, from the shell to the class, in seconds.
`onnx` and `keras` are images per second of a folder by `Predictor`, from the files to the classes:
decoding in threads, and for Keras the compilation of the model, which is repeated in every round.
`alone` is the loop that a user writes first: `keras.utils.load_img` and `model.predict` of one
image, on `--alone` of the files, after a warm-up. They take turns; a ratio is the median over the
rounds. The run is copied and exported first.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from figures import argument_parser, median_ratio, parse_arguments
from pictures import write_classes

import vit_keras
from vit_keras.export.exporter import export_run
from vit_keras.predict import inputs

RELEASED = Path(__file__).parents[1] / "saved_models" / "cifar10_small"
ENGINES = ("onnx", "keras")


def one_photo(run, file, engine):
    """Seconds of the command for one file, warm: a first one is not counted."""
    command = [sys.executable, "-m", "vit_keras", "predict", run, file, "--engine", engine]
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return seconds[1]


def folder(run, files, engine):
    """Images per second of `Predictor`, and the predictions."""
    predictor = vit_keras.Predictor(run, engine=engine)
    started = time.perf_counter()
    predictions = predictor.predict(files, top_k=1)
    return len(files) / (time.perf_counter() - started), predictions


def classes(predictions):
    return np.array([one.top[0].index for one in predictions])


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
    with tempfile.TemporaryDirectory() as place:
        run = shutil.copytree(settings.run, Path(place) / "run")
        export_run(run, "onnx")
        if settings.data is None:
            write_classes(Path(place) / "photos", settings.images, 100, 100)
        files = inputs.find_image_files([settings.data or f"{place}/photos"])
        measure_one_photo(run, files[0], settings.rounds)
        measure_folder(run, files, settings)


def measure_one_photo(run, file, rounds):
    seconds = {engine: [] for engine in ENGINES}
    for _ in range(rounds):
        for engine in ENGINES:
            seconds[engine].append(one_photo(run, file, engine))
    ratio = median_ratio(seconds["keras"], seconds["onnx"])
    medians = ", ".join(
        f"{name} {statistics.median(times):.2f} s" for name, times in seconds.items()
    )
    print(f"one photo: {medians}, ratio {ratio:.1f}", flush=True)


def measure_folder(run, files, settings):
    # Spread over the folder: the first files may all be of one class and size.
    chosen = np.linspace(0, len(files) - 1, min(settings.alone, len(files))).astype(int)
    model = vit_keras.open_run(run).model
    speeds = {name: [] for name in (*ENGINES, "alone")}
    for _ in range(settings.rounds):
        (onnx, by_onnx), (by, by_keras) = (folder(run, files, engine) for engine in ENGINES)
        one_by_one, expected = alone(model, [files[index] for index in chosen])
        for name, speed in zip(speeds, (onnx, by, one_by_one), strict=True):
            speeds[name].append(speed)
        largest = max(
            abs(a.confidence - b.confidence) for a, b in zip(by_onnx, by_keras, strict=True)
        )
        agree = np.mean(classes(by_keras) == classes(by_onnx))
        agree_alone = np.mean(classes(by_keras)[chosen] == expected)
        print(
            f"{len(files)} files: onnx {onnx:.0f}, keras {by:.0f}, alone {one_by_one:.1f} "
            f"images/s; same class as keras: onnx {agree:.2%} (confidences within {largest:.0e}), "
            f"alone {agree_alone:.1%}",
            flush=True,
        )
    medians = ", ".join(f"{name} {statistics.median(all):.1f}" for name, all in speeds.items())
    ratios = (median_ratio(speeds["onnx"], speeds[name]) for name in ("keras", "alone"))
    print("{} images/s; onnx {:.1f} x keras, {:.1f} x alone".format(medians, *ratios))


if __name__ == "__main__":
    main()
