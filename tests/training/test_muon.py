"""Muon: matrices of encoder blocks orthogonalised, part by part, and AdamW for the rest."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.optimizer_formulas import formula
from vit_keras import SettingError, build_vit
from vit_keras.config.schema import Config, OptimConfig, StageConfig
from vit_keras.config.stages import plan
from vit_keras.training import freezing, muon, optimizer

pytestmark = pytest.mark.jax

STEPS, RATE, DECAY = 3, 0.02, 0.1
CONFIG = OptimConfig(name="muon", momentum=0.9, weight_decay=DECAY)


def vit_of(mlp="gelu", **settings):
    sizes = dict(patch_size=4, width=8, depth=2, num_heads=2, mlp_dim=12, registers=2)
    return build_vit(None, image_size=8, num_classes=4, mlp=mlp, pool="map", **sizes, **settings)


def moved(vit, config, gradients):
    """Path -> how far a few updates move each weight."""
    made = optimizer.build_optimizer(config, vit, RATE)
    made.build(vit.trainable_variables)
    before = {w.path: ops.convert_to_numpy(w).copy() for w in vit.trainable_variables}
    for each in gradients:
        made.apply([ops.convert_to_tensor(each[path], "float32") for path in before])
    return {
        w.path: ops.convert_to_numpy(w) - before[w.path] for w in vit.trainable_variables
    }, before


def random_gradients(vit):
    rng = np.random.default_rng(0)
    return [
        {w.path: rng.normal(size=w.shape) for w in vit.trainable_variables} for _ in range(STEPS)
    ]


@pytest.mark.parametrize("mlp", ["gelu", "swiglu"])
def test_updates_equal_numpys(mlp):
    """Fused kernels part by part; the embeddings, the pooling, the head and biases by AdamW."""
    vit = vit_of(mlp)
    gradients = random_gradients(vit)
    moves, start = moved(vit, CONFIG, gradients)
    assert sum(path in muon.matrices_of_blocks(vit) for path in moves) == 8
    for path, move in moves.items():
        weight, own = start[path].astype("float64"), formula("muon", path, mlp == "swiglu")
        for each in gradients:
            shrunk = weight * (1 - RATE * (DECAY if path.endswith("kernel") else 0))
            weight = shrunk + own.step(each[path], RATE)
        np.testing.assert_allclose(move, weight - start[path], rtol=2e-4, atol=2e-6, err_msg=path)


def test_updates_are_as_large_as_those_of_adamw_and_have_equal_singular_values():
    vit = vit_of()
    moves, _ = moved(vit, OptimConfig(name="muon"), random_gradients(vit)[:1])
    queries, keys, values = np.split(moves["encoder_block_0/attention/qkv/kernel"], 3, axis=1)
    for part in (queries, keys, values, moves["encoder_block_0/mlp/output/kernel"]):
        singular = np.linalg.svd(part / (RATE * 0.2 * np.sqrt(max(part.shape))))[1]
        assert singular.min() > 0.5
        assert singular.max() < 1.3


def test_it_can_be_made_again_from_its_configuration():
    vit = vit_of()
    made = optimizer.build_optimizer(CONFIG, vit, RATE)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert again.get_config() == made.get_config()
    assert again.kernels == muon.matrices_of_blocks(vit)


def test_a_model_without_blocks_is_refused():
    vit = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")], name="wrapped")
    config = Config(optim=CONFIG)
    (stage,) = plan(config)
    with pytest.raises(SettingError, match=r"optim\.name=muon needs .* wrapped is a wrapped Saved"):
        freezing.check_layers(vit, stage)


def test_low_rank_factors_are_left_to_adamw():
    config = Config(optim=CONFIG, stages={"lora": StageConfig("lora", lora_rank=2)})
    config.train.epochs = None
    vit = vit_of()
    freezing.freeze(vit, plan(config)[0])
    made = optimizer.build_optimizer(CONFIG, vit, RATE, newly_trainable=True)
    made.build(vit.trainable_variables)
    factors = [v for v in vit.trainable_variables if freezing.LORA in f"/{v.path}"]
    assert len(factors) == 12
    assert all(made._should_use_adamw(variable) for variable in vit.trainable_variables)
