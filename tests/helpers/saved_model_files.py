"""SavedModels that are not ViTs, written with plain TensorFlow."""

import numpy as np
import tensorflow as tf

UNITS, CLASSES = 5, 3


class Net(tf.Module):
    """Two dense layers on the mean of a (B, X, Y, 3) batch, of variables without names."""

    def __init__(self, trainable=True):
        rng = np.random.default_rng(0)
        for name, shape in dict(w1=(3, 8), b1=(8,), w2=(8, UNITS), b2=(UNITS,)).items():
            value = rng.uniform(0.1, 1, shape).astype("float32")
            setattr(self, name, tf.Variable(value, trainable=trainable))

    def logits(self, x):
        x = tf.reduce_mean(tf.cast(x, "float32"), axis=(1, 2))
        return tf.nn.softplus(x @ self.w1 + self.b1) @ self.w2 + self.b2


def write(folder, net=None, call=None, spec=(None, 6, 4, 3), dtype="float32", signature=False):
    """Save `net` with `call(net, x)` as its `__call__`, or as its `serving_default` alone."""
    net = net or Net()
    call = call or Net.logits
    function = tf.function(lambda x: call(net, x), input_signature=[tf.TensorSpec(spec, dtype)])
    if not signature:
        net.__call__ = function
    tf.saved_model.save(net, str(folder), signatures=function if signature else None)
    return folder
