"""The contenders of `train_step.py`.

Each function returns `run(steps)`, which trains that many batches and returns the seconds. All use
the same sizes on the same kind of batch with AdamW, weight decay 0.05 and gradients clipped to a
norm of 1, without dropout; those in Keras use XLA unless their function says otherwise. Imports are
inside the functions, because torch and TensorFlow must not share a process.
"""

import dataclasses
import sys
import time

import numpy as np

CLASSES = 10
RATE, DECAY, CLIP = 1e-3, 0.05, 1.0


def batch(size, rng=None):
    """Random images (size, 32, 32, 3) uint8 and labels (size,)."""
    rng = rng or np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, size).astype(np.int32)


def _config(heads, batch_size, depth, *overrides):
    from vit_keras.training.preflight import load_config

    sizes = [
        f"model.num_heads={heads}",
        f"model.depth={depth}",
        f"train.batch_size={batch_size}",
    ]
    # Only the model's sizes are needed, so the data set does not have to be available.
    stand_in = ["data.name=digits", "data.image_size=32", "model.pixel_mean=0.5"]
    return load_config("recipe=cifar10", *stand_in, "model.pixel_std=0.5", *sizes, *overrides)


def _splits():
    """4,096 random images as training, validation and test split."""
    from vit_keras.data import dataset

    split = dataset.Split(*batch(4096))
    return dataset.Splits(split, split, split, [str(index) for index in range(CLASSES)])


def ours_fit(heads, batch_size, depth):
    """`model.fit` as in `train_model`: tf.data, augmentation in the step, NaN check, progbar."""
    import keras

    from vit_keras.data import input_pipeline
    from vit_keras.training.build_model import build_training_model
    from vit_keras.training.callbacks import stopping
    from vit_keras.training.plan import resolve_plan

    config, splits = _config(heads, batch_size, depth), _splits()
    split = splits.train
    model, _ = build_training_model(config, splits, "float32")
    plan = resolve_plan(config, len(split.labels))
    (stage,) = plan.stages
    model.configure_stage(stage, plan, first_step=0)

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.started = time.perf_counter() if batch == 1 else getattr(self, "started", 0)

        def on_train_batch_end(self, batch, logs=None):
            self.seconds = time.perf_counter() - self.started

    def run(steps):
        # The first batch is not timed: it includes the start of `fit`.
        clock, check = Clock(), stopping.StopOnNaN(plan, stage)
        stream = input_pipeline.training_batches(split, batch_size, 0, first_epoch=0, prefetch=4)
        model.fit(
            stream, steps_per_epoch=steps + 1, shuffle=False, verbose=2, callbacks=[check, clock]
        )
        return clock.seconds

    return run


def _keras_step(model, batch_size, jit=True):
    import keras

    optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=CLIP)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=jit)
    images, labels = batch(batch_size)
    images = images.astype("float32")

    def run(steps):
        started = time.perf_counter()
        for _ in range(steps):
            model.train_on_batch(images, labels)
        return time.perf_counter() - started

    return run


def ours_step(heads, batch_size, depth, pair=("float32", True)):
    """The compiled step only, on one batch; `pair` as train.precision and train.jit_compile."""
    from vit_keras import build_vit
    from vit_keras.model.compiled_layers import compiled_layers
    from vit_keras.training import preflight

    dtype, jit = pair
    arch = dataclasses.asdict(preflight.architecture(_config(heads, batch_size, depth).model))
    vit = build_vit(None, image_size=32, num_classes=CLASSES, dtype=dtype, **arch)
    step = _keras_step(vit, batch_size, jit=jit is True)

    def run(steps):
        with compiled_layers(jit == "layers"):  # which is looked at when the step is traced
            return step(steps)

    return run


def ours_auto(heads, batch_size, depth, precision="auto"):
    """The compiled step only, as `train.precision=auto` and `train.jit_compile=auto` decide."""
    from vit_keras.training import autotune, step_time
    from vit_keras.training.plan import resolve_plan

    config, splits = _config(heads, batch_size, depth, f"train.precision={precision}"), _splits()
    plan = resolve_plan(config, len(splits.train.labels))
    (stage,) = plan.stages
    default, _ = autotune.default_pair(config.train)
    speeds = autotune.measure(
        autotune.candidates(config.train, default),
        lambda pair: step_time.images_per_second(plan, splits, stage, pair),
    )
    pair = autotune.fastest(speeds, default)
    print(f"train.precision={precision} is {pair} here", file=sys.stderr, flush=True)
    return ours_step(heads, batch_size, depth, pair)


def ours_float32(heads, batch_size, depth):
    """The same with `train.precision=float32`: XLA for all of it or for layers, as is faster."""
    return ours_auto(heads, batch_size, depth, "float32")


def keras_hub_model(heads, depth, dtype="float32"):
    """keras-hub's ViT, patch 4 and width 192: pixels (B, 32, 32, 3) to logits."""
    import keras
    import keras_hub

    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=4,
        num_layers=depth,
        num_heads=heads,
        hidden_dim=192,
        mlp_dim=768,
        layer_norm_epsilon=1e-6,
        dtype=dtype,
    )
    pixels = keras.Input((32, 32, 3))
    tokens = backbone(keras.layers.Rescaling(1 / 127.5, -1)(pixels))
    head = keras.layers.Dense(CLASSES, dtype="float32")
    return keras.Model(pixels, head(tokens[:, 0]))


def keras_hub(heads, batch_size, depth, dtype="float32", jit=True):
    """keras-hub's ViT, the compiled step only."""
    return _keras_step(keras_hub_model(heads, depth, dtype), batch_size, jit)


def keras_hub_bfloat16(heads, batch_size, depth):
    """The same in mixed_bfloat16, without XLA, which is slower in it on a CPU."""
    return keras_hub(heads, batch_size, depth, "mixed_bfloat16", jit=False)


def _torch_step(heads, batch_size, depth, compiled, half=False):
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, width=192, hidden=768):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

        def forward(self, x):
            b, n, d = x.shape
            qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, heads, d // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(q, k, v)
            x = x + self.proj(attended.transpose(1, 2).reshape(b, n, d))
            return x + self.mlp(self.norm2(x))

    class ViT(nn.Module):
        def __init__(self, width=192):
            super().__init__()
            self.patch = nn.Conv2d(3, width, 4, 4)
            self.token = nn.Parameter(torch.zeros(1, 1, width))
            self.position = nn.Parameter(torch.randn(1, 65, width) * 0.02)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, CLASSES)

        def forward(self, x):
            x = self.patch(x / 127.5 - 1).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
            return self.head(self.norm(self.blocks(x))[:, 0])

    model = ViT()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    forward = torch.compile(model) if compiled else model
    images, labels = batch(batch_size)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    y = torch.from_numpy(labels).long()

    def run(steps):
        started = time.perf_counter()
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = forward(x)
            loss = functional.cross_entropy(logits.float(), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            loss.item()
        return time.perf_counter() - started

    return run


def torch_eager(heads, batch_size, depth):
    """A plain PyTorch ViT with `scaled_dot_product_attention`, eager."""
    return _torch_step(heads, batch_size, depth, compiled=False)


def torch_compiled(heads, batch_size, depth):
    """The same with `torch.compile`."""
    return _torch_step(heads, batch_size, depth, compiled=True)


def torch_eager_bfloat16(heads, batch_size, depth):
    """The eager one under `torch.autocast` to bfloat16."""
    return _torch_step(heads, batch_size, depth, compiled=False, half=True)


def torch_compiled_bfloat16(heads, batch_size, depth):
    """The compiled one under `torch.autocast` to bfloat16."""
    return _torch_step(heads, batch_size, depth, compiled=True, half=True)


def sgemm(heads, batch_size, depth):
    """Products of 2048 x 2048 float32 matrices: the peak rate of this machine."""
    import tensorflow as tf

    a = tf.random.normal((2048, 2048))

    def run(steps):
        started = time.perf_counter()
        for _ in range(steps * 10):
            tf.matmul(a, a).numpy()
        return time.perf_counter() - started

    return run


# One process each. Those of ours share one, because two processes of the same program differ in
# speed by some percent, which is more than the difference to be measured.
PROCESSES = {
    "ours": {
        "ours_step": ours_step,
        "ours_fit": ours_fit,
        "ours_float32": ours_float32,
        "ours_auto": ours_auto,
    },
    "keras_hub": {"keras_hub": keras_hub},
    "keras_hub_bfloat16": {"keras_hub_bfloat16": keras_hub_bfloat16},
    "torch_eager": {"torch_eager": torch_eager},
    "torch_eager_bfloat16": {"torch_eager_bfloat16": torch_eager_bfloat16},
    "torch_compiled": {"torch_compiled": torch_compiled},
    "torch_compiled_bfloat16": {"torch_compiled_bfloat16": torch_compiled_bfloat16},
    "sgemm": {"sgemm": sgemm},
}
# The package of requirements-peers.txt that a process needs.
NEEDS = {
    name: "keras_hub" if name.startswith("keras_hub") else "torch"
    for name in PROCESSES
    if name.startswith(("keras_hub", "torch"))
}
