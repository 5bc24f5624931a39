"""What class weights, sampling and the focal loss are worth where three classes are rare.

    python benchmarks/imbalance.py --data <folder of sign language digits>

Of three of the ten classes, a fiftieth of the training images is kept. The test split keeps all of
its images, so that the recall of a rare class is of about forty, not of one. Each way trains a head
on the frozen backbone of saved_models/cifar10_hour, whose features are computed once, for the same
number of epochs and with the same seeds, which also draw the images that are kept: the training may
share the machine. The last epoch is measured. Without --data, or VIT_KERAS_PHOTOS, the images are
scikit-learn's digits.
"""

import json
import os
import statistics
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from figures import argument_parser, parse_arguments
from keras import ops
from sklearn import metrics

import vit_keras
from vit_keras.data.input_pipeline import training_batches
from vit_keras.training.build_model import build_training_model
from vit_keras.training.plan import resolve_plan

BACKBONE = Path(__file__).parents[1] / "saved_models/cifar10_hour"
RARE = (2, 5, 8)
BATCH = 64
WAYS = {
    "none": [],
    "train.class_weight=balanced": ["train.class_weight=balanced"],
    "train.class_weight=effective": ["train.class_weight=effective"],
    "data.sampling=balanced": ["data.sampling=balanced"],
    "data.sampling=sqrt": ["data.sampling=sqrt"],
    "loss=focal": ["loss=focal"],
}
SCORES = ("balanced accuracy", "macro F1", "recall of the rare classes", "recall of the others")


def configuration(settings, seed, words):
    """The configuration of one way: a head on the frozen backbone, without augmentation."""
    return vit_keras.load_config(
        *("recipe=finetune_folder", "data=arrays", f"pretrained.handle={BACKBONE}"),
        *("data.image_size=32", f"train.batch_size={BATCH}", f"train.seed={seed}", "~stages.last"),
        *(f"stages.head.epochs={settings.epochs}", "stages.head.learning_rate=5e-3", *words),
    )


def load_images(data):
    """The splits of the whole data set, at the size and with the channels of the backbone."""
    words = ["data=folder", f"data.path={data}"] if data else ["data=digits"]
    return vit_keras.load_splits(vit_keras.load_config(*words, "data.image_size=32").data, seed=0)


def prepared(settings, splits, seed, words):
    """The compiled model of a way, and its plan."""
    keras.utils.set_random_seed(seed)
    config = configuration(settings, seed, words)
    plan = resolve_plan(config, len(splits.train.labels))
    model, _ = build_training_model(config, splits, "float32")
    model.configure_stage(plan.stages[0], plan, first_step=0)
    return model, plan


def cut(labels, ratio, seed):
    """Indices of the images with one of `ratio` of the rare classes; one at least."""
    rng = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        kept.append(own[: max(1, round(len(own) / ratio))] if label in RARE else own)
    return np.sort(np.concatenate(kept))


def scores_of(model, test):
    """`SCORES` of the head on the features of the test images."""
    predicted = ops.convert_to_numpy(model.vit.get_layer("head")(test.images)).argmax(axis=-1)
    recalls = metrics.recall_score(test.labels, predicted, average=None, zero_division=0)
    is_rare = np.isin(np.arange(len(recalls)), RARE)
    macro_f1 = metrics.f1_score(test.labels, predicted, average="macro", zero_division=0)
    return [recalls.mean(), macro_f1, recalls[is_rare].mean(), recalls[~is_rare].mean()]


def measure(settings):
    """Way -> the scores of each seed."""
    splits = load_images(settings.data)
    model, _ = prepared(settings, splits, 0, [])
    train, test = (model.features(split, BATCH) for split in (splits.train, splits.test))
    found = {way: [] for way in WAYS}
    for seed in range(settings.seeds):
        kept = cut(train.labels, settings.ratio, seed)
        some, pixels = train.take(kept), replace(splits, train=splits.train.take(kept))
        for way, words in WAYS.items():
            model, plan = prepared(settings, pixels, seed, words)
            sampling = plan.config.data.sampling
            model.fit(
                training_batches(some, BATCH, seed, 0, prefetch=4, sampling=sampling),
                steps_per_epoch=plan.steps_per_epoch,
                epochs=plan.total_epochs,
                shuffle=False,
                verbose=0,
            )
            found[way].append([float(value) for value in scores_of(model, test)])
            shown = ", ".join(f"{value:.3f}" for value in found[way][-1])
            print(f"seed {seed}, {way}: {shown}", flush=True)
    print(f"training images of each class: {' '.join(map(str, np.bincount(some.labels)))}")
    return found


def table(found):
    """Print the means over the seeds, with the lowest and the highest, as Markdown."""
    print(f"\n| | {' | '.join(SCORES)} |\n|{' --- |' * (1 + len(SCORES))}")
    for way, seeds in found.items():
        columns = zip(*seeds, strict=True)
        cells = (f"{statistics.mean(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in columns)
        print(f"| {way} | {' | '.join(cells)} |")


def main():
    options = argument_parser(__doc__)
    options.add_argument("--data", default=os.environ.get("VIT_KERAS_PHOTOS"))
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--ratio", type=int, default=50)
    options.add_argument("--save", type=Path, default=Path("build/imbalance.json"))
    settings = parse_arguments(options, epochs=1, seeds=1)
    found = measure(settings)
    table(found)
    settings.save.parent.mkdir(parents=True, exist_ok=True)
    settings.save.write_text(json.dumps({"scores": SCORES, "ways": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
