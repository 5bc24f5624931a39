"""Equal weights and images give the logits of Hugging Face's and timm's Vision Transformers.

So that weights trained there mean the same here, and a paper's results can be compared.
"""

import numpy as np
import pytest

from helpers.random_torch_weights import randomise
from vit_keras import VARIANTS, build_vit
from vit_keras.model.patch_embedding import ConvTokenizer

# A peer's deprecations are for its own maintainers.
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]

TINY = dict(patch_size=8, width=24, depth=2, num_heads=3, mlp_dim=48)
CASES = {  # sizes, side of the image, classes
    "tiny": (TINY, 32, 5),
    "ti16": (VARIANTS["ti16"], 224, 1000),
}


def norm(name, module):
    return {f"{name}/gamma": module.weight, f"{name}/beta": module.bias}


def dense(name, *modules):
    """One dense layer out of one or more of torch's, whose kernels are (out, in)."""
    kernels = [module.weight.detach().numpy().T for module in modules]
    biases = [module.bias.detach().numpy() for module in modules]
    return {f"{name}/kernel": np.hstack(kernels), f"{name}/bias": np.hstack(biases)}


def patch_embedding(module):
    kernel = module.weight.permute(2, 3, 1, 0)  # (D, C, P, P) -> (P, P, C, D)
    name = "patch_embedding/projection"
    return {f"{name}/kernel": kernel.flatten(0, 2), f"{name}/bias": module.bias}


def from_hugging_face(model):
    parts = model.vit.embeddings
    weights = {
        **patch_embedding(parts.patch_embeddings.projection),
        "class_token/class_token": parts.cls_token,
        "position_embedding/position_embedding": parts.position_embeddings,
        **norm("encoder_norm", model.vit.layernorm),
        **dense("head", model.classifier),
    }
    for index, block in enumerate(model.vit.layers):
        name, attention = f"encoder_block_{index}", block.attention
        weights |= {
            **norm(f"{name}/attention_norm", block.layernorm_before),
            **dense(f"{name}/attention/qkv", attention.q_proj, attention.k_proj, attention.v_proj),
            **dense(f"{name}/attention/projection", attention.o_proj),
            **norm(f"{name}/mlp_norm", block.layernorm_after),
            **dense(f"{name}/mlp/hidden", block.mlp.fc1),
            **dense(f"{name}/mlp/output", block.mlp.fc2),
        }
    return weights


def from_timm(model):
    weights = {
        **patch_embedding(model.patch_embed.proj),
        "position_embedding/position_embedding": model.pos_embed,
        **norm("encoder_norm", model.norm),
        **dense("head", model.head),
    }
    if model.cls_token is not None:
        weights["class_token/class_token"] = model.cls_token
    for index, block in enumerate(model.blocks):
        name = f"encoder_block_{index}"
        weights |= {
            **norm(f"{name}/attention_norm", block.norm1),
            **dense(f"{name}/attention/qkv", block.attn.qkv),
            **dense(f"{name}/attention/projection", block.attn.proj),
            **norm(f"{name}/mlp_norm", block.norm2),
            **dense(f"{name}/mlp/hidden", block.mlp.fc1),
            **dense(f"{name}/mlp/output", block.mlp.fc2),
        }
    return weights


def assert_same_logits(torch, peer, weights, ours):
    for weight in ours.weights:
        value = weights.pop(weight.path)
        weight.assign(value.detach().numpy() if isinstance(value, torch.Tensor) else value)
    assert not weights  # the peer has nothing that ours lacks

    pixels = np.random.default_rng(0).integers(0, 256, (2, *ours.input_shape[1:]), "uint8")
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # torch: (B, C, X, Y)
    with torch.no_grad():
        expected = peer((planes / 255 - 0.5) / 0.5)
    expected = getattr(expected, "logits", expected).numpy()
    assert np.ptp(expected, axis=0).max() > 0.1  # the two images are told apart
    np.testing.assert_allclose(ours.predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gelu", ["exact", "tanh"])
@pytest.mark.parametrize("case", CASES)
def test_hugging_face(case, gelu, torch, transformers):
    sizes, side, classes = CASES[case]
    config = transformers.ViTConfig(
        image_size=side,
        patch_size=sizes["patch_size"],
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["num_heads"],
        intermediate_size=sizes["mlp_dim"],
        hidden_act={"exact": "gelu", "tanh": "gelu_pytorch_tanh"}[gelu],
        layer_norm_eps=1e-6,  # Google's; the library's own default is 1e-12
        num_labels=classes,
    )
    peer = randomise(torch, transformers.ViTForImageClassification(config))
    ours = build_vit(None, image_size=side, num_classes=classes, gelu=gelu, **sizes)
    assert_same_logits(torch, peer, from_hugging_face(peer), ours)


@pytest.mark.parametrize("gelu", ["exact", "tanh"])
@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("case", CASES)
def test_timm(case, pool, gelu, torch, timm):
    sizes, side, classes = CASES[case]
    pooling = {
        "token": dict(class_token=True, global_pool="token"),
        # Norm, then mean, and no class token; timm's default with `avg` is mean, then norm.
        "mean": dict(class_token=False, global_pool="avg", fc_norm=False),
    }
    peer = timm.models.VisionTransformer(
        img_size=side,
        patch_size=sizes["patch_size"],
        embed_dim=sizes["width"],
        depth=sizes["depth"],
        num_heads=sizes["num_heads"],
        mlp_ratio=sizes["mlp_dim"] / sizes["width"],
        act_layer={"exact": "gelu", "tanh": "gelu_tanh"}[gelu],
        num_classes=classes,
        **pooling[pool],
    )
    peer = randomise(torch, peer)
    ours = build_vit(None, image_size=side, num_classes=classes, pool=pool, gelu=gelu, **sizes)
    assert_same_logits(torch, peer, from_timm(peer), ours)


@pytest.mark.parametrize("patch_size", [2, 4])
def test_tokenizer_of_compact_transformers(patch_size, torch):
    """Hassani et al. 2021: the layers of their `Tokenizer`, of torch."""
    ours = ConvTokenizer(patch_size, 24)
    pixels = np.random.default_rng(0).normal(size=(2, 16, 24, 3)).astype("float32")
    tokens = np.asarray(ours(pixels))
    blocks = []
    for layer in ours.convolutions:
        kernel = np.asarray(layer.kernel)
        conv = torch.nn.Conv2d(*kernel.shape[2:], 3, stride=1, padding=1, bias=False)
        conv.weight = torch.nn.Parameter(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
        blocks += [conv, torch.nn.ReLU(), torch.nn.MaxPool2d(3, stride=2, padding=1)]
    with torch.no_grad():
        planes = torch.nn.Sequential(*blocks)(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    expected = planes.flatten(2, 3).transpose(-2, -1).numpy()
    np.testing.assert_allclose(tokens, expected, rtol=1e-4, atol=1e-5)
