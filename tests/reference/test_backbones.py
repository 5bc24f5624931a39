"""DINOv2, DINOv3, CLIP, SigLIP, MAE, MSN and DeiT III: features of their libraries, at any size.

Each peer has random weights. The largest differences are printed: `pytest -s`.
"""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.random_torch_weights import randomise
from helpers.weight_files import pixels
from vit_keras import load_pretrained, save_pretrained
from vit_keras.model.position_embedding import resize_positions
from vit_keras.model.vit import describe
from vit_keras.pretrained import load

# A peer's deprecations are for its own maintainers.
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]

NATIVE, LARGER, NOT_SQUARE = (32, 32), (48, 48), (24, 40)
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
OPENAI = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HALVES = [0.5] * 3, [0.5] * 3

SIZES = dict(
    hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
)
MLP = dict(intermediate_size=96)
DINOV2 = dict(**SIZES, mlp_ratio=2)
RESIZED = dict(interpolate_pos_encoding=True)
# Class of transformers, its settings, arguments of a call, and the family's pixels.
FEATURES = {
    "DINOv2": ("Dinov2Model", DINOV2, {}, IMAGENET),
    "DINOv2, SwiGLU": ("Dinov2Model", dict(**DINOV2, use_swiglu_ffn=True), {}, IMAGENET),
    "DINOv2, registers": (
        "Dinov2WithRegistersModel",
        dict(**DINOV2, num_register_tokens=3),
        {},
        IMAGENET,
    ),
    "DINOv3": ("DINOv3ViTModel", dict(**SIZES, **MLP, num_register_tokens=2), {}, IMAGENET),
    "DINOv3, SwiGLU": (
        "DINOv3ViTModel",
        dict(**SIZES, **MLP, use_gated_mlp=True, hidden_act="silu"),
        {},
        IMAGENET,
    ),
    "CLIP": ("CLIPVisionModel", dict(**SIZES, **MLP), RESIZED, OPENAI),
    "CLIP, exact GELU": (
        "CLIPVisionModel",
        dict(**SIZES, **MLP, hidden_act="gelu"),
        RESIZED,
        OPENAI,
    ),
    "SigLIP": ("SiglipVisionModel", dict(**SIZES, **MLP), RESIZED, HALVES),
    "MSN": ("ViTMSNModel", dict(**SIZES, **MLP), RESIZED, HALVES),
    "ViT": ("ViTModel", dict(**SIZES, **MLP), RESIZED, HALVES),
}
SAVED_AS_VIT = ("MSN", "ViT")  # whose files have the same names


def peer_of(torch, transformers, case, folder):
    kind, settings, _, _ = FEATURES[case]
    config_class = getattr(transformers, kind).config_class
    peer = randomise(torch, getattr(transformers, kind)(config_class(**settings)))
    peer.save_pretrained(folder)
    return peer


def images_of(size):
    return pixels(2, *size, 3)


def planes(torch, images, mean, std):
    normalised = (images / 255 - np.asarray(mean)) / np.asarray(std)
    return torch.from_numpy(normalised.astype("float32")).permute(0, 3, 1, 2)


def output_of(torch, peer, images, mean_std, **arguments):
    with torch.no_grad():
        output = peer(planes(torch, images, *mean_std), **arguments)
    if (pooled := getattr(output, "pooler_output", None)) is not None and hasattr(
        output, "last_hidden_state"
    ):
        is_dense = type(peer).__name__ == "ViTModel"  # a dense layer that is no part of the ViT
        return (output.last_hidden_state[:, 0] if is_dense else pooled).numpy()
    if hasattr(output, "last_hidden_state"):
        return output.last_hidden_state[:, 0].numpy()
    return getattr(output, "logits", output).numpy()


def assert_same(name, handle, expected_of, size, **settings):
    """`expected_of`: images -> features of the peer."""
    model, report = load.load_with_report(str(handle), image_size=size, **settings)
    images = images_of(size)
    expected = expected_of(images)
    assert np.ptp(expected, axis=0).max() > 0.1  # the two images are told apart
    features = keras.ops.convert_to_numpy(model(images, training=False))
    difference = np.abs(features - expected).max()
    print(f"{name}, {size[0]}x{size[1]}: {difference:.1e}")
    assert difference <= 1e-4
    return model, report


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("case", FEATURES)
def test_features_of_hugging_face_at_any_size_and_back(case, torch, transformers, tmp_path):
    kind, _, arguments, mean_std = FEATURES[case]
    peer = peer_of(torch, transformers, case, tmp_path / "theirs")

    def expected_of(images):
        return output_of(torch, peer, images, mean_std, **arguments)

    for size in (LARGER, NOT_SQUARE):
        assert_same(case, tmp_path / "theirs", expected_of, size)
    model, report = assert_same(case, tmp_path / "theirs", expected_of, NATIVE)
    assert {why.split()[0] for why in report.left_over.values()} <= {"used", "a"}
    np.testing.assert_array_equal(np.broadcast_to(describe(model)["pixel_mean"], 3), mean_std[0])
    assert any("pixel_mean" in line for line in report.assumed)

    save_pretrained(model, tmp_path / "back")
    again_kind = "ViTModel" if case in SAVED_AS_VIT else kind
    extra = {"add_pooling_layer": False} if case in SAVED_AS_VIT else {}
    again = getattr(transformers, again_kind).from_pretrained(tmp_path / "back", **extra).eval()
    unused = ("mask_token", "pooler.")
    before = {n: v for n, v in peer.state_dict().items() if not any(u in n for u in unused)}
    after = {n: v for n, v in again.state_dict().items() if not any(u in n for u in unused)}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    images = images_of(NATIVE)
    np.testing.assert_array_equal(
        output_of(torch, again, images, mean_std, **arguments), expected_of(images)
    )


@pytest.mark.usefixtures("quiet")
def test_the_vision_tower_of_a_whole_clip(torch, transformers, tmp_path):
    text = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = transformers.CLIPConfig(
        text_config=dict(**text, vocab_size=50), vision_config=dict(**SIZES, **MLP)
    )
    peer = transformers.CLIPModel(config)
    tower = randomise(torch, peer.vision_model)
    peer.save_pretrained(tmp_path)
    _, report = assert_same(
        "CLIP, with its text tower",
        tmp_path,
        lambda images: output_of(torch, tower, images, OPENAI),
        NATIVE,
    )
    assert set(report.left_over.values()) == {"the text tower, or the projection to its embedding"}


@pytest.mark.usefixtures("quiet")
def test_heads_of_hugging_face(torch, transformers, tmp_path):
    """SigLIP's classifier reads the mean of the patches; those of DINOv2 and CLIP are refused."""
    vision = dict(**SIZES, **MLP)
    config = transformers.SiglipConfig(vision_config=vision, num_labels=5)
    peer = randomise(torch, transformers.SiglipForImageClassification(config))
    peer.save_pretrained(tmp_path / "siglip")
    assert_same(
        "SigLIP, classifier",
        tmp_path / "siglip",
        lambda images: output_of(torch, peer, images, HALVES),
        NATIVE,
    )
    config = transformers.ViTMSNConfig(**vision, num_labels=5)
    peer = randomise(torch, transformers.ViTMSNForImageClassification(config))
    peer.save_pretrained(tmp_path / "msn")
    assert_same(
        "MSN, classifier",
        tmp_path / "msn",
        lambda images: output_of(torch, peer, images, HALVES),
        NATIVE,
    )
    config = transformers.Dinov2Config(**DINOV2, num_labels=5)
    transformers.Dinov2ForImageClassification(config).save_pretrained(tmp_path / "dinov2")
    with pytest.raises(ValueError, match=r"classifier.weight: a head of the class token and the "):
        load_pretrained(str(tmp_path / "dinov2"))
    assert load_pretrained(str(tmp_path / "dinov2"), num_classes=0).output_shape == (None, 64)


@pytest.mark.usefixtures("quiet")
def test_mae_of_hugging_face(torch, transformers, tmp_path):
    """The encoder of a file that has the decoder too; without masks it is a ViT."""
    config = transformers.ViTMAEConfig(
        **SIZES, **MLP, mask_ratio=0.0, decoder_hidden_size=16, decoder_intermediate_size=16
    )
    peer = randomise(torch, transformers.ViTMAEForPreTraining(config))
    peer.save_pretrained(tmp_path)
    _, report = assert_same(
        "MAE", tmp_path, lambda images: output_of(torch, peer.vit, images, HALVES), NATIVE
    )
    assert {why.split()[0] for why in report.left_over.values()} == {"the"}  # decoder


TIMM = {  # class of timm.models, settings, settings of load_pretrained, and the assumed pixels
    "DINOv2": (dict(init_values=0.1), {}, HALVES),
    "DINOv2, registers": (dict(init_values=0.1, reg_tokens=3, no_embed_class=True), {}, HALVES),
    "CLIP": (dict(pre_norm=True, norm_layer="layernorm_clip"), {}, OPENAI),
    "CLIP, quick GELU": (
        dict(pre_norm=True, norm_layer="layernorm_clip", act_layer="quick_gelu"),
        dict(gelu="quick"),
        OPENAI,
    ),
    "SigLIP": (dict(class_token=False, global_pool="map"), {}, HALVES),
    "MAE": ({}, {}, HALVES),
    "DeiT III": (dict(init_values=0.1, no_embed_class=True, num_classes=5), {}, HALVES),
}


@pytest.mark.parametrize("case", TIMM)
def test_features_of_timm_at_any_size(case, torch, timm, tmp_path):
    settings, ours, mean_std = TIMM[case]
    sizes = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, mlp_ratio=1.5)
    settings = {**sizes, "num_classes": 0, "dynamic_img_size": True, **settings}
    if settings.get("norm_layer") == "layernorm_clip":
        settings["norm_layer"] = lambda width, **kwargs: torch.nn.LayerNorm(width, 1e-5, **kwargs)
    peer = randomise(torch, timm.models.VisionTransformer(**settings))
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    for size in (NATIVE, LARGER, NOT_SQUARE):
        _, report = assert_same(
            f"{case} of timm",
            tmp_path / "w.safetensors",
            lambda images: output_of(torch, peer, images, mean_std),
            size,
            num_heads=4,
            **ours,
        )
        assert report.left_over == {}


@pytest.mark.parametrize("is_gated", [False, True])
def test_dinov3_of_timm(is_gated, torch, timm, tmp_path):
    peer = timm.models.Eva(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=2,
        num_heads=4,
        mlp_ratio=2,
        swiglu_mlp=is_gated,
        qkv_bias=is_gated,  # so that both forms of it are seen
        init_values=0.1,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        num_reg_tokens=2,
        use_fc_norm=False,
        num_classes=0,
        global_pool="token",
        dynamic_img_size=True,
        norm_layer=lambda width, **kwargs: torch.nn.LayerNorm(width, 1e-5, **kwargs),
    )
    peer = randomise(torch, peer)
    save_file(
        {name: value.numpy() for name, value in peer.state_dict().items()},
        tmp_path / "w.safetensors",
    )
    for size in (NATIVE, LARGER, NOT_SQUARE):
        assert_same(
            f"DINOv3 of timm{', SwiGLU' if is_gated else ''}",
            tmp_path / "w.safetensors",
            lambda images: output_of(torch, peer, images, IMAGENET),
            size,
            num_heads=4,
        )


def open_clip_weights(width=64, depth=2, mlp_dim=256, patches=16):
    """OpenCLIP's names, by hand: it needs a matching torchvision."""
    rng = np.random.default_rng(0)

    def random(*shape, around=0.0):
        scale = 1.5 * np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.2
        return (around + rng.normal(0, scale, shape)).astype("float32")

    weights = {
        "visual.class_embedding": random(width),
        "visual.positional_embedding": random(patches + 1, width),
        "visual.proj": random(width, 12),
        "visual.conv1.weight": random(width, 3, 8, 8),
        "positional_embedding": random(7, 16),
        "transformer.resblocks.0.attn.in_proj_weight": random(48, 16),
        "token_embedding.weight": random(50, 16),
        "logit_scale": np.array(1, "float32"),
    }
    layers = {"attn.out_proj": (width, width), "mlp.c_fc": (mlp_dim, width)}
    layers |= {"mlp.c_proj": (width, mlp_dim)}
    blocks = [f"visual.transformer.resblocks.{i}." for i in range(depth)]
    for block in blocks:
        weights |= {f"{block}attn.in_proj_weight": random(3 * width, width)}
        weights |= {f"{block}attn.in_proj_bias": random(3 * width)}
        for name, shape in layers.items():
            weights |= {f"{block}{name}.weight": random(*shape)}
            weights |= {f"{block}{name}.bias": random(shape[0])}
    norms = [f"{block}ln_{part}" for block in blocks for part in (1, 2)]
    for name in (*norms, "visual.ln_pre", "visual.ln_post"):
        weights |= {f"{name}.weight": random(width, around=1), f"{name}.bias": random(width)}
    return weights


def test_open_clip_as_timm_converts_it(torch, timm, tmp_path):
    weights = open_clip_weights()
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    peer = timm.models.VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=2,
        num_heads=4,
        pre_norm=True,
        norm_layer=lambda width, **kwargs: torch.nn.LayerNorm(width, 1e-5, **kwargs),
        num_classes=0,
        dynamic_img_size=True,
    )
    state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    converted = timm.models.vision_transformer.checkpoint_filter_fn(state, peer)
    missing, unexpected = peer.load_state_dict(converted, strict=False)
    assert missing == []
    assert set(unexpected) == {"head.weight", "head.bias"}
    peer.eval()
    for size in (NATIVE, LARGER, NOT_SQUARE):
        assert_same(
            "OpenCLIP",
            tmp_path,
            lambda images: output_of(torch, peer, images, OPENAI),
            size,
            num_heads=4,
        )


@pytest.mark.parametrize("new", [(24, 24), (2, 2), (10, 20)])
def test_positions_without_antialiasing_are_those_of_torch(new, torch):
    embedding = np.random.default_rng(0).normal(0, 1, (1, 197, 24)).astype("float32")
    planes_of = torch.from_numpy(embedding[:, 1:].reshape(1, 14, 14, 24)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(planes_of, new, mode="bicubic")
    expected = expected.permute(0, 2, 3, 1).reshape(1, -1, 24).numpy()
    result = resize_positions(embedding, (14, 14), new, "bicubic_aliased")
    np.testing.assert_allclose(result[:, 1:], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(result[:, :1], embedding[:, :1])
