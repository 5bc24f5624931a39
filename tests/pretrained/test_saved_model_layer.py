"""A SavedModel wrapped as a layer trains, freezes and saves, or is refused clearly."""

import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers.paths import ROOT
from helpers.waiting import PATIENCE
from vit_keras import SettingError
from vit_keras.config.schema import OptimConfig
from vit_keras.pretrained.saved_model_layer import SavedModelLayer, wrapped_model
from vit_keras.training import optimizer as training_optimizer

if keras.backend.backend() != "tensorflow":
    pytest.skip("only TensorFlow runs a SavedModel", allow_module_level=True)

import tensorflow as tf

from helpers.saved_model_files import CLASSES, UNITS, Net, write


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write(tmp_path_factory.mktemp("plain"))


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


def images(size=(6, 4), dtype="uint8"):
    return np.random.default_rng(1).integers(0, 256, (8, *size, 3)).astype(dtype)


def outputs(model, dtype="uint8"):
    return keras.ops.convert_to_numpy(model(images(dtype=dtype)))


def one_step(model, optimizer="sgd", jit=False):
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    return model.fit(images(), np.arange(8) % CLASSES, batch_size=8, shuffle=False, verbose=0)


def values(owner):
    return {weight.path: weight.numpy().copy() for weight in owner.weights}


def moved(before, owner):
    return {path: bool((before[path] != new).any()) for path, new in values(owner).items()}


def in_the_graph(model):
    """The values that TensorFlow's own object has, sorted; Keras is not asked."""
    loaded = model.get_layer("backbone")._saved.loaded
    return [getattr(loaded, name).numpy() for name in ("b1", "b2", "w1", "w2")]


def with_head_away_from_zero(model):
    head = model.get_layer("head")
    head.kernel.assign(np.random.default_rng(2).normal(0, 1, head.kernel.shape))
    return model


def test_logits_are_those_of_the_saved_model_on_normalised_pixels(plain):
    model = wrapped_model(plain, pixel_mean=(0.1, 0.2, 0.3), pixel_std=0.5)
    expected = Net().logits((images() / 255 - [0.1, 0.2, 0.3]) / 0.5)
    for dtype in ("uint8", "float32"):
        np.testing.assert_allclose(outputs(model, dtype=dtype), expected, 1e-5)


@pytest.mark.parametrize(
    ("name", "jit"), [("adamw", True), ("adamw", False), ("adam", True), ("sgd", False)]
)
def test_a_step_moves_every_variable_of_keras_and_of_the_graph(name, jit, plain):
    model = with_head_away_from_zero(wrapped_model(plain, CLASSES))
    before, graph_before = values(model), in_the_graph(model)
    features = keras.Model(model.inputs[0], model.get_layer("backbone").output)
    features_before = outputs(features)
    config = OptimConfig(name=name, weight_decay=0.05)
    one_step(model, training_optimizer.build_optimizer(config, model, 0.01), jit)
    assert len(before) == 6
    assert all(moved(before, model).values())
    for old, new in zip(graph_before, in_the_graph(model), strict=True):
        assert (old != new).any()
    assert (outputs(features) != features_before).any()


@pytest.mark.parametrize("jit", [False, True])
def test_frozen_is_frozen_bit_for_bit_and_thaws(jit, plain):
    model = with_head_away_from_zero(wrapped_model(plain, CLASSES))
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    before, head_before, graph_before = values(backbone), values(head), in_the_graph(model)
    backbone.trainable = False
    one_step(model, keras.optimizers.AdamW(0.01, weight_decay=0.1), jit)
    assert not any(moved(before, backbone).values())
    for old, new in zip(graph_before, in_the_graph(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(moved(head_before, head).values())

    backbone.trainable = True
    one_step(model, keras.optimizers.AdamW(0.01), jit)
    assert all(moved(before, backbone).values())


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_weight_decay_shrinks_matrices_and_nothing_else(name, plain):
    model = with_head_away_from_zero(wrapped_model(plain, CLASSES))
    config = OptimConfig(name=name, weight_decay=0.05)
    optimizer = training_optimizer.build_optimizer(config, model, 0.1)
    optimizer.build(model.trainable_variables)
    before = values(model)
    optimizer.apply([tf.zeros(weight.shape) for weight in model.trainable_weights])
    for path, new in values(model).items():
        expected = before[path] * (1 - 0.1 * 0.05 if new.ndim == 2 else 1)
        np.testing.assert_allclose(new, expected, rtol=1e-6, err_msg=path)


AGAIN = """
import sys
import keras, numpy as np
import vit_keras
folder = sys.argv[1]
model = keras.models.load_model(f"{folder}/model.keras", safe_mode=False)
data = np.load(f"{folder}/data.npz")
before = model.predict(data["images"], verbose=0)
model.save(f"{folder}/again.keras")
model = keras.models.load_model(f"{folder}/again.keras", safe_mode=False)
model.fit(data["images"], data["labels"], batch_size=8, shuffle=False, verbose=0)
after = model.predict(data["images"], verbose=0)
np.savez(f"{folder}/out.npz", before=before, after=after)
"""


@pytest.mark.slow
def test_another_process_predicts_and_trains_on_when_the_folder_is_gone(tmp_path):
    folder = write(tmp_path / "saved", Cluttered(), Cluttered.logits)
    model = with_head_away_from_zero(wrapped_model(folder, CLASSES))
    one_step(model, keras.optimizers.AdamW(0.01, weight_decay=0.1))
    shutil.rmtree(tmp_path / "saved")
    model.save(tmp_path / "model.keras")
    labels = np.arange(8) % CLASSES
    np.savez(tmp_path / "data.npz", images=images(), labels=labels)
    result = subprocess.run(
        [sys.executable, "-c", AGAIN, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(out["before"], model.predict(images(), verbose=0))
    model.fit(images(), labels, batch_size=8, shuffle=False, verbose=0)
    expected = model.predict(images(), verbose=0)
    np.testing.assert_allclose(out["after"], expected, rtol=1e-5)


def test_a_model_saved_frozen_thaws_after_loading(plain, tmp_path):
    model = with_head_away_from_zero(wrapped_model(plain, CLASSES))
    model.get_layer("backbone").trainable = False
    model.save(tmp_path / "frozen.keras")
    loaded = keras.models.load_model(tmp_path / "frozen.keras", safe_mode=False)
    backbone = loaded.get_layer("backbone")
    assert backbone.trainable_weights == []
    backbone.trainable = True
    before = values(backbone)
    one_step(loaded)
    assert all(moved(before, backbone).values())


def test_safe_mode_refuses_a_file_that_carries_code(plain, tmp_path):
    wrapped_model(plain, CLASSES).save(tmp_path / "model.keras")
    with pytest.raises(SettingError, match=r"SavedModel, which is code.*safe_mode=False"):
        keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("file", ["model.weights.h5", "model.keras"])
def test_weights_load_into_a_live_model_and_its_graph(file, plain, tmp_path):
    trained, live = (with_head_away_from_zero(wrapped_model(plain, CLASSES)) for _ in range(2))
    one_step(trained)
    save = trained.save_weights if file.endswith("h5") else trained.save
    save(tmp_path / file)
    old = outputs(live)
    live.load_weights(tmp_path / file)
    expected = outputs(trained)
    assert (old != expected).any()
    np.testing.assert_array_equal(outputs(live), expected)
    for one, other in zip(in_the_graph(live), in_the_graph(trained), strict=True):
        np.testing.assert_array_equal(one, other)


def test_mixed_precision_leaves_it_in_float32(plain):
    expected = outputs(with_head_away_from_zero(wrapped_model(plain, CLASSES)))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = with_head_away_from_zero(wrapped_model(plain, CLASSES))
        logits = outputs(model)
        one_step(model)
    finally:
        keras.config.set_dtype_policy(before)
    assert logits.dtype == "float32"
    np.testing.assert_array_equal(logits, expected)


def test_train_all_trains_what_was_saved_as_not_trainable(tmp_path):
    folder = write(tmp_path, Net(trainable=False))
    model = with_head_away_from_zero(wrapped_model(folder, CLASSES, train_all=True))
    before = values(model)
    one_step(model)
    assert all(moved(before, model).values())


class Cluttered(Net):
    """With a factor that no gradient reaches, and things that the call does not use."""

    def __init__(self):
        super().__init__()
        self.a_label = tf.Variable("of no use")
        self.a_copy = tf.Variable(self.w1)
        self.factor = tf.Variable(2.0)
        self.step = tf.Variable(7, dtype="int64")

    def logits(self, x):
        return super().logits(x) * tf.stop_gradient(self.factor)


def test_only_what_is_used_is_held_and_only_what_has_a_gradient_counts_as_trained(tmp_path):
    model = wrapped_model(write(tmp_path, Cluttered(), Cluttered.logits), train_all=True)
    backbone = model.get_layer("backbone")
    assert [float(weight) for weight in backbone.non_trainable_weights] == [2.0]
    assert model.count_params() == 1 + (3 * 8 + 8) + (8 * UNITS + UNITS)


def test_every_size_is_taken_where_the_saved_model_takes_every_size(tmp_path):
    folder = write(tmp_path, spec=(None, None, None, 3))
    assert wrapped_model(folder, image_size=(5, 7)).input_shape == (None, 5, 7, 3)
    with pytest.raises(SettingError, match=r"image_size is not set.*set image_size"):
        wrapped_model(folder)


@pytest.mark.parametrize("signature", [False, True])
def test_of_several_outputs_the_vectors_are_taken(signature, tmp_path):
    def call(net, x):
        return {"a_map": x, "vector": net.logits(x), "z_scalar": tf.reduce_sum(x)}

    model = wrapped_model(write(tmp_path, call=call, signature=signature))
    expected = Net().logits(images() / 127.5 - 1)
    np.testing.assert_allclose(outputs(model), expected, 1e-5)
    one_step(model)


def test_saved_model_is_called_with_training_false(tmp_path):
    class WithDropout(Net):
        @tf.function
        def __call__(self, x, training=True):
            return self.logits(x) * (0.0 if training else 1.0)

    net = WithDropout()
    for training in (True, False):
        net.__call__.get_concrete_function(tf.TensorSpec((None, 6, 4, 3)), training=training)
    tf.saved_model.save(net, str(tmp_path))
    assert outputs(wrapped_model(tmp_path)).all()


def test_distinct_names_are_kept(tmp_path):
    net = Net()
    for name in ("w1", "b1", "w2", "b2"):
        setattr(net, name, tf.Variable(getattr(net, name), name=f"block/{name}"))
    backbone = wrapped_model(write(tmp_path, net)).get_layer("backbone")
    names = {weight.name for weight in backbone.weights}
    assert names == {"block_w1_kernel", "block_b1", "block_w2_kernel", "block_b2"}


def prevented(net, x):
    message = "no gradients here\nand a long story"
    return tf.raw_ops.PreventGradient(input=net.logits(x), message=message)


def constants(net, x):
    return tf.reduce_mean(x, axis=(1, 2)) @ tf.ones((3, UNITS))


class WithText(Net):
    def __init__(self):
        super().__init__()
        self.label = tf.Variable("a label")

    def logits(self, x):
        return super().logits(x) * tf.cast(tf.strings.length(self.label), "float32")


def shard(folder):
    return folder / "variables" / "variables.data-00000-of-00001"


# What is wrong: how it is written, what is done to the files, arguments, words of the message.
REFUSED = {
    "no_saved_model": ({}, lambda f: (f / "saved_model.pb").unlink(), {}, ["saved_model.pb"]),
    "no_graph": ({}, lambda f: os.truncate(f / "saved_model.pb", 99), {}, ["export it again"]),
    "no_shard": ({}, lambda f: shard(f).unlink(), {}, ["data-00000-of-00001", "export it again"]),
    "half_a_shard": ({}, lambda f: os.truncate(shard(f), 99), {}, ["export it again"]),
    "constants": (dict(net=tf.Module(), call=constants), None, {}, ["no variables"]),
    "not_trainable": (dict(net=Net(False)), None, {}, ["not trainable", "train_all=True"]),
    "prevented": (dict(call=prevented), None, {}, ["no gradients here", "with_gradient=True"]),
    "stopped": (
        dict(call=lambda net, x: tf.stop_gradient(net.logits(x))),
        None,
        {},
        ["no gradient", "depends on them"],
    ),
    "another_size": ({}, None, dict(image_size=8), ["image_size=8", "6x4", "leave image_size out"]),
    "a_map": (dict(call=lambda net, x: x * net.b1[0]), None, {}, ["0 outputs", "(1, 6, 4, 3)"]),
    "two_vectors": (
        dict(call=lambda net, x: {"one": net.logits(x), "two": net.logits(x)}),
        None,
        {},
        ["2 outputs", "one (1, 5), two (1, 5)"],
    ),
    "fixed_batch": (dict(spec=(2, 6, 4, 3)), None, {}, ["batches of 2", "batch size of None"]),
    "integers": (dict(dtype="uint8"), None, {}, ["float batch", "uint8", "export it"]),
    "vectors_in": (
        dict(spec=(None, 3), call=lambda net, x: x @ net.w1),
        None,
        {},
        ["takes TensorSpec(shape=(None, 3)"],
    ),
    "text": (
        dict(net=WithText(), call=WithText.logits),
        None,
        {},
        ["Keras cannot track", "string"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_saved_model_is_refused_in_one_line(case, tmp_path):
    settings, spoil, arguments, words = REFUSED[case]
    folder = write(tmp_path / "saved", **settings)
    if spoil:
        spoil(folder)
    with pytest.raises(SettingError) as refused:
        wrapped_model(folder, CLASSES, **arguments)
    message = str(refused.value)
    assert "\n" not in message
    for word in (str(folder), *words):
        assert word in message


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(pixel_mean=(0.5, 0.5)), "pixel_mean=[0.5, 0.5]"),
        (dict(pixel_std=0), "pixel_std=0"),
    ],
)
def test_wrong_settings_are_refused(arguments, word, plain):
    with pytest.raises(SettingError) as refused:
        wrapped_model(plain, **arguments)
    assert word in str(refused.value)


def test_other_backends_are_refused(plain, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for make in (lambda: wrapped_model(plain), lambda: SavedModelLayer([], 1)):
        with pytest.raises(SettingError, match=r"KERAS_BACKEND=jax.*KERAS_BACKEND=tensorflow"):
            make()


def test_a_distribution_strategy_is_refused(plain):
    """TensorFlow would run the graph on placeholders there."""
    with (
        tf.distribute.OneDeviceStrategy("CPU:0").scope(),
        pytest.raises(SettingError, match=r"strategy\.scope\(\)"),
    ):
        wrapped_model(plain)
