"""DeiT with a distillation token: logits of Hugging Face and timm, at any size, and back.

Each peer has random weights. The largest differences are printed: `pytest -s`.
"""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.random_torch_weights import randomise
from helpers.weight_files import pixels
from vit_keras import load_pretrained, save_pretrained
from vit_keras.model.vit import describe
from vit_keras.pretrained import load

# A peer's deprecations are for its own maintainers.
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]

CLASSES = 5
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIZES = ((32, 32), (48, 48), (24, 40))  # its own, a larger and one that is not square
LARGE_SIZES = ((224, 224), (256, 256), (192, 240))
DEIT = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)


def output_of(torch, peer, images, **arguments):
    """Logits; or, of a model without a head, what its two heads would read."""
    normalised = (images / 255 - np.asarray(MEAN)) / np.asarray(STD)
    planes = torch.from_numpy(normalised.astype("float32")).permute(0, 3, 1, 2)
    with torch.no_grad():
        output = peer(planes, **arguments)
    if hasattr(output, "last_hidden_state"):
        return output.last_hidden_state[:, :2].flatten(1).numpy()
    return getattr(output, "logits", output).numpy()


def assert_same(name, handle, expected_of, size, **settings):
    """`expected_of`: images -> logits of the peer."""
    model, report = load.load_with_report(str(handle), image_size=size, **settings)
    images = pixels(2, *size, 3)
    expected = expected_of(images)
    assert np.ptp(expected, axis=0).max() > 0.1  # the two images are told apart
    logits = keras.ops.convert_to_numpy(model(images, training=False))
    difference = np.abs(logits - expected).max()
    print(f"{name}, {size[0]}x{size[1]}: {difference:.1e}")
    assert difference <= 1e-4
    assert describe(model)["distillation_token"]
    return model, report


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["DeiTForImageClassificationWithTeacher", "DeiTModel"])
def test_hugging_face_at_any_size_and_back(kind, torch, transformers, tmp_path):
    config = transformers.DeiTConfig(**DEIT, intermediate_size=96, num_labels=CLASSES)
    peer = randomise(torch, getattr(transformers, kind)(config))
    peer.save_pretrained(tmp_path / "theirs")

    def expected_of(images):
        return output_of(torch, peer, images, interpolate_pos_encoding=True)

    for size in SIZES[::-1]:
        model, report = assert_same(kind, tmp_path / "theirs", expected_of, size)
    assert {why.split()[0] for why in report.left_over.values()} <= {"a"}  # the pooler of features

    save_pretrained(model, tmp_path / "back")
    extra = {"add_pooling_layer": False} if kind == "DeiTModel" else {}
    again = getattr(transformers, kind).from_pretrained(tmp_path / "back", **extra).eval()
    before = {n: v for n, v in peer.state_dict().items() if "pooler." not in n}
    assert again.state_dict().keys() == before.keys()
    assert all(torch.equal(again.state_dict()[name], value) for name, value in before.items())
    images = pixels(2, *SIZES[0], 3)
    np.testing.assert_array_equal(output_of(torch, again, images), output_of(torch, peer, images))


@pytest.mark.usefixtures("quiet")
def test_a_head_of_the_class_token_alone_is_refused(torch, transformers, tmp_path):
    config = transformers.DeiTConfig(**DEIT, intermediate_size=96, num_labels=CLASSES)
    transformers.DeiTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"classifier.weight: a head of the class token alone"):
        load_pretrained(str(tmp_path))
    assert load_pretrained(str(tmp_path), num_classes=3).output_shape == (None, 3)


def distilled(torch, timm, **settings):
    sizes = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, mlp_ratio=1.5)
    made = timm.models.deit.VisionTransformerDistilled(
        **{**sizes, "num_classes": CLASSES, "dynamic_img_size": True, **settings}
    )
    return randomise(torch, made)


def test_timm_at_any_size(torch, timm, tmp_path):
    peer = distilled(torch, timm)
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    for size in SIZES:
        _, report = assert_same(
            "VisionTransformerDistilled",
            tmp_path / "w.safetensors",
            lambda images: output_of(torch, peer, images),
            size,
            num_heads=4,
        )
        assert report.left_over == {}


def test_deit_tiny_distilled_as_it_goes_to_the_hub(torch, timm, tmp_path):
    """With the config.json that timm writes."""
    name = "deit_tiny_distilled_patch16_224"
    peer = randomise(torch, timm.create_model(name, dynamic_img_size=True))
    timm.models.save_for_hf(peer, tmp_path, safe_serialization=True)
    for size in LARGE_SIZES[::-1]:
        model, report = assert_same(
            name, tmp_path, lambda images: output_of(torch, peer, images), size
        )
        assert report.left_over == {}
    assert model.output_shape == (None, 1000)
    assert model.count_params() == sum(weight.numel() for weight in peer.parameters()) == 5_910_800
