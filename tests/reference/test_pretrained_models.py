"""Files of timm, Hugging Face and keras-hub give their logits here, and can be saved back."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.random_torch_weights import randomise
from helpers.weight_files import pixels, refusal
from vit_keras import load_pretrained, save_pretrained
from vit_keras.model.position_embedding import resize_positions
from vit_keras.model.vit import describe
from vit_keras.pretrained import load

# A peer's deprecations are for its own maintainers.
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]

SIDE, CLASSES = 32, 5
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HALVES = dict(mean=0.5, std=0.5)


def logits_of_torch(torch, peer, images, mean=0.5, std=0.5):
    normalised = (images / 255 - np.asarray(mean)) / np.asarray(std)
    planes = torch.from_numpy(normalised.astype("float32")).permute(0, 3, 1, 2)
    with torch.no_grad():
        output = peer(planes)
    if hasattr(output, "last_hidden_state"):
        return output.last_hidden_state[:, 0].numpy()
    return getattr(output, "logits", output).numpy()


def assert_same_logits(model, images, expected):
    assert np.ptp(expected, axis=0).max() > 0.1  # the two images are told apart
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def timm_vit(timm, torch, **settings):
    sizes = dict(img_size=SIDE, patch_size=8, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2)
    sizes |= dict(num_classes=CLASSES)
    return randomise(torch, timm.models.VisionTransformer(**{**sizes, **settings}))


TIMM = {
    "plain": {},
    "no classes": dict(num_classes=0),
    "LayerScale": dict(init_values=0.1),
    "DeiT III": dict(init_values=0.1, no_embed_class=True),
    "no class token": dict(class_token=False, global_pool="avg", fc_norm=False),
}


@pytest.mark.parametrize("case", TIMM)
def test_timm_safetensors(case, torch, timm, tmp_path):
    peer = timm_vit(timm, torch, **TIMM[case])
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    model, report = load.load_with_report(str(tmp_path / "w.safetensors"), num_heads=3)
    assert report.left_over == {}
    images = pixels(2, SIDE, SIDE, 3)
    expected = logits_of_torch(torch, peer, images)
    assert_same_logits(model, images, expected)


@pytest.mark.parametrize(
    ("name", "settings", "mean_and_std"),
    [
        ("deit_tiny_patch16_224", {}, IMAGENET),
        ("vit_tiny_patch16_224", dict(img_size=SIDE, num_classes=CLASSES), HALVES),
        ("deit3_small_patch16_224", dict(depth=2, img_size=48, num_heads=6), IMAGENET),
    ],
)
def test_timm_folder_as_it_goes_to_the_hub(
    name,
    settings,
    mean_and_std,
    torch,
    timm,
    tmp_path,
):
    """With the config.json that timm writes, which says how pixels are normalised."""
    peer = randomise(torch, timm.create_model(name, **settings))
    timm.models.save_for_hf(peer, tmp_path, safe_serialization=True)
    model, report = load.load_with_report(str(tmp_path))
    side = settings.get("img_size", 224)
    images = pixels(2, side, side, 3)
    expected = logits_of_torch(torch, peer, images, **mean_and_std)
    assert_same_logits(model, images, expected)
    assert [line.split()[0] for line in report.assumed][1:] == []  # the number of heads at most


def hugging_face(transformers, torch, kind, **settings):
    sizes = dict(image_size=SIDE, patch_size=8, hidden_size=24, num_hidden_layers=2)
    sizes |= dict(num_attention_heads=3, intermediate_size=48, num_labels=CLASSES)
    config = transformers.ViTConfig(**{**sizes, **settings})
    return randomise(torch, getattr(transformers, kind)(config))


HUGGING_FACE = {
    "classification": ("ViTForImageClassification", {}),
    "tanh": ("ViTForImageClassification", dict(hidden_act="gelu_pytorch_tanh")),
    "two classes": ("ViTForImageClassification", dict(num_labels=2)),
    "epsilon": ("ViTForImageClassification", dict(layer_norm_eps=1e-3)),
    "features": ("ViTModel", {}),
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("case", HUGGING_FACE)
def test_hugging_face_there_and_back(case, torch, transformers, tmp_path):
    kind, settings = HUGGING_FACE[case]
    peer = hugging_face(transformers, torch, kind, **settings)
    peer.save_pretrained(tmp_path / "theirs")
    model, report = load.load_with_report(str(tmp_path / "theirs"))
    pooler = ["pooler.dense.bias", "pooler.dense.weight"]
    assert sorted(report.left_over) == (pooler if case == "features" else [])
    images = pixels(2, SIDE, SIDE, 3)
    expected = logits_of_torch(torch, peer, images)
    assert_same_logits(model, images, expected)

    # And back, directly and by way of Google's .npz: the same numbers, bit for bit.
    save_pretrained(model, tmp_path / "ours.npz")
    facts = describe(model)
    by_npz = load_pretrained(
        str(tmp_path / "ours.npz"), gelu=facts["gelu"], norm_epsilon=facts["norm_epsilon"]
    )
    features = {"add_pooling_layer": False} if case == "features" else {}
    for name, way in {"back": model, "back_by_npz": by_npz}.items():
        save_pretrained(way, tmp_path / name)
        again = getattr(transformers, kind).from_pretrained(tmp_path / name, **features).eval()
        before = {n: v for n, v in peer.state_dict().items() if not n.startswith("pooler.")}
        after = again.state_dict()
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], value) for name, value in before.items())
        np.testing.assert_array_equal(logits_of_torch(torch, again, images), expected)
        assert again.config.layer_norm_eps == peer.config.layer_norm_eps


@pytest.mark.usefixtures("quiet")
def test_hugging_face_with_another_activation_is_refused(torch, transformers, tmp_path):
    peer = hugging_face(transformers, torch, "ViTForImageClassification", hidden_act="relu")
    peer.save_pretrained(tmp_path)
    assert "hidden_act=relu is not supported" in refusal(tmp_path)


@pytest.mark.usefixtures("quiet")
def test_hugging_face_with_more_than_a_vit_is_refused(torch, transformers, tmp_path):
    sizes = dict(image_size=SIDE, patch_size=8, hidden_size=24, num_hidden_layers=2)
    sizes |= dict(num_attention_heads=3, intermediate_size=48, encoder_stride=8)
    config = transformers.ViTConfig(**sizes)
    transformers.ViTForMaskedImageModeling(config).save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert "has decoder.0.bias" in message
    assert 'allow=["decoder.0.bias"]' in message


@pytest.mark.usefixtures("quiet")
def test_our_preprocessing_is_read_by_hugging_face(torch, timm, transformers, tmp_path):
    """timm's DeiT through ours into transformers: the same logits from raw pixels."""
    peer = timm_vit(timm, torch)
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    mean, std = IMAGENET.values()
    model = load_pretrained(
        str(tmp_path / "w.safetensors"), num_heads=3, pixel_mean=mean, pixel_std=std
    )
    save_pretrained(model, tmp_path / "out")
    said = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert (said.image_size, said.num_labels) == (SIDE, CLASSES)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
    images = pixels(2, SIDE, SIDE, 3)
    ours, theirs = (logits_of_torch(torch, one, images, mean, std) for one in (peer, again))
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def keras_hub():
    return pytest.importorskip("keras_hub", reason="keras-hub is not installed")


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_keras_hub_preset(classes, keras_hub, tmp_path):
    peer = backbone = keras_hub.models.ViTBackbone(
        image_shape=(SIDE, SIDE, 3),
        patch_size=8,
        num_layers=3,
        num_heads=3,
        hidden_dim=24,
        mlp_dim=48,
        layer_norm_epsilon=1e-5,
    )
    if classes:
        peer = keras_hub.models.ViTImageClassifier(backbone, num_classes=classes)
    rng = np.random.default_rng(0)
    for weight in peer.weights:
        fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) < 4 else 8 * 8 * 3
        is_kernel = weight.path.endswith("kernel")
        centre, spread = (0, fan_in**-0.5) if is_kernel else (weight.path.endswith("gamma"), 0.2)
        weight.assign(rng.normal(centre, spread, weight.shape))
    peer.save_to_preset(tmp_path)
    images = pixels(2, SIDE, SIDE, 3)
    expected = keras.ops.convert_to_numpy(peer(images.astype("float32") / 127.5 - 1))
    model = load_pretrained(str(tmp_path))
    assert describe(model)["norm_epsilon"] == 1e-5
    expected = expected if classes else expected[:, 0]
    assert_same_logits(model, images, expected)


@pytest.mark.parametrize("new", [(24, 24), (2, 2), (10, 20)])
def test_positions_are_resized_as_timm_does(new, torch, timm):
    """224 to 384, and to 32, in patches of 16."""
    embedding = np.random.default_rng(0).normal(0, 1, (1, 197, 24)).astype("float32")
    expected = timm.layers.resample_abs_pos_embed(torch.from_numpy(embedding), new).numpy()
    result = resize_positions(embedding, (14, 14), new)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
