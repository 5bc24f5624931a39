"""Embed a folder beside predicting it, and probe a small backbone beside fine-tuning it.

    python benchmarks/embed.py [--run <dir>] [--images 10000] [--data <folder of classes>]

`embed` writes the embeddings of a folder as Parquet, by `vit-keras embed`'s own function, and
`predict` classifies the same files with `Predictor`, both by Keras from the files on, in turns,
with the compilation of the model repeated in every round. The ratio is the median over the rounds.
Then kNN and linear-probe accuracy of the run's features with their seconds, on sign language digits
(--data, or VIT_KERAS_PHOTOS) and on CIFAR-10, and the test accuracy of fine-tuning on the former.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from figures import argument_parser, median_ratio, parse_arguments
from pictures import write_classes

import vit_keras
from vit_keras.evaluation.probe import describe, probe
from vit_keras.predict import inputs
from vit_keras.predict.embed_files import embed_files
from vit_keras.predict.embedder import Embedder

ROOT = Path(__file__).resolve().parents[1]


def embed(run, files, folder):
    """Images per second of embedding files into a Parquet file."""
    embedder = Embedder(run)
    started = time.perf_counter()
    labels = [""] * len(files.images)
    embed_files(embedder, files, labels, folder / "found.parquet")
    return len(files.images) / (time.perf_counter() - started)


def predict(run, files):
    """Images per second of predicting files by Keras."""
    predictor = vit_keras.Predictor(run, engine="keras")
    started = time.perf_counter()
    count = sum(1 for _ in predictor.results(files.images, top_k=1))
    return count / (time.perf_counter() - started)


def measure_speed(settings, folder):
    write_classes(folder / "photos", settings.images, 100, 100)
    files = inputs.find_files([str(folder / "photos")])
    speeds = {"embed": [], "predict": []}
    for number in range(settings.rounds):
        turns = [("embed", lambda: embed(settings.run, files, folder))]
        turns.append(("predict", lambda: predict(settings.run, files)))
        for name, measure in turns if number % 2 == 0 else turns[::-1]:
            speeds[name].append(measure())
    medians = ", ".join(f"{name} {statistics.median(all):.0f}" for name, all in speeds.items())
    ratio = median_ratio(speeds["embed"], speeds["predict"])
    print(
        f"{settings.images:,} files: {medians} images/s; embed is {ratio:.3f} x predict", flush=True
    )


def finetune(settings, words, folder):
    """Test accuracy and seconds of fine-tuning: the head first, then all layers."""
    config = vit_keras.load_config(
        *("recipe=finetune_folder", *words, f"pretrained.handle={settings.run}"),
        *("data.image_size=32", f"run.dir={folder / 'tuned'}", "~stages.last"),
        *(f"stages.head.epochs={settings.epochs}", "stages.head.learning_rate=5e-3"),
        f"+stages.all={{trainable: all, epochs: {settings.epochs}, learning_rate: 5e-4}}",
        *(["train.jit_compile=false"] if settings.smoke else []),  # which takes longer to compile
    )
    started = time.perf_counter()
    accuracy = vit_keras.finetune_model(config).metrics["test_accuracy"]
    return accuracy, time.perf_counter() - started


def main():
    options = argument_parser(__doc__)
    options.add_argument("--run", default=ROOT / "saved_models" / "cifar10_hour")
    options.add_argument("--images", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--data", default=os.environ.get("VIT_KERAS_PHOTOS"))
    options.add_argument("--epochs", type=int, default=20, help="of each stage of fine-tuning")
    options.add_argument("--limit", type=int, help="of the images of a probe")
    settings = parse_arguments(options, images=40, rounds=1, epochs=1, limit=100)
    limit = [f"data.limit={settings.limit}"] if settings.limit else []
    with tempfile.TemporaryDirectory() as place:
        measure_speed(settings, Path(place))
        words = ["data=folder", f"data.path={settings.data}"] if settings.data else ["data=digits"]
        print(describe(probe(settings.run, [*words, *limit])), flush=True)
        accuracy, seconds = finetune(settings, [*words, *limit], Path(place))
        print(f"fine-tuned on the same images: {accuracy:.4f} in {seconds:.0f} s", flush=True)
    if Path(os.environ.get("TFDS_DATA_DIR", "nowhere"), "cifar10").is_dir():
        # Its own data, of which it was trained on the training images itself.
        print(describe(probe(settings.run, limit)), flush=True)


if __name__ == "__main__":
    main()
