"""The private Keras attributes that the package uses, with their expected behaviour.

A new Keras may rename them: then these tests name the attribute and where it is used.
"""

import keras
import numpy as np
import pytest

from vit_keras import build_vit
from vit_keras.training.callbacks.saving import ExactSwapEMAWeights

pytestmark = pytest.mark.jax


def private(owner, attribute, used_by):
    """The private `attribute` of `owner`, or a failure that says what to change."""
    if not hasattr(owner, attribute):
        pytest.fail(
            f"Keras {keras.__version__}: {type(owner).__name__} has no `{attribute}`, which "
            f"{used_by} uses"
        )
    return getattr(owner, attribute)


@pytest.fixture(scope="module")
def vit():
    sizes = dict(patch_size=2, width=4, depth=1, num_heads=2, mlp_dim=8)
    return build_vit(None, image_size=4, num_classes=3, channels=1, **sizes)


@pytest.fixture
def optimizer(vit):
    result = keras.optimizers.Adam(use_ema=True)
    result.build(vit.trainable_variables)
    return result


def test_flatten_layers_reaches_the_layers_inside_of_layers(vit):
    flatten = private(vit, "_flatten_layers", "freezing, training_model, model.quantization")
    block = vit.get_layer("encoder_block_0")
    assert {vit, block, block.attention, block.attention.qkv} <= set(flatten())
    assert vit not in set(flatten(include_self=False))


def test_the_dtype_policy_of_a_layer_can_be_replaced(vit):
    dense = keras.layers.Dense(2)
    policy = private(dense, "_dtype_policy", "model.quantization")
    assert policy is dense.dtype_policy
    dense._dtype_policy = keras.dtype_policies.get("bfloat16")
    assert dense.compute_dtype == "bfloat16"


def test_layers_are_the_direct_sublayers_of_a_layer(vit):
    block = vit.get_layer("encoder_block_0")
    layers = private(block, "_layers", "freezing._add_lora")
    assert block.attention in layers
    assert block.attention.qkv not in layers


def test_trainable_variables_of_an_optimizer_are_those_it_was_built_for(vit, optimizer):
    variables = private(optimizer, "_trainable_variables", "training.optimizer")
    assert [v.path for v in variables] == [v.path for v in vit.trainable_variables]


def test_variable_index_is_the_place_in_trainable_variables(vit, optimizer):
    index = private(optimizer, "_get_variable_index", "training.optimizer._PerVariableRates")
    assert [index(v) for v in vit.trainable_variables] == list(range(len(vit.trainable_variables)))


def test_moving_averages_lie_in_the_order_of_the_variables(vit, optimizer):
    used_by = "training.optimizer.transfer_optimizer_state"
    averages = private(optimizer, "_model_variables_moving_average", used_by)
    assert [v.shape for v in averages] == [v.shape for v in vit.trainable_variables]


def test_the_moving_average_is_a_method_of_the_optimizer(optimizer):
    private(optimizer, "_update_model_variables_moving_average", "training.optimizer")


def test_a_schedule_counts_batches_also_when_they_are_accumulated(vit):
    schedule = keras.optimizers.schedules.CosineDecay(1.0, 8)
    sgd = keras.optimizers.SGD(schedule, gradient_accumulation_steps=2)
    sgd.build(vit.trainable_variables)
    for _ in range(3):
        sgd.apply([keras.ops.zeros(v.shape) for v in vit.trainable_variables])
    used_by = "training.optimizer.last_learning_rate"
    assert int(private(sgd, "_iterations", used_by)) == 3
    assert private(sgd, "_learning_rate", used_by) is schedule
    assert float(sgd.learning_rate) == pytest.approx(float(schedule(3)))


def test_tensorboard_asks_for_the_learning_rate_by_a_method():
    callback = keras.callbacks.TensorBoard("logs")
    private(callback, "_collect_learning_rate", "callbacks.history.TensorBoard")


def test_loss_scaling_wraps_the_optimizer_as_inner_optimizer():
    inner = keras.optimizers.Adam()
    scaled = keras.optimizers.LossScaleOptimizer(inner)
    assert private(scaled, "inner_optimizer", "training.optimizer._inner") is inner


def test_averaged_weights_are_swapped_by_the_two_methods_that_are_overridden(vit, optimizer):
    callback = keras.callbacks.SwapEMAWeights()
    used_by = "callbacks.saving.ExactSwapEMAWeights"
    private(callback, "_tf_swap_variables", used_by)
    private(callback, "_backend_swap_variables", used_by)
    averages = private(optimizer, "_model_variables_moving_average", used_by)
    weight, average = vit.trainable_variables[0], averages[0]
    average.assign(weight + 1 / 3)
    before = [keras.ops.convert_to_numpy(v).copy() for v in (weight, average)]
    model = keras.Sequential([vit])
    model.compile(optimizer)
    swap = ExactSwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    after = [keras.ops.convert_to_numpy(v).copy() for v in (average, weight)]
    swap.on_test_end()
    np.testing.assert_array_equal(before, after, f"Keras {keras.__version__}: the swap rounds")


def test_value_of_a_variable_is_the_array_of_the_backend():
    variable = keras.Variable([1.0, 2.0])
    value = private(variable, "_value", "pretrained.saved_model_layer.SavedModelLayer.share")
    assert value is variable.value


def test_safe_mode_can_be_asked_for():
    from keras.src.saving import serialization_lib

    in_safe_mode = private(serialization_lib, "in_safe_mode", "pretrained.saved_model_layer")
    with private(serialization_lib, "SafeModeScope", "this test")(safe_mode=False):
        assert in_safe_mode() is False
