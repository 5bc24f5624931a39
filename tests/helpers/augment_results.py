"""Write `tests/fixtures/augment_results.npz`: TensorFlow's results, for both backends.

python tests/helpers/augment_results.py
"""

from pathlib import Path

import numpy as np
from keras import ops

from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import AugmentConfig

FILE = Path(__file__).parents[1] / "fixtures" / "augment_results.npz"
SEED = 11
CASES = {
    "light": AugmentConfig(crop_padding=2, flip=True),
    "randaugment": AugmentConfig(2, True, policy="randaugment", policy_ops=3),
    "trivial": AugmentConfig(flip=True, policy="trivial_augment"),
    "autoaugment": AugmentConfig(policy="autoaugment_cifar10"),
    "deit3": AugmentConfig(
        *(0, True, [0.08, 1.0], [0.3, 0.3, 0.3, 0.1], "three_augment"), mixup=0.8, cutmix=1.0
    ),
    "heavy": AugmentConfig(
        *(0, True, [0.08, 1.0], None, "randaugment", 2, 15),
        random_erasing=0.5,
        mixup=0.8,
        cutmix=1.0,
    ),
}


def pictures(count=12, shape=(10, 8, 3)):
    """Ramps with noise, so that neither a histogram nor an interpolation is trivial."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(20, 200, shape[0] * shape[1]).reshape(1, *shape[:2], 1)
    images = ramp + rng.normal(0, 20, (count, *shape))
    return np.clip(images, 0, 255).astype("uint8"), np.eye(4, dtype="float32")[np.arange(count) % 4]


def results(case, images, targets):
    """(images, targets); a resized crop makes them larger."""
    return augment(ops.cast(images, "float32"), targets, CASES[case], SEED, (12, 10))


if __name__ == "__main__":
    made = {case: results(case, *pictures()) for case in CASES}
    parts = {f"{case}_{at}": np.asarray(made[case][at]) for case in CASES for at in (0, 1)}
    np.savez_compressed(FILE, **parts)
