"""A Vision Transformer's forward pass in NumPy, from the equations of Dosovitskiy et al. 2021.

The reference of the tests: float64, one head and one patch at a time, slow and simple. It shares
only the names and shapes of the weights with the package.
"""

import math

import numpy as np

EPSILON = 1e-6

erf = np.vectorize(math.erf, otypes=[float])

GELU = {
    "exact": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
}


def vit(
    weights,
    images,
    *,
    patch_size,
    num_heads,
    depth,
    stem="patch",
    pool="token",
    gelu="exact",
    mean=0.5,
    std=0.5,
):
    """Logits (B, classes) of pixels (B, X, Y, C) in 0..255; `weights` is {path: array}."""
    weights = {path: np.asarray(value, np.float64) for path, value in weights.items()}
    batch = len(images)

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]

    def attention(x, name):
        q, k, v = np.split(dense(x, f"{name}/qkv"), 3, axis=-1)  # eq. 5
        heads = zip(*(np.split(part, num_heads, axis=-1) for part in (q, k, v)), strict=True)
        joined = np.concatenate([one_head(*head) for head in heads], axis=-1)
        return dense(joined, f"{name}/projection")  # eq. 8

    def mlp(x, name):
        return dense(GELU[gelu](dense(x, f"{name}/hidden")), f"{name}/output")

    x = (np.asarray(images, np.float64) / 255 - mean) / std
    if stem == "cct":
        z = cct_tokens(x, weights, patch_size)
    else:
        z = dense(patches(x, patch_size), "patch_embedding/projection")
    if pool == "token":
        token = weights["class_token/class_token"]
        z = np.concatenate([np.repeat(token, batch, axis=0), z], axis=1)
    z = z + weights["position_embedding/position_embedding"]  # eq. 1
    for index in range(depth):
        block = f"encoder_block_{index}"
        z = attention(norm(z, f"{block}/attention_norm"), f"{block}/attention") + z  # eq. 2
        z = mlp(norm(z, f"{block}/mlp_norm"), f"{block}/mlp") + z  # eq. 3
    z = norm(z, "encoder_norm")
    if pool == "seq":  # softmax(g(z))ᵀ z, Hassani et al. 2021
        raised = np.exp(dense(z, "pooling/score"))
        z = z * (raised / raised.mean(axis=1, keepdims=True))
    return dense(z[:, 0] if pool == "token" else z.mean(axis=1), "head")  # eq. 4


def cct_tokens(images, weights, side):
    """The tokenizer of Hassani et al. 2021, figure 2: (B, X, Y, C) -> (B, XY / P², D)."""
    x = images
    for name in [*(f"conv_{i}" for i in range(int(math.log2(side)) - 1)), "projection"]:
        kernel = weights[f"patch_embedding/{name}/kernel"]
        x = np.einsum("bijxyc,xycd->bijd", windows(x, stride=1, border=0), kernel)
        x = windows(np.maximum(x, 0), stride=2, border=-np.inf).max(axis=(3, 4))
    return x.reshape(len(x), -1, x.shape[-1])


def windows(images, stride, border):
    """3x3 windows, with a border of one pixel: (B, X, Y, C) -> (B, X / s, Y / s, 3, 3, C)."""
    _, rows, columns, _ = images.shape
    x = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=border)
    places = [
        [x[:, i : i + 3, j : j + 3] for j in range(0, columns, stride)]
        for i in range(0, rows, stride)
    ]
    return np.stack([np.stack(row, axis=1) for row in places], axis=1)


def patches(images, side):
    """(B, X, Y, C) -> (B, XY / P², P²C), row by row from the top left."""
    _, rows, columns, _ = images.shape
    return np.stack(
        [
            images[:, top : top + side, left : left + side].reshape(len(images), -1)
            for top in range(0, rows, side)
            for left in range(0, columns, side)
        ],
        axis=1,
    )


def one_head(q, k, v):
    """softmax(q kᵀ / √K) v for (B, N, K); eq. 6 and 7."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True) @ v
