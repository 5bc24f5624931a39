"""The peers of `time_to_accuracy.py`: timm, Keras' published CCT example and keras-hub.

The functions of `PEERS` give the ways to build a peer, and whether its images are augmented.
Imports are inside the functions, because torch and TensorFlow must not share a process.
"""

import functools
import os

import budget
from budget import Contender, warmup_cosine
from contenders import CLASSES, DECAY, RATE, keras_hub_model
from tools.torchvision_stand_in import torchvision_or_stand_in

WIDTH, HEADS = 192, 3
EPOCHS, WARMUP_EPOCHS, UPDATES = 300, 5, 100  # timm's default schedule; finely divided


def timm_vit(task):
    """timm's ViT with its optimizer and scheduler, in a plain PyTorch loop.

    As in timm's `train.py`: cosine, 5 of 300 epochs of warm-up (the same share of the budget here),
    label smoothing of 0.1, batch size 128. With AdamW at 1e-3 and a weight decay of 0.05, because
    its default, SGD at 0.1, is for convolutional networks. Crop and flip as DeiT, which trains
    with timm, on images of 32 pixels.
    """
    ways = {"eager": False, "torch.compile": True}
    return {
        way: functools.partial(_timm_vit, task, compiled) for way, compiled in ways.items()
    }, True


def _timm_vit(task, compiled):
    import torch
    from torch.nn import functional

    with torchvision_or_stand_in():
        import timm
        from timm.optim import create_optimizer_v2
        from timm.scheduler import create_scheduler_v2

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    sizes = dict(img_size=32, patch_size=4, embed_dim=WIDTH, depth=task.depth, num_heads=HEADS)
    model = timm.models.VisionTransformer(num_classes=CLASSES, **sizes)
    optimizer = create_optimizer_v2(model, "adamw", lr=RATE, weight_decay=DECAY)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=EPOCHS,
        warmup_epochs=WARMUP_EPOCHS,
        step_on_epochs=False,
        updates_per_epoch=UPDATES,
    )
    forward = torch.compile(model) if compiled else model

    def pixels(images):
        return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1

    def step(images, labels, share):
        scheduler.step_update(int(share * EPOCHS * UPDATES))
        targets = torch.from_numpy(labels).long()
        loss = functional.cross_entropy(forward(pixels(images)), targets, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def predict(images):
        model.eval()
        with torch.inference_mode():
            return model(pixels(images)).numpy()

    return Contender(step, predict, sum(p.numel() for p in model.parameters()))


def keras_cct(task):
    """The compact convolutional transformer of keras.io/examples/vision/cct, trained as there.

    AdamW at a constant rate of 1e-3, weight decay of 1e-4, label smoothing of 0.1, batch size 128.
    """
    return _keras_ways(_cct, lambda share: RATE, weight_decay=1e-4), False


def keras_cct_cosine(task):
    """The same with a warm-up and a cosine decay, which the example does not have."""
    rate = functools.partial(warmup_cosine, RATE)
    return _keras_ways(_cct, rate, weight_decay=1e-4), False


def keras_hub_vit(task):
    """keras-hub's ViT with AdamW at 1e-3, warm-up and cosine decay, label smoothing of 0.1."""

    def build():
        return keras_hub_model(HEADS, task.depth)

    rate = functools.partial(warmup_cosine, RATE)
    return _keras_ways(build, rate, weight_decay=DECAY), True


def _keras_ways(build, rate, weight_decay):
    return {
        way: functools.partial(_keras_contender, build, rate, weight_decay, jit)
        for way, jit in (("without XLA", False), ("XLA", True))
    }


def _keras_contender(build, rate, weight_decay, jit):
    """`build()` gives a model from pixels to logits; `rate` a learning rate by share of budget."""
    import keras
    from keras import ops

    keras.utils.set_random_seed(0)
    model = build()
    optimizer = keras.optimizers.AdamW(rate(0.0), weight_decay=weight_decay)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile(optimizer, loss, jit_compile=jit)

    def step(images, labels, share):
        optimizer.learning_rate = rate(share)
        # `train_on_batch` returns the mean of all losses so far, which is good enough for a check.
        return float(model.train_on_batch(images, ops.one_hot(labels, CLASSES)))

    return Contender(step, model.predict_on_batch, model.count_params())


def _cct():
    """2 convolutions of 3x3 with pooling, then 2 encoder blocks of width 128 with 2 heads."""
    import keras
    from keras import layers, ops

    width = 128

    class Positions(layers.Layer):
        def build(self, shape):
            self.embedding = self.add_weight(shape=shape[1:], initializer="glorot_uniform")

        def call(self, tokens):
            return tokens + self.embedding

    pixels = keras.Input((32, 32, 3))
    # The example's random crop of 32x32 leaves these images as they are.
    x = layers.RandomFlip("horizontal")(layers.Rescaling(1 / 255)(pixels))
    for filters in (64, width):
        conv = dict(use_bias=False, activation="relu", kernel_initializer="he_normal")
        x = layers.ZeroPadding2D(1)(layers.Conv2D(filters, 3, **conv)(x))
        x = layers.MaxPooling2D(3, 2, "same")(x)
    x = layers.Reshape((-1, width))(x)
    x = Positions()(x)
    for rate in (0.0, 0.1):  # stochastic depth
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        y = layers.MultiHeadAttention(2, key_dim=width, dropout=0.1)(y, y)
        x = x + layers.Dropout(rate, noise_shape=(None, 1, 1))(y)
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        for _ in range(2):
            y = layers.Dropout(0.1)(layers.Dense(width, activation="gelu")(y))
        x = x + layers.Dropout(rate, noise_shape=(None, 1, 1))(y)
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    weights = layers.Softmax(axis=1)(layers.Dense(1)(x))  # sequence pooling
    pooled = ops.squeeze(ops.matmul(ops.transpose(weights, (0, 2, 1)), x), 1)
    return keras.Model(pixels, layers.Dense(CLASSES)(pooled))


PEERS = {
    "timm_vit": timm_vit,
    "keras_cct": keras_cct,
    "keras_cct_cosine": keras_cct_cosine,
    "keras_hub_vit": keras_hub_vit,
}


def speed(name, task):
    """The faster way to compile a peer, and the seconds of its step."""
    makes, augment = PEERS[name](task)
    return budget.speed(makes, task, augment)


def train(name, task, way, step_seconds):
    """Train a peer; a row of the table."""
    makes, augment = PEERS[name](task)
    return budget.train(makes[way](), task, augment, step_seconds)
