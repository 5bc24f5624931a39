"""What it is worth to choose the images that get a label, compared with drawing them.

    python benchmarks/suggest.py --data <folder of sign language digits>

Of the training and validation images, of which each seed takes a random share, 200 get their
labels: drawn at random, or chosen as `vit-keras suggest` chooses them, by the embeddings of
saved_models/cifar10_hour; at once, or 100 and then 100 by the margins of a probe of the first.
Then a linear probe and a fine-tuning learn from these alone; the test images are always the same.
Without --data, or VIT_KERAS_PHOTOS, the images are scikit-learn's digits.
"""

import os
import statistics

import numpy as np
from audit import BACKBONE, load_images, test_accuracy
from figures import argument_parser, parse_arguments

from vit_keras.data.dataset import Split
from vit_keras.evaluation import active_learning
from vit_keras.evaluation.suggest import probe_probabilities
from vit_keras.predict.embedder import Embedder

SHARE = 0.85  # of the images without a label, which a seed takes
VALIDATION = 0.2  # of the labels, by which a fine-tuning keeps its best epoch


def draw(vectors, labels, count, rng):
    return rng.choice(len(labels), count, replace=False)


def typical(vectors, labels, count, rng):
    chosen = active_learning.typical(vectors, np.zeros(len(labels), bool), count)
    return np.array([one.image for one in chosen])


def coverage(vectors, labels, count, rng):
    chosen = active_learning.coverage(vectors, np.zeros(len(labels), bool), count)
    return np.array([one.image for one in chosen])


def then_margin(first):
    """The first half of the images by `first`, the second by margins of a probe of these."""

    def choose(vectors, labels, count, rng):
        known = first(vectors, labels, count // 2, rng)
        is_labelled = np.isin(np.arange(len(labels)), known)
        names = [
            f"{label:03}" if given else "" for label, given in zip(labels, is_labelled, strict=True)
        ]
        probabilities, classes = probe_probabilities(vectors, names)
        rest = active_learning.margin(
            vectors, is_labelled, probabilities, classes, count - len(known)
        )
        return np.concatenate([known, [one.image for one in rest]])

    return choose


METHODS = {
    "random": draw,
    "typical": typical,
    "coverage": coverage,
    "random, margin": then_margin(draw),
    "typical, margin": then_margin(typical),
}


def probe_accuracy(vectors, labels, test_vectors, test_labels):
    names = [*(f"{label:03}" for label in labels), *[""] * len(test_labels)]
    both = np.concatenate([vectors, test_vectors])
    probabilities, classes = probe_probabilities(both, names)
    predicted = probabilities[len(labels) :].argmax(axis=1)
    return float(np.mean([int(classes[one]) for one in predicted] == test_labels))


def finetuned_accuracy(images, labels, test, seed, epochs):
    """Test accuracy of a fine-tuning on these labels, a fifth of them kept for validation."""
    order = np.random.default_rng(seed).permutation(len(labels))
    border = round(VALIDATION * len(labels))
    splits = {
        "train": Split(images[order[border:]], labels[order[border:]]),
        "validation": Split(images[order[:border]], labels[order[:border]]),
        "test": test,
    }
    both = np.concatenate([splits["train"].labels, splits["validation"].labels])
    return test_accuracy(splits, both, seed, epochs)


def main():
    options = argument_parser(__doc__)
    options.add_argument("--data", default=os.environ.get("VIT_KERAS_PHOTOS"))
    options.add_argument("--count", type=int, default=200, help="of the labels")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--epochs", type=int, default=20, help="of each of two stages; 0: no run")
    options.add_argument("--methods", choices=METHODS, nargs="+", default=list(METHODS))
    smallest = dict(seeds=[0], epochs=1, data=None, methods=["typical, margin"], count=100)
    settings = parse_arguments(options, **smallest)
    splits = load_images(settings.data)
    images, labels = (
        np.concatenate([splits[name][part] for name in ("train", "validation")]) for part in (0, 1)
    )
    embedder, test = Embedder(BACKBONE), splits["test"]
    vectors, test_vectors = embedder.embed(list(images)), embedder.embed(list(test.images))
    found = {name: {"probe": [], "fine-tuned": []} for name in settings.methods}
    for seed in settings.seeds:
        pool = np.random.default_rng(seed).permutation(len(labels))[: round(SHARE * len(labels))]
        for name in settings.methods:
            choose, rng = METHODS[name], np.random.default_rng(seed)
            chosen = pool[choose(vectors[pool], labels[pool], settings.count, rng)]
            assert len({*chosen.tolist()}) == settings.count
            accuracy = probe_accuracy(vectors[chosen], labels[chosen], test_vectors, test.labels)
            found[name]["probe"].append(accuracy)
            if settings.epochs:
                found[name]["fine-tuned"].append(
                    finetuned_accuracy(images[chosen], labels[chosen], test, seed, settings.epochs)
                )
            print(f"seed {seed}, {name}: {found[name]}", flush=True)
    print(f"\n{settings.count} labels, test accuracy: mean (each seed)")
    for name, measured in found.items():
        for kind, values in measured.items():
            if values:
                each = ", ".join(f"{value:.4f}" for value in values)
                print(f"{name:<16} {kind:<10} {statistics.mean(values):.4f} ({each})")


if __name__ == "__main__":
    main()
