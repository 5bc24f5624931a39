"""What trains when: a run as a list of stages, each with its own layers, length and rate.

A run from scratch is one stage, in which everything trains. Nothing here imports Keras.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vit_keras.config.stages import Stage
from vit_keras.errors import SettingError

EMBEDDING = ("patch_embedding", "class_token", "position_embedding", "registers", "backbone")
TOP = ("encoder_norm", "pooling", "head")
LORA = "/lora_kernel_"  # in the paths of low-rank factors, as Keras names them


def check_layers(vit: Any, stage: Stage) -> None:
    """Refuse a stage of layers that the model does not have, or has and that get no rate.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    trained_layers(vit, stage)
    if stage.layer_decay != 1:
        layer_multipliers(vit, stage)


def freeze(vit: Any, stage: Stage) -> None:
    """Make exactly what `stage` trains trainable; takes effect when the model is compiled."""
    chosen = trained_layers(vit, stage)
    for layer in vit.layers:
        layer.trainable = layer.name in chosen
    if stage.kind == "lora":
        for layer in vit.layers:
            if layer.name.startswith("encoder_block_"):
                _add_lora(layer, stage.lora_rank)


def _add_lora(block: Any, rank: int) -> None:
    block.trainable = True
    added_to = (block.attention.qkv, block.mlp.hidden, block.mlp.output_projection)
    for part in (*block._layers, *block.attention._layers):
        if part not in (block.attention, block.mlp, *added_to):
            part.trainable = False
    for dense in added_to:
        dense.enable_lora(rank)
        dense.bias.trainable = False


@contextmanager
def merging_exactly(vit: Any) -> Iterator[None]:
    """In here Keras merges low-rank factors into the kernels that it saves in float32.

    It would merge them in the precision that the model computes in, and round all of the kernel.
    """
    policies = {
        part: part.dtype_policy
        for part in vit._flatten_layers()
        if getattr(part, "lora_enabled", False)
    }
    for part in policies:
        part.dtype_policy = "float32"
    try:
        yield
    finally:
        for part, policy in policies.items():
            part.dtype_policy = policy


def count_params(vit: Any) -> int:
    """Of the model as it is saved: low-rank factors are merged then."""
    return sum(_size(weight) for weight in vit.weights if LORA not in weight.path)


def trained_layers(vit: Any, stage: Stage) -> set[str]:
    """The names of the layers that `stage` trains whole."""
    names = {layer.name for layer in vit.layers}
    blocks = sum(name.startswith("encoder_block_") for name in names)
    if stage.kind == "all":
        return names
    if stage.kind in ("last", "lora") and not blocks:
        raise SettingError(
            f"stages.{stage.name}.trainable={stage.kind} needs the encoder blocks of a ViT, and "
            f"{vit.name} is wrapped whole; use head or all"
        )
    if stage.blocks > blocks:
        raise SettingError(
            f"stages.{stage.name}.trainable={{last: {stage.blocks}}} is more than the "
            f"{blocks} blocks of {vit.name}; use {blocks} or less"
        )
    last = {f"encoder_block_{i}" for i in range(blocks - stage.blocks, blocks)}
    return {"head", *last, *(TOP if last else [])}


def has_newly_trainable(vit: Any, stages: list[Stage], name: str) -> bool:
    """Whether the stage called `name` trains something that one before it did not."""
    index = [stage.name for stage in stages].index(name)
    here = trained_layers(vit, stages[index]) | ({LORA} if stages[index].kind == "lora" else set())
    return any(here - trained_layers(vit, earlier) for earlier in stages[:index])


def layer_multipliers(vit: Any, stage: Stage) -> dict[str, float]:
    """Layer -> its share of the rate: `layer_decay` to the power of the layers above it.

    As in BEiT (Bao et al. 2022, appendix): the embedding is layer 0, block i is layer i + 1, and
    the last norm, the pooling and the head are the top.

    Raises:
        SettingError: a layer with weights has no place in that order.
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


def trainable_table(vit: Any, stage: Stage) -> str:
    """What trains and what is frozen, a line a layer with weights, blocks alike in one."""
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
    rows.append(("together", f"{trained:,}", f"{frozen:,}", ""))
    head = ("", "trained", "frozen", "peak rate")
    return "\n".join(f"  {a:<20}{b:>14}{c:>14}{d:>12}" for a, b, c, d in [head, *rows])


def _size(weight: Any) -> int:
    size = 1
    for side in weight.shape:
        size *= side
    return size
