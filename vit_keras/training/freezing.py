"""Freezing: which layers of a model a stage trains, and at which share of the learning rate."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from vit_keras.config.stages import PARTS, Stage
from vit_keras.errors import SettingError
from vit_keras.text import counted
from vit_keras.training import muon

EMBEDDING = (
    *("patch_embedding", "class_token", "distillation_token", "position_embedding"),
    *("registers", "pre_norm", "backbone"),
)
TOP = ("encoder_norm", "pooling", "head")
LORA = "/lora_kernel_"  # in the paths of low-rank factors, as Keras names them


def check_layers(vit: Any, stage: Stage) -> None:
    """Check that the model has the layers that `stage` and its optimizer train, each with a rate.

    Raises:
        SettingError: it has not.
    """
    trained_layers(vit, stage)
    if stage.layer_decay != 1:
        layer_multipliers(vit, stage)
    if stage.optim.name == "muon":
        muon.check_blocks(vit)


def freeze(vit: Any, stage: Stage) -> None:
    """Make exactly the layers of `stage` trainable; takes effect when the model is compiled."""
    trained = trained_layers(vit, stage)
    for layer in vit.layers:
        layer.trainable = False  # on TensorFlow, weights get a value only where the layer's changes
        layer.trainable = layer.name in trained
    if stage.kind == "lora":
        for layer in vit.layers:
            if layer.name.startswith("encoder_block_"):
                _add_lora(layer, stage.lora_rank)
    elif stage.kind in PARTS:
        for layer in vit.layers:
            if layer.name != "head":
                _freeze_all_but(layer, stage.kind)


def _freeze_all_but(layer: Any, kind: str) -> None:
    """Of a layer and those in it, leave the biases trainable, or the layer normalisations.

    The shift of a layer normalisation is a bias, as in BitFit (Ben Zaken et al. 2022,
    https://arxiv.org/abs/2106.10199, section 3). LN-Tune trains its scale and its shift (Basu et
    al. 2024, https://arxiv.org/abs/2304.01917).
    """
    layer.trainable = True
    for inner in layer._flatten_layers():
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False  # of a convolutional stem: its statistics stay
            continue
        is_norm = isinstance(inner, keras.layers.LayerNormalization)
        for weight in inner._trainable_variables:
            is_bias = weight.name == "bias" or (is_norm and weight.name == "beta")
            weight.trainable = is_norm if kind == "norm" else is_bias


def _add_lora(block: Any, rank: int) -> None:
    block.trainable = True
    adapted = (block.attention.qkv, block.mlp.hidden, block.mlp.output_projection)
    for layer in (*block._layers, *block.attention._layers):
        if layer not in (block.attention, block.mlp, *adapted):
            layer.trainable = False
    for dense in adapted:
        dense.enable_lora(rank)
        dense.bias.trainable = False


@contextmanager
def merging_lora_in_float32(vit: Any) -> Iterator[None]:
    """Within this context, saving merges LoRA's low-rank factors into the kernels in float32.

    Keras merges in the compute dtype; half precision would round the whole kernel.
    """
    adapted = [layer for layer in vit._flatten_layers() if getattr(layer, "lora_enabled", False)]
    policies = [layer.dtype_policy for layer in adapted]
    for layer in adapted:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in zip(adapted, policies, strict=True):
            layer.dtype_policy = policy


def count_params(vit: Any) -> int:
    """Parameters of the model as it is saved, with LoRA's low-rank factors merged."""
    return sum(_size(weight) for weight in vit.weights if LORA not in weight.path)


def trained_layers(vit: Any, stage: Stage) -> set[str]:
    """Names of the layers of which `stage` trains every weight."""
    names = {layer.name for layer in vit.layers}
    blocks = sum(name.startswith("encoder_block_") for name in names)
    if stage.kind == "all":
        return names
    if stage.kind in ("last", *PARTS) and not blocks:
        raise SettingError(
            f"stages.{stage.name}.trainable={stage.kind} needs the encoder blocks of a ViT, and "
            f"{vit.name} is a wrapped SavedModel; use head or all"
        )
    if stage.blocks > blocks:
        raise SettingError(
            f"stages.{stage.name}.trainable={{last: {stage.blocks}}} is more than the "
            f"{counted(blocks, 'block[s]')} of {vit.name}; use {blocks} or less"
        )
    if stage.kind == "prompt" and "registers" not in names:
        raise SettingError(
            f"stages.{stage.name}.trainable=prompt needs prompts, and {vit.name} has none; set "
            "pretrained.prompts=8, or use another kind of stage"
        )
    last = {f"encoder_block_{i}" for i in range(blocks - stage.blocks, blocks)}
    prompts = {"registers"} if stage.kind == "prompt" else set()
    return {"head", *prompts, *last, *(TOP if last else [])}


def has_newly_trainable(vit: Any, stages: Sequence[Stage], name: str) -> bool:
    """Whether the stage called `name` trains a variable that an earlier stage did not."""
    index = [stage.name for stage in stages].index(name)
    trained = _trained(vit, stages[index])
    return any(trained - _trained(vit, earlier) for earlier in stages[:index])


def _trained(vit: Any, stage: Stage) -> set[str]:
    """What tells stages apart by what they train: names of whole layers, and kinds of parts."""
    parts = {"bias", "norm"} if stage.kind == "all" else {stage.kind} & {*PARTS}
    return trained_layers(vit, stage) | parts


def layer_multipliers(vit: Any, stage: Stage) -> dict[str, float]:
    """Layer name -> learning-rate multiplier: `layer_decay` to the power of the layers above it.

    As in BEiT (Bao et al. 2022, appendix): the embedding is layer 0, block i is layer i + 1, and
    the last norm, the pooling and the head are the top layer.

    Raises:
        SettingError: a layer with weights is none of these.
    """
    blocks = sum(layer.name.startswith("encoder_block_") for layer in vit.layers)
    depths = dict.fromkeys(EMBEDDING, 0) | dict.fromkeys(TOP, blocks + 1)
    depths |= {f"encoder_block_{i}": i + 1 for i in range(blocks)}
    for layer in vit.layers:
        if layer.weights and layer.name not in depths:
            raise SettingError(
                f"stages.{stage.name}.layer_decay={stage.layer_decay} has no rate for the layer "
                f"{layer.name} of {vit.name}; use layer_decay=1"
            )
    return {name: stage.layer_decay ** (blocks + 1 - depth) for name, depth in depths.items()}


def variable_multipliers(vit: Any, stage: Stage) -> dict[str, float]:
    """Path of a trainable variable -> the learning-rate multiplier of its layer."""
    multipliers = layer_multipliers(vit, stage)
    paths = [variable.path for variable in vit.trainable_variables]
    return {path: multipliers[path.partition("/")[0]] for path in paths}


def trainable_table(vit: Any, stage: Stage) -> str:
    """Trained and frozen parameters and the peak learning rate of each layer with weights."""
    rates = layer_multipliers(vit, stage) if stage.layer_decay != 1 else {}
    rows = []
    for layer in vit.layers:
        if layer.weights:
            trained = sum(_size(weight) for weight in layer.trainable_weights)
            frozen = sum(_size(weight) for weight in layer.weights) - trained
            rate = f"{stage.optim.learning_rate * rates.get(layer.name, 1):.2e}" if trained else "-"
            rows.append((layer.name, f"{trained:,}", f"{frozen:,}", rate))
    trained = sum(_size(weight) for weight in vit.trainable_weights)
    frozen = sum(_size(weight) for weight in vit.weights) - trained
    rows.append(("total", f"{trained:,}", f"{frozen:,}", ""))
    head = ("", "trained", "frozen", "peak rate")
    return "\n".join(f"  {a:<20}{b:>14}{c:>14}{d:>12}" for a, b, c, d in [head, *rows])


def _size(weight: Any) -> int:
    size = 1
    for side in weight.shape:
        size *= side
    return size
