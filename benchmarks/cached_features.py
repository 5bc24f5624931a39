"""A head stage on cached features, compared with running the frozen backbone in each epoch.

    python benchmarks/cached_features.py

ViT-S/16 at 224 with random weights, 200 training and 20 validation images, batch size 20. Both
times include compilation, and the cached one also includes the feature extraction.
"""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from figures import argument_parser, median_ratio, parse_arguments

import vit_keras
from vit_keras.config.schema import Config, OptimConfig, PretrainedConfig, StageConfig, TrainConfig
from vit_keras.data import dataset, input_pipeline
from vit_keras.training.build_model import build_training_model
from vit_keras.training.plan import resolve_plan

BATCH, CLASSES = 20, 10


def head_stage(handle, epochs, splits, cached):
    """Seconds of a head stage, and the last training loss."""
    keras.utils.set_random_seed(0)
    config = Config(
        pretrained=PretrainedConfig(handle=handle),
        optim=OptimConfig(),
        train=TrainConfig(epochs=None, batch_size=BATCH),
        stages={"head": StageConfig("head", epochs, learning_rate=1e-3, augment=False)},
    )
    model, _ = build_training_model(config, splits, "float32")
    started = time.perf_counter()
    plan = resolve_plan(config, len(splits.train.labels))
    model.configure_stage(plan.stages[0], plan, first_step=0)
    train, validation = splits.train, splits.validation
    if cached:
        train, validation = (model.features(split, BATCH) for split in (train, validation))
    else:
        model.use_images()
    history = model.fit(
        input_pipeline.training_batches(train, BATCH, seed=0, first_epoch=0, prefetch=4),
        steps_per_epoch=plan.steps_per_epoch,
        epochs=epochs,
        validation_data=input_pipeline.evaluation_batches(validation, BATCH, prefetch=4),
        shuffle=False,
        verbose=0,
    )
    return time.perf_counter() - started, history.history["loss"][-1]


def main():
    options = argument_parser(__doc__)
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("--variant", default="s16")
    options.add_argument("--depth", type=int, default=12)
    options.add_argument("--images", type=int, default=200)
    options.add_argument("--image-size", type=int, default=224)
    settings = parse_arguments(options, epochs=1, variant="ti16", depth=1, images=40, image_size=32)
    rng, size = np.random.default_rng(0), settings.image_size
    split = dataset.Split(
        rng.integers(0, 256, (settings.images, size, size, 3), "uint8"),
        rng.integers(0, CLASSES, settings.images).astype("int32"),
    )
    few = split.take(np.arange(20))
    splits = dataset.Splits(split, few, few, [str(index) for index in range(CLASSES)])
    with tempfile.TemporaryDirectory() as folder:
        handle = str(Path(folder) / "vit.keras")
        vit_keras.build_vit(settings.variant, image_size=size, depth=settings.depth).save(handle)
        seconds = {}
        for name, cached in (("cached", True), ("each epoch", False)):
            seconds[name], loss = head_stage(handle, settings.epochs, splits, cached)
            print(f"{name:<12}{seconds[name]:8.1f} s   last loss {loss:.4f}", flush=True)
    print(f"ratio {median_ratio([seconds['each epoch']], [seconds['cached']]):.1f}")


if __name__ == "__main__":
    main()
