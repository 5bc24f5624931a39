"""Write a SavedModel in the format of TF Hub's ViTs, with TensorFlow only, without vit_keras.

TF Hub's ViTs were made by sayakpaul/ViT-jax2tf: a flax parameter tree in the order of
`tf.nest.flatten` as unnamed, untrainable variables, and a float32 program on [-1, 1] pixels. The
command converts a Google `.npz` to this format:

    python benchmarks/tools/jax2tf_saved_model.py weights.npz saved_model/
"""

import sys

import numpy as np
import tensorflow as tf


def random_tree(seed=0, *, patch, width, depth, heads, mlp_dim, side, classes):
    """Random weights under Google's names, as nested dicts; `classes=0` has no head (`-fe`)."""
    rng = np.random.default_rng(seed)

    def dense(*shape, fan_in):
        kernel = rng.normal(0, 1.5 * fan_in**-0.5, shape)
        return {"kernel": kernel, "bias": rng.normal(0, 0.2, shape[-1:])}

    def heads_in():
        kernel = rng.normal(0, 1.5 * width**-0.5, (width, heads, width // heads))
        return {"kernel": kernel, "bias": rng.normal(0, 0.2, (heads, width // heads))}

    def norm():
        return {"scale": rng.normal(1, 0.2, width), "bias": rng.normal(0, 0.2, width)}

    transformer = {
        f"encoderblock_{i}": {
            "LayerNorm_0": norm(),
            "LayerNorm_2": norm(),
            "MlpBlock_3": {
                "Dense_0": dense(width, mlp_dim, fan_in=width),
                "Dense_1": dense(mlp_dim, width, fan_in=mlp_dim),
            },
            "MultiHeadDotProductAttention_1": {
                **{name: heads_in() for name in ("query", "key", "value")},
                "out": dense(heads, width // heads, width, fan_in=width),
            },
        }
        for i in range(depth)
    }
    transformer["encoder_norm"] = norm()
    tokens = (side // patch) ** 2 + 1
    transformer["posembed_input"] = {"pos_embedding": rng.normal(0, 0.2, (1, tokens, width))}
    tree = {
        "Transformer": transformer,
        "cls": rng.normal(0, 0.2, (1, 1, width)),
        "embedding": dense(patch, patch, 3, width, fan_in=3 * patch**2),
    }
    if classes:
        tree["head"] = dense(width, classes, fan_in=width)
    return tf.nest.map_structure(lambda x: x.astype("float32"), tree)


def program(tree, x):
    """ViT of Dosovitskiy et al. 2021 with flax weights: (b, X, Y, 3) in [-1, 1] -> logits."""
    patch = tree["embedding"]["kernel"].shape[0]
    x = tf.nn.conv2d(x, tree["embedding"]["kernel"], patch, "VALID") + tree["embedding"]["bias"]
    x = tf.reshape(x, (tf.shape(x)[0], -1, x.shape[-1]))
    x = tf.concat([tf.tile(tree["cls"], (tf.shape(x)[0], 1, 1)), x], axis=1)
    transformer = tree["Transformer"]
    x += transformer["posembed_input"]["pos_embedding"]
    for i in range(sum(name.startswith("encoderblock") for name in transformer)):
        block = transformer[f"encoderblock_{i}"]
        x += _attention(block["MultiHeadDotProductAttention_1"], _norm(block["LayerNorm_0"], x))
        hidden = _dense(block["MlpBlock_3"]["Dense_0"], _norm(block["LayerNorm_2"], x))
        x += _dense(block["MlpBlock_3"]["Dense_1"], tf.nn.gelu(hidden, approximate=True))
    x = _norm(transformer["encoder_norm"], x)[:, 0]
    return _dense(tree["head"], x) if "head" in tree else x


def _dense(weights, x):
    return tf.einsum("...i,io->...o", x, weights["kernel"]) + weights["bias"]


def _norm(weights, x):
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-6) * weights["scale"] + weights["bias"]


def _attention(weights, x):
    q, k, v = (
        tf.einsum("bnd,dhk->bnhk", x, weights[name]["kernel"]) + weights[name]["bias"]
        for name in ("query", "key", "value")
    )
    scores = tf.einsum("bnhk,bmhk->bhnm", q / np.sqrt(q.shape[-1]).astype("float32"), k)
    x = tf.einsum("bhnm,bmhk->bnhk", tf.nn.softmax(scores), v)
    return tf.einsum("bnhk,hkd->bnd", x, weights["out"]["kernel"]) + weights["out"]["bias"]


def save(tree, folder, side, trainable=False, batch=None):
    """Write the SavedModel; its variables are unnamed, in the order of the sorted keys."""
    variables = tf.nest.map_structure(lambda x: tf.Variable(x, trainable=trainable), tree)

    @tf.function(input_signature=[tf.TensorSpec((batch, side, side, 3), tf.float32)])
    def call(inputs):
        return program(variables, inputs)

    wrapper = tf.train.Checkpoint()  # as in jax2tf's example of a reusable SavedModel
    wrapper.variables = tf.nest.flatten(variables)
    wrapper.trainable_variables = [v for v in wrapper.variables if v.trainable]
    wrapper.__call__ = call
    tf.saved_model.save(wrapper, str(folder), signatures=call)


def from_npz(path):
    """Read a Google `.npz` as nested dicts."""
    tree = {}
    with np.load(path) as archive:
        for name, value in archive.items():
            *folders, leaf = name.split("/")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
            node[leaf] = value
    return tree


if __name__ == "__main__":
    weights = from_npz(sys.argv[1])
    patch = weights["embedding"]["kernel"].shape[0]
    patches = weights["Transformer"]["posembed_input"]["pos_embedding"].shape[1] - 1
    save(weights, sys.argv[2], side=round(patches**0.5) * patch)
