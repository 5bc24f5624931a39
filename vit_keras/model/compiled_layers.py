"""GELU and layer normalisation that XLA compiles one by one, in a training step that it does not.

Without XLA each of them is a dozen passes over the activations, forward and backward, and in
bfloat16 each pass converts to float32 and back. Compiled, with the gradient in closed form, it is
one or two passes, computed in float32, while the matrix products stay oneDNN's or cuBLAS'. For
TensorFlow; JAX compiles the whole step.

Letters: B batch, N tokens, D width.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator

import keras
from keras import ops

serializable = keras.saving.register_keras_serializable("vit_keras")

_is_on = contextvars.ContextVar("compiled_layers", default=False)


@contextlib.contextmanager
def compiled_layers(is_on: bool = True) -> Iterator[None]:
    """Whether models that are called in this context use compiled layers; only TensorFlow's can."""
    token = _is_on.set(is_on and keras.backend.backend() == "tensorflow")
    try:
        yield
    finally:
        _is_on.reset(token)


def gelu(x, approximate):
    """x Φ(x), or its tanh approximation: any shape -> the same (Hendrycks & Gimpel 2016)."""
    if not _is_on.get() or approximate:
        return ops.gelu(x, approximate=approximate)
    return _gelu()(x)


@serializable
class LayerNorm(keras.layers.LayerNormalization):
    """Keras' own over the last axis: (B, N, D) -> (B, N, D) (Ba et al. 2016)."""

    def call(self, inputs):
        if not _is_on.get():
            return super().call(inputs)
        gamma = ops.copy(self.gamma)  # the value, because XLA would take the variable
        beta = ops.zeros_like(gamma) if self.beta is None else ops.copy(self.beta)
        return ops.cast(_layer_norm(self.epsilon)(inputs, gamma, beta), self.compute_dtype)


@functools.cache
def _gelu():
    forward, backward = _by_xla(_gelu_of), _by_xla(_gelu_gradient)

    @ops.custom_gradient
    def compiled(x):
        return forward(x), lambda upstream: backward(x, upstream)

    return compiled


def _gelu_of(x):
    return ops.cast(ops.gelu(ops.cast(x, "float32"), approximate=False), x.dtype)


def _gelu_gradient(x, upstream):
    """Φ(x) + x φ(x), with the normal distribution Φ and its density φ."""
    dtype, x = x.dtype, ops.cast(x, "float32")
    distribution = 0.5 * (1 + ops.erf(x * math.sqrt(0.5)))
    density = ops.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return ops.cast(ops.cast(upstream, "float32") * (distribution + x * density), dtype)


@functools.cache
def _layer_norm(epsilon):
    forward = _by_xla(functools.partial(_layer_norm_of, epsilon=epsilon))
    backward = _by_xla(_layer_norm_gradient)

    @ops.custom_gradient
    def compiled(x, gamma, beta):
        normed, mean, scale = forward(x, gamma, beta)
        return normed, lambda upstream: backward(x, mean, scale, gamma, upstream)

    return compiled


def _layer_norm_of(x, gamma, beta, epsilon):
    """(B, N, D) -> the same, with the mean and 1 / standard deviation of each token, (B, N, 1)."""
    dtype, x = x.dtype, ops.cast(x, "float32")
    mean = ops.mean(x, axis=-1, keepdims=True)
    scale = ops.rsqrt(ops.mean(ops.square(x - mean), axis=-1, keepdims=True) + epsilon)
    return ops.cast((x - mean) * scale * gamma + beta, dtype), mean, scale


def _layer_norm_gradient(x, mean, scale, gamma, upstream):
    """Gradients of x, scale and bias: that of x has no part along the normed x, nor a mean."""
    dtype, upstream = x.dtype, ops.cast(upstream, "float32")
    normed = (ops.cast(x, "float32") - mean) * scale
    scaled = upstream * gamma
    along = ops.mean(scaled * normed, axis=-1, keepdims=True)
    of_x = scale * (scaled - ops.mean(scaled, axis=-1, keepdims=True) - normed * along)
    tokens = tuple(range(len(x.shape) - 1))
    of_gamma, of_beta = ops.sum(upstream * normed, axis=tokens), ops.sum(upstream, axis=tokens)
    return ops.cast(of_x, dtype), of_gamma, of_beta


def _by_xla(function):
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)
