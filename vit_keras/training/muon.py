"""Muon for the kernels of encoder blocks, AdamW for everything else.

Letters: M, N rows and columns of a matrix.
"""

from typing import Any

import keras
from keras import ops

from vit_keras.errors import SettingError
from vit_keras.model.mlp import SwiGLU


@keras.saving.register_keras_serializable("vit_keras")
class Muon(keras.optimizers.Muon):
    """Muon: momentum, whose matrices are orthogonalised before each update.

    Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/): with the gradient G and the
    momentum μ, B ← μ B + G and W ← W - η s O(G + μ B), where O brings the singular values of a
    matrix near 1 (0.7 to 1.2), by five iterations of Newton and Schulz. s = 0.2 √max(M, N) gives
    the updates the root mean square of AdamW's, so that one learning rate serves both (Liu et al.
    2025, https://arxiv.org/abs/2502.16982, eq. 4). Variables that are not in `kernels` are updated
    by AdamW.

    Unlike in Keras' own, kernels are named and not guessed, and fused ones are orthogonalised as
    the matrices that they consist of. Weight decay is that of Keras' other optimizers, the same
    for all variables that are not excluded from it.

    Args:
        kernels: path of a variable -> the number of matrices that lie in it side by side.
        beta_1, beta_2: of AdamW.
        settings: further ones of `keras.optimizers.Muon`, by their names there.
    """

    def __init__(
        self, kernels: dict[str, int], beta_1: float = 0.9, beta_2: float = 0.999, **settings: Any
    ) -> None:
        super().__init__(adam_beta_1=beta_1, adam_beta_2=beta_2, **settings)
        self.kernels, self.beta_1, self.beta_2 = dict(kernels), beta_1, beta_2

    def _should_use_adamw(self, variable: Any) -> bool:
        return variable.path not in self.kernels

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        # On TensorFlow, `variable` is the tf.Variable, which has no path.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        gradient = ops.cast(gradient, variable.dtype)
        average = gradient + self.momentum * m
        self.assign(m, average)
        update = gradient + self.momentum * average if self.nesterov else average
        rows, columns = variable.shape[0], variable.shape[1] // self.kernels[path]
        matrices = ops.reshape(update, (rows, self.kernels[path], columns))
        matrices = ops.transpose(matrices, (1, 0, 2))  # those of one kernel, (M, N) each
        matrices = self.zeropower_via_newtonschulz5(matrices, self.ns_steps)
        update = ops.reshape(ops.transpose(matrices, (1, 0, 2)), variable.shape)
        scale = 1.0 if self.rms_rate is None else self.rms_rate * max(rows, columns) ** 0.5
        self.assign_sub(variable, ops.cast(lr, variable.dtype) * scale * update)

    def _apply_weight_decay(self, variables: Any) -> None:
        # Past Keras' Muon, which has a second rate, and does not know of several devices.
        super(keras.optimizers.Muon, self)._apply_weight_decay(variables)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        betas = {name: config.pop(f"adam_{name}") for name in ("beta_1", "beta_2")}
        return {**config, **betas, "kernels": dict(self.kernels)}


def matrices_of_blocks(vit: Any) -> dict[str, int]:
    """Path of each kernel of an encoder block -> the number of matrices in it.

    Queries, keys and values have a matrix each in their fused kernel, and so have the gate and the
    value of SwiGLU. Low-rank factors (`lora`) are none: their product is the matrix.
    """
    found = {}
    for block in vit.layers:
        if not block.name.startswith("encoder_block_"):
            continue
        fused = {"attention/qkv": 3, "mlp/hidden": 2 if isinstance(block.mlp, SwiGLU) else 1}
        for weight in block.weights:
            if weight.name == "kernel" and len(weight.shape) == 2:
                layer = weight.path.removeprefix(f"{block.name}/").removesuffix("/kernel")
                found[weight.path] = fused.get(layer, 1)
    return found


def check_blocks(vit: Any) -> None:
    """Check that a model has kernels for Muon.

    Raises:
        SettingError: it has no encoder blocks.
    """
    if not matrices_of_blocks(vit):
        raise SettingError(
            f"optim.name=muon needs the kernels of a ViT's encoder blocks, and {vit.name} is a "
            "wrapped SavedModel; use optim=adamw"
        )
