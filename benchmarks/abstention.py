"""Abstention of an MNIST model: other data found by several scores, coverage, and both engines.

    python benchmarks/abstention.py             # trains the model first; --run names another

Other data: CIFAR-10 in grey, photos of sign language digits in grey (VIT_KERAS_PHOTOS), and letters
of the DejaVu fonts. With `--smoke`, the released digits run and the letters alone.
"""

import os
import shutil
import string
import tempfile
from pathlib import Path

import numpy as np
from figures import argument_parser, parse_arguments
from PIL import Image, ImageDraw, ImageFont
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from tqdm import tqdm

import vit_keras
from vit_keras.data.dataset import Split
from vit_keras.data.splits import load_splits
from vit_keras.evaluation import abstention, calibration
from vit_keras.evaluation.abstention_pass import FIT_IMAGES
from vit_keras.evaluation.logits import Classifier
from vit_keras.evaluation.other_images import find_other_images
from vit_keras.evaluation.robustness import draw_sample

ROOT = Path(__file__).resolve().parent.parent
RECIPE = (
    "recipe=mnist_99",
    "data.train_limit=15000",
    "data.validation_fraction=0.1",
    "train.epochs=3",
    "optim.ema_momentum=0.97",  # 0.998 outlasts 300 updates
)
COVERAGES = (0.90, 0.95, 0.99)
LETTERS = [letter for letter in string.ascii_uppercase if letter not in "BIOQSZ"]  # like 8 1 0 5 2


def trained(folder):
    """A model of MNIST."""
    path = folder / "mnist"
    if not (path / "best.keras").is_file():
        vit_keras.train_model(vit_keras.load_config(*RECIPE, f"run.dir={path}"))
    return path


def smallest(folder):
    return shutil.copytree(ROOT / "saved_models" / "digits", folder / "digits")


def write_letters(folder):
    """White on black, 28x28, each letter 20 high as MNIST's digits are, in every DejaVu font."""
    import matplotlib

    for file in sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVu*.ttf")):
        font = ImageFont.truetype(str(file), 26)
        for letter in LETTERS:
            image = Image.new("L", (28, 28))
            ImageDraw.Draw(image).text((14, 14), letter, 255, font, anchor="mm")
            if image.getbbox() is not None:
                image.save(folder / f"{file.stem}-{letter}.png")
    return folder


def scores(train, labels, outputs):
    """Name -> the OOD score (n,) of each image; higher is less like the training images."""
    ours = abstention.fit(train.features, labels, train, labels, 1.0)
    features = outputs.features.astype("float64")
    means = np.stack([train.features[labels == label].mean(axis=0) for label in np.unique(labels)])
    center = train.features.mean(axis=0)
    distance = squared_distances(features, means, train.features - means[labels]).min(axis=-1)
    marginal = squared_distances(features, center[None], train.features - center)[:, 0]
    return {
        "nearest neighbours (Sun et al. 2022)": ours.distances(outputs.features),
        "Mahalanobis (Lee et al. 2018)": distance,
        "relative Mahalanobis (Ren et al. 2021)": distance - marginal,
        "1 - largest probability": 1 - abstention.probabilities(outputs.logits, 1.0).max(axis=-1),
        "energy (Liu et al. 2020)": -logsumexp(outputs.logits, axis=-1),
    }


def squared_distances(features, means, residuals):
    """(n, D), (K, D) and (m, D) -> (n, K), by the covariance of the residuals."""
    precision = np.linalg.pinv(ledoit_wolf(residuals.astype("float64"), assume_centered=True)[0])
    from_means = features[:, None] - means
    return np.einsum("nkd,de,nke->nk", from_means, precision, from_means, optimize=True)


def print_scores(train, labels, test, others):
    own = scores(train, labels, test)
    for name, outputs in others.items():
        print(f"\n{name}: {len(outputs.logits):,} images        AUROC   FPR95")
        for score, values in scores(train, labels, outputs).items():
            auroc = abstention.auroc(own[score], values)
            print(f"{score:<40}{auroc:.4f}  {abstention.fpr_at_95(own[score], values):.4f}")


def print_coverage(train, train_labels, pool, labels, images, repeats):
    """Mean coverage over random divisions of the images into validation and test images."""
    found = {coverage: [] for coverage in COVERAGES}
    for seed in range(repeats):
        order = np.random.default_rng(seed).permutation(len(labels))
        parts = [
            (type(pool)(*(one[i] for one in pool)), labels[i]) for i in np.split(order, [images])
        ]
        (validation, validation_labels), (test, test_labels) = parts
        temperature = calibration.fit_temperature(validation.logits, validation_labels).value
        rule = abstention.fit(
            train.features, train_labels, validation, validation_labels, temperature
        )
        report = abstention.report_part(rule, "", test, test_labels)
        for row in report["coverages"]:
            found[row["coverage"]].append([row["observed"], row["abstained"], row["accuracy"]])
    print(f"\n{repeats} divisions, {images:,} validation images: mean (least to most)")
    for coverage, rows in found.items():
        if rows:
            observed, abstained, accuracy = np.array(rows, float).T
            print(
                f"coverage {coverage:g}: observed {observed.mean():.4f} ({observed.min():.4f} to "
                f"{observed.max():.4f}), abstained {abstained.mean():.4f}, accuracy of the rest "
                f"{accuracy.mean():.4f}"
            )


def print_engines(run, images):
    """How many decisions differ between Keras and ONNX Runtime."""
    decided = {}
    for engine in ("keras", "onnx"):
        predictor = vit_keras.Predictor(run, batch_size=256, engine=engine)
        decided[engine] = [
            one.decision for one in predictor.predict(images, top_k=1, coverage=0.95)
        ]
    pairs = list(zip(*decided.values(), strict=True))
    differ = sum((a.classes, a.reason) != (b.classes, b.reason) for a, b in pairs)
    gap = max(abs(a.ood_score - b.ood_score) / (1 + abs(a.ood_score)) for a, b in pairs)
    print(
        f"\ndecisions of Keras and ONNX Runtime: {differ} of {len(pairs):,} differ; relative "
        f"difference of OOD scores {gap:.1e}"
    )


def main():
    options = argument_parser(__doc__)
    options.add_argument("--run", help="a run to measure instead of training one")
    options.add_argument("--folder", default="build/abstention", help="of the run that is trained")
    options.add_argument("--repeats", type=int, default=20)
    settings = parse_arguments(options, repeats=2)
    folder = Path(settings.folder)
    with tempfile.TemporaryDirectory() as place:
        if settings.smoke:
            run = smallest(Path(place))
        else:
            run = Path(settings.run) if settings.run else trained(folder)
        letters = Path(place, "letters")
        letters.mkdir()
        words = {"letters": str(write_letters(letters))}
        if not settings.smoke:
            words["CIFAR-10 in grey"] = "cifar10"
            if photos := os.environ.get("VIT_KERAS_PHOTOS"):
                words["sign language digits in grey"] = photos
        measure(vit_keras.open_run(run), words, settings)


def measure(saved, words, settings):
    report = vit_keras.evaluate_run(saved.path, images=20).report
    print("\n".join(abstention.describe(report["abstention"])))
    config = saved.config
    parts = load_splits(config.data, config.train.seed)
    sample = draw_sample(parts.train, FIT_IMAGES, config.train.seed)
    with tqdm(disable=True) as bar:
        classifier = Classifier(saved.model, 256, config.data.prefetch, bar)

        def outputs(images, labels):
            return classifier.outputs(Split(images, labels), "")

        train, validation, test = (outputs(*one) for one in (sample, parts.validation, parts.test))
        others = {
            name: outputs(*find_other_images(saved, word).read(saved))
            for name, word in words.items()
        }
    print_scores(train, sample.labels, test, others)
    pool = type(test)(*(np.concatenate(pair) for pair in zip(validation, test, strict=True)))
    labels = np.concatenate([parts.validation.labels, parts.test.labels])
    count = len(parts.validation.labels)
    print_coverage(train, sample.labels, pool, labels, count, settings.repeats)
    print_engines(saved.path, parts.test.images)


if __name__ == "__main__":
    main()
