"""Optimizers of one variable in NumPy: `step(gradient, rate)` is how far the variable moves."""

import numpy as np


class Adam:
    """Kingma & Ba 2015, algorithm 1, in the order of the end of section 2, as Keras has it."""

    def __init__(self):
        self.m = self.v = self.t = 0

    def step(self, g, rate):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g**2
        rate *= np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        return -rate * self.m / (np.sqrt(self.v) + 1e-7)


class SGD:
    """Nesterov's momentum (Sutskever et al. 2013, eq. 3 and 4, rewritten at the look-ahead)."""

    def __init__(self):
        self.velocity = 0

    def step(self, g, rate):
        self.velocity = 0.9 * self.velocity - rate * g
        return 0.9 * self.velocity - rate * g


class Lion:
    """Chen et al. 2023, algorithm 2."""

    def __init__(self):
        self.m = 0

    def step(self, g, rate):
        move = -rate * np.sign(0.9 * self.m + 0.1 * g)
        self.m = 0.999 * self.m + 0.001 * g
        return move


class Muon:
    """Jordan et al. 2024, of `parts` matrices side by side, at the rate of Liu et al. 2025."""

    def __init__(self, parts):
        self.parts, self.m = parts, 0

    def step(self, g, rate):
        self.m = 0.9 * self.m + g
        updates = np.split(g + 0.9 * self.m, self.parts, axis=1)
        scale = 0.2 * np.sqrt(max(updates[0].shape))
        return -rate * scale * np.concatenate([orthogonalized(u) for u in updates], axis=1)


def orthogonalized(matrix):
    """The polynomial that Newton and Schulz iterate, of the singular values."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ v


def formula(name, path, gate=False):
    """The optimizer `name` of the variable at `path`; with `gate`, SwiGLU in the blocks."""
    if name == "muon" and path.startswith("encoder_block_") and path.endswith("/kernel"):
        fused = {"attention/qkv": 3, "mlp/hidden": 2 if gate else 1}
        return Muon(fused.get(path.partition("/")[2].removesuffix("/kernel"), 1))
    return {"adamw": Adam, "adam": Adam, "muon": Adam, "sgd": SGD, "lion": Lion}[name]()
