"""Calibration error with the temperature of few and of many validation images.

    python benchmarks/calibration.py            # a CIFAR-10 model; --run names another

The logits of the run's validation and test images are computed once. Each draw fits a temperature
on some of them, as an evaluation does, and measures the expected calibration error of all others,
with it and without. The figures do not depend on how fast the machine is. With `--smoke`, the
released digits run.
"""

from pathlib import Path

import numpy as np
from figures import argument_parser, parse_arguments
from tqdm import tqdm

import vit_keras
from vit_keras.data.splits import load_splits
from vit_keras.evaluation import calibration
from vit_keras.evaluation.logits import Classifier

RUNS = Path(__file__).parents[1] / "saved_models"
IMAGES = (6, 30, 100, 300, 1000)  # that a temperature is fitted on
WORSE = 0.01  # by how much a fitted temperature may raise the error


def pooled_logits(path):
    """The logits (n, K) and labels (n,) of the validation and test images of a run."""
    saved = vit_keras.open_run(path)
    config = saved.config
    splits = load_splits(config.data, config.train.seed)
    with tqdm(disable=True) as bar:
        classifier = Classifier(saved.model, 256, config.data.prefetch, bar)
        parts = [
            (classifier.logits(split, ""), split.labels)
            for split in (splits.validation, splits.test)
        ]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def calibration_error(logits, labels, temperature):
    confidence = calibration.confidences(logits, temperature)
    bins = calibration.reliability_bins(confidence, logits.argmax(axis=-1) == labels)
    return calibration.expected_calibration_error(bins)


def measure(logits, labels, images, draws):
    """The fitted temperature, and the error without it and with it, of each draw: (draws, 3)."""
    rows = []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(labels))
        fitted, rest = order[:images], order[images:]
        value = calibration.fit_temperature(logits[fitted], labels[fitted]).value
        errors = (calibration_error(logits[rest], labels[rest], one) for one in (1.0, value))
        rows.append([value, *errors])
    return np.array(rows)


def main():
    options = argument_parser(__doc__)
    options.add_argument("--run", type=Path, default=RUNS / "cifar10_hour")
    options.add_argument("--draws", type=int, default=20)
    settings = parse_arguments(options, run=RUNS / "digits", draws=2)
    logits, labels = pooled_logits(settings.run)
    print("| images | fitted | temperature | error without | error with | worst change |")
    print("|" + " --- |" * 6)
    worst = 0.0
    for images in (count for count in IMAGES if count < len(labels) / 2):
        temperature, without, fitted = measure(logits, labels, images, settings.draws).T
        change = float((fitted - without).max())
        worst = max(worst, change)
        print(
            f"| {images:,} | {np.count_nonzero(temperature != 1)} of {settings.draws} "
            f"| {temperature.min():.3f} to {temperature.max():.3f} | {without.mean():.4f} "
            f"| {fitted.mean():.4f} | {change:+.4f} |",
            flush=True,
        )
    if worst > WORSE and not settings.smoke:
        raise SystemExit(f"a fitted temperature raised the error by {worst:.4f} (> {WORSE})")


if __name__ == "__main__":
    main()
