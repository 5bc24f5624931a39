"""Pretrained ViTs of other libraries give equal logits and are saved back unchanged."""

import json
import re
import shutil

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

import jax2tf_saved_model
from helpers.numpy_vit import vit
from helpers.paths import SAVED_MODELS
from helpers.weight_files import google, google_tree, pixels, timm, write_npz
from vit_keras import SettingError, build_vit, load_pretrained, open_run, save_pretrained
from vit_keras.model.position_embedding import resize_positions
from vit_keras.model.vit import describe
from vit_keras.pretrained import load

RUN = str(SAVED_MODELS / "digits")
# Twelve blocks, so that block 10 comes before block 2 where names are sorted.
HUB_SIZES = dict(width=16, depth=12, heads=2, mlp_dim=24, side=224)


def logits_of(model, images):
    return model.predict(images, verbose=0)


def same_weights(one, other):
    assert [w.path for w in one.weights] == [w.path for w in other.weights]
    for ours, theirs in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.parametrize(
    ("patch", "classes", "export"),
    [(16, 7, {}), (8, 7, {}), (16, 0, {"trainable": True}), (8, 0, {})],
    ids=["patch 16", "patch 8", "patch 16 -fe, trainable", "patch 8 -fe"],
)
def test_a_saved_model_of_tf_hub_gives_its_own_logits(patch, classes, export, tmp_path):
    tree = google_tree(patch=patch, classes=classes, **HUB_SIZES)
    jax2tf_saved_model.save(tree, tmp_path, side=224, **export)
    images = pixels(2, 224, 224, 3)
    original = tf.saved_model.load(str(tmp_path))
    expected = original((images.astype("float32") - 127.5) / 127.5).numpy()
    assert np.ptp(expected, axis=0).max() > 0.1  # the two images are told apart

    model = load_pretrained(str(tmp_path))
    np.testing.assert_allclose(logits_of(model, images), expected, rtol=1e-4, atol=1e-4)
    sizes = {"depth": 12, "num_heads": 2, "patch_size": patch, "num_classes": classes}
    assert sizes.items() <= describe(model).items()


def test_a_saved_model_for_batches_of_one_is_read_as_well(tmp_path):
    jax2tf_saved_model.save(google_tree(), tmp_path, side=16, batch=1)
    model, report = load.load_with_report(str(tmp_path))
    assert report.compared < 1e-4
    assert logits_of(model, pixels(3, 16, 16, 3)).shape == (3, 5)


def test_a_saved_model_with_pre_logits_needs_a_new_head(tmp_path):
    hidden = {"kernel": np.eye(16, dtype="float32"), "bias": np.ones(16, "float32")}
    jax2tf_saved_model.save({**google_tree(), "pre_logits": hidden}, tmp_path, side=16)
    with pytest.raises(SettingError, match=r"has pre_logits/kernel: a hidden layer"):
        load_pretrained(str(tmp_path))
    model, report = load.load_with_report(str(tmp_path), num_classes=3)
    assert model.output_shape == (None, 3)
    assert {"pre_logits/kernel", "pre_logits/bias"} < set(report.left_over)
    assert report.compared is None


def test_a_saved_model_whose_variables_lie_in_another_order_is_noticed(tmp_path, monkeypatch):
    """Two blocks have the same shapes: only the program tells which is which."""
    program = jax2tf_saved_model.program

    def swapped(tree, x):
        blocks = tree["Transformer"]
        pair = {
            "encoderblock_0": blocks["encoderblock_1"],
            "encoderblock_1": blocks["encoderblock_0"],
        }
        return program({**tree, "Transformer": {**blocks, **pair}}, x)

    monkeypatch.setattr(jax2tf_saved_model, "program", swapped)
    jax2tf_saved_model.save(google_tree(), tmp_path, side=16)
    with pytest.raises(SettingError, match=r"computes something else.*opaque=True"):
        load_pretrained(str(tmp_path))


def test_google_npz_goes_through_our_model_and_back_bit_for_bit(tmp_path):
    weights = google()
    model = load_pretrained(str(write_npz(tmp_path / "in.npz", weights)))
    with np.load(save_pretrained(model, tmp_path / "out.npz")) as written:
        assert sorted(written) == sorted(weights)
        for name, value in weights.items():
            assert written[name].dtype == "float32"
            np.testing.assert_array_equal(written[name], value, err_msg=name)


@pytest.mark.parametrize("classes", [5, 0])
def test_a_model_goes_to_hugging_face_and_back_unchanged(classes, tmp_path):
    settings = dict(gelu="tanh", norm_epsilon=1e-5, dropout=0.1, attention_dropout=0.2)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    weights = write_npz(tmp_path / "in.npz", google(width=24, heads=3))
    model = load_pretrained(
        str(weights), num_classes=classes, pixel_mean=mean, pixel_std=std, **settings
    )
    folder = save_pretrained(model, tmp_path / "there")
    again = load_pretrained(str(folder))
    same_weights(model, again)
    assert describe(again) == describe(model)
    assert describe(again)["pixel_std"] == std
    images = pixels(2, 16, 16, 3)
    np.testing.assert_array_equal(logits_of(again, images), logits_of(model, images))


NO_PLACE = {  # what the other libraries have no place for
    "pool": (dict(pool="mean"), "a", ["pool=mean", "pool=token"]),
    "position": (dict(position="sincos2d"), "a", ["position=sincos2d", "learned"]),
    "registers": (dict(registers=2), "a", ["registers=2", "registers=0"]),
    "qk_norm": (dict(qk_norm=True), "a.npz", ["qk_norm=True", "qk_norm=False"]),
    "not_square": (dict(image_size=(8, 16)), "a", ["image_size=(8, 16)", "square"]),
    "not_square_npz": (dict(image_size=(8, 32)), "a.npz", ["image_size=(8, 32)", "square"]),
}


@pytest.mark.parametrize("case", NO_PLACE)
def test_a_model_that_others_have_no_place_for_is_not_written(case, tmp_path):
    settings, name, phrases = NO_PLACE[case]
    sizes = dict(image_size=16, patch_size=4, width=16, depth=1, num_heads=2, mlp_dim=24)
    model = build_vit(None, num_classes=5, **{**sizes, **settings})
    with pytest.raises(SettingError) as caught:
        save_pretrained(model, tmp_path / name)
    assert all(phrase in str(caught.value) for phrase in phrases), caught.value
    assert list(tmp_path.iterdir()) == []


def test_npz_says_what_it_does_not_hold(tmp_path, caplog):
    """A reader of Google's takes the tanh GELU and pixels in [-1, 1] for granted."""
    handle = str(write_npz(tmp_path / "in.npz", google()))
    model = load_pretrained(handle)
    (said,) = caplog.messages
    assert said.endswith("as in Google's models")
    caplog.clear()
    save_pretrained(model, tmp_path / "as_google.npz")
    model = load_pretrained(handle, gelu="exact", pixel_std=[0.229, 0.224, 0.225])
    assert caplog.messages == []
    save_pretrained(model, tmp_path / "out.npz")
    assert ["gelu=exact" in caplog.messages[0], "pixel_std=[0.229" in caplog.messages[1]] == [
        True
    ] * 2


def test_what_exists_is_not_overwritten(tmp_path):
    weights = write_npz(tmp_path / "in.npz", google())
    model = load_pretrained(str(weights))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    before = weights.read_bytes()
    for path in (weights, folder):
        with pytest.raises(SettingError, match=f"path={path} exists"):
            save_pretrained(model, path)
    assert weights.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    assert save_pretrained(model, folder) == folder  # an empty folder may be written into


@pytest.fixture(scope="module")
def own():
    return keras.models.load_model(f"{RUN}/best.keras")


@pytest.mark.parametrize("handle", [RUN, f"{RUN}/best.keras"])
def test_a_run_of_ours_predicts_the_same(handle, own):
    images = pixels(4, *own.input_shape[1:])
    model = load_pretrained(handle)
    np.testing.assert_array_equal(logits_of(model, images), logits_of(own, images))
    assert describe(model) == describe(own)


def test_a_run_of_ours_in_another_size_and_with_another_head(own):
    side = 2 * own.input_shape[1]
    model, report = load.load_with_report(RUN, image_size=side, num_classes=3)
    images = pixels(2, side, side, own.input_shape[-1])
    np.testing.assert_array_equal(logits_of(model, images), np.zeros((2, 3)))  # as new heads start
    assert len(report.resized) == 1
    assert report.initialised == ["head/kernel", "head/bias"]


def test_a_run_of_ours_without_its_head_gives_what_the_head_reads(own):
    images = pixels(4, *own.input_shape[1:])
    inner = keras.Model(own.input, own.get_layer("pooling").output)
    features = logits_of(load_pretrained(RUN, num_classes=0), images)
    np.testing.assert_array_equal(features, logits_of(inner, images))


def resized_by_jax(embedding, old, new):
    jax = pytest.importorskip("jax", reason="needs jax")
    width = embedding.shape[-1]
    shape, grid = (*new, width), embedding[0, 1:].reshape(*old, width)
    patches = jax.image.resize(grid, shape, method="cubic", antialias=True)
    return np.concatenate([embedding[:, :1], np.reshape(patches, (1, -1, width))], axis=1)


GRIDS = [((14, 14), (24, 24)), ((14, 14), (2, 2)), ((14, 14), (10, 20)), ((4, 9), (7, 3))]


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_positions_are_resized_as_jax_resizes_images(old, new):
    embedding = np.random.default_rng(0).normal(0, 1, (1, old[0] * old[1] + 1, 8)).astype("float32")
    result = resize_positions(embedding, old, new)
    assert result.shape == (1, new[0] * new[1] + 1, 8)
    assert result.dtype == "float32"
    np.testing.assert_array_equal(result[:, 0], embedding[:, 0])  # the class token has no place
    np.testing.assert_allclose(result, resized_by_jax(embedding, old, new), atol=1e-3)


@pytest.mark.parametrize("image_size", [24, (8, 20)])
def test_a_model_is_loaded_for_images_of_another_size(image_size, tmp_path):
    weights = google()
    model, report = load.load_with_report(
        str(write_npz(tmp_path / "w.npz", weights)), image_size=image_size
    )
    rows, columns = np.broadcast_to(image_size, 2)
    assert model.input_shape == (None, rows, columns, 3)
    layer = model.get_layer("position_embedding")
    before = weights["Transformer/posembed_input/pos_embedding"]
    expected = resized_by_jax(before, (4, 4), (rows // 4, columns // 4))
    np.testing.assert_allclose(layer.embedding.numpy(), expected, atol=1e-3)
    assert report.resized == [
        f"{layer.embedding.path} from (4, 4) to ({rows // 4}, {columns // 4}) patches"
    ]


@pytest.mark.parametrize("classes", [None, 5, 3, 0])
def test_the_head_is_the_files_or_new_or_none(classes, tmp_path):
    weights = google()
    model, report = load.load_with_report(
        str(write_npz(tmp_path / "w.npz", weights)), num_classes=classes
    )
    assert describe(model)["num_classes"] == (5 if classes is None else classes)
    ours = ["head/kernel", "head/bias"]
    if classes is None:
        np.testing.assert_array_equal(model.get_layer("head").kernel, weights["head/kernel"])
    elif classes:
        assert not np.any(model.get_layer("head").kernel)  # also of the file's own class count
    assert report.initialised == (ours if classes else [])
    assert sorted(report.left_over) == ([] if classes is None else sorted(ours))
    assert report.matched + len(report.left_over) == len(weights)


def test_any_file_name_will_do(tmp_path):
    weights = write_npz(tmp_path / "my model (1), v2.0 é:.npz", google())
    model = load_pretrained(str(weights))
    model.save(tmp_path / "again.keras")
    images = pixels(2, 16, 16, 3)
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(logits_of(again, images), logits_of(model, images))


def test_our_own_files_may_have_no_biases(tmp_path):
    sizes = dict(patch_size=8, width=16, depth=1, num_heads=2, mlp_dim=24)
    model = build_vit(None, image_size=16, num_classes=3, mlp="relu2", bias=False, **sizes)
    model.save(tmp_path / "own.keras")
    again = load_pretrained(str(tmp_path / "own.keras"))
    images = pixels(2, 16, 16, 3)
    np.testing.assert_array_equal(logits_of(again, images), logits_of(model, images))


def test_settings_of_the_caller_win(tmp_path):
    handle = str(write_npz(tmp_path / "w.npz", google()))
    settings = dict(stochastic_depth=0.1, pixel_mean=[0.4, 0.5, 0.6], pixel_std=[0.2, 0.2, 0.3])
    settings |= dict(gelu="exact", norm_epsilon=1e-5, dropout=0.2)
    assert settings.items() <= describe(load_pretrained(handle, **settings)).items()


def test_the_report_tells_what_was_assumed(tmp_path):
    """timm's file alone says neither the heads nor how pixels are normalised."""
    save_file(timm(width=128, depth=1), tmp_path / "w.safetensors")
    model, report = load.load_with_report(str(tmp_path / "w.safetensors"))
    assert describe(model)["num_heads"] == 2
    assert [line.split()[0] for line in report.assumed] == ["num_heads=2,", "pixel_mean"]
    assert "assumed: num_heads=2" in str(report)


def test_files_of_timm_say_how_pixels_are_normalised(tmp_path):
    save_file(timm(), tmp_path / "model.safetensors")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    config = {"num_classes": 5, "pretrained_cfg": {"mean": mean, "std": std}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for handle in (tmp_path, tmp_path / "model.safetensors"):
        model, report = load.load_with_report(str(handle), num_heads=2)
        assert describe(model)["pixel_mean"] == mean
        assert describe(model)["pixel_std"] == std
        assert report.assumed == []


def test_layer_scale_is_folded_exactly(tmp_path):
    """timm's init_values: what each residual branch gives is multiplied by a vector of its own."""
    plain, rng = timm(), np.random.default_rng(1)
    factors = {
        f"blocks.{i}.ls{part}.gamma": rng.normal(0.5, 0.3, 16) for i in range(3) for part in (1, 2)
    }
    scales = {name: factor.astype("float32") for name, factor in factors.items()}
    save_file(plain, tmp_path / "plain.safetensors")
    save_file({**plain, **scales}, tmp_path / "scaled.safetensors")
    without, model = (
        load_pretrained(str(tmp_path / f"{name}.safetensors"), num_heads=2)
        for name in ("plain", "scaled")
    )
    weights = {weight.path: weight.numpy() for weight in without.weights}
    for name, factor in scales.items():
        block, part = name.split(".")[1], {"1": "attention/projection", "2": "mlp/output"}[name[-7]]
        for leaf in ("kernel", "bias"):
            weights[f"encoder_block_{block}/{part}/{leaf}"] *= factor  # along the last axis, D
    images = pixels(2, 16, 16, 3)
    expected = vit(weights, images, patch_size=4, num_heads=2, depth=3)
    assert np.abs(logits_of(without, images) - expected).max() > 0.1
    np.testing.assert_allclose(logits_of(model, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_half_precision_files_load_as_float32(dtype, tmp_path):
    kind = {"BF16": ml_dtypes.bfloat16, "F16": "float16"}[dtype]
    weights = {name: value.astype(kind) for name, value in timm().items()}
    save_file(weights, tmp_path / "w.safetensors")
    model = load_pretrained(str(tmp_path / "w.safetensors"), num_heads=2)
    head = model.get_layer("head").kernel
    assert head.dtype == "float32"
    np.testing.assert_array_equal(head, weights["head.weight"].T.astype("float32"))


def test_mixed_precision_gives_float32_logits_near_the_float32_ones(tmp_path):
    handle = str(write_npz(tmp_path / "w.npz", google()))
    images = pixels(2, 16, 16, 3)
    exact = logits_of(load_pretrained(handle), images)
    mixed = logits_of(load_pretrained(handle, dtype="mixed_bfloat16"), images)
    assert mixed.dtype == "float32"
    assert np.any(mixed != exact)
    np.testing.assert_allclose(mixed, exact, atol=0.15)


def test_python_is_told_what_the_file_does_not_say(tmp_path, caplog):
    save_file(timm(), tmp_path / "w.safetensors")
    load_pretrained(tmp_path / "w.safetensors", num_heads=2)
    assert "w.safetensors: assumed: pixel_mean" in caplog.text


def test_an_image_size_that_the_files_patches_do_not_cover_is_refused(tmp_path):
    write_npz(tmp_path / "w.npz", google())
    with pytest.raises(
        SettingError, match=r"image_size=\d+ is not a multiple of the model's patch"
    ):
        load_pretrained(tmp_path / "w.npz", image_size=9)


def test_hugging_faces_folder_is_named_as_one_readable_by_others_and_has_the_classes(tmp_path):
    model = build_vit("tiny_mnist", image_size=7, num_classes=2)
    with pytest.raises(SettingError, match=r"w.safetensors would be a folder"):
        save_pretrained(model, tmp_path / "w.safetensors")
    with pytest.raises(SettingError, match=r"class_names has 1 name, and the model 2 logits"):
        save_pretrained(model, tmp_path / "w", class_names=["ant"])
    save_pretrained(model, tmp_path / "w", class_names=["ant", "bee"])
    config = json.loads((tmp_path / "w" / "config.json").read_text())
    assert config["id2label"] == {"0": "ant", "1": "bee"}
    modes = {file.stat().st_mode for file in (tmp_path / "w").iterdir()}
    assert len(modes) == 1


def run_of(folder, **settings):
    """A run of RGB photos with these settings of its data, without its training."""
    run = shutil.copytree(RUN, folder)
    text = (run / "config.yaml").read_text()
    for setting, value in settings.items():
        text = re.sub(rf"(?m)^  ({setting}|fit): .*$", f"  {setting}: {value}", text)
    (run / "config.yaml").write_text(text)
    sizes = dict(patch_size=4, width=16, depth=1, num_heads=2, mlp_dim=24)
    build_vit(None, image_size=16, num_classes=10, **sizes).save(run / "best.keras")
    return run


SIDE = {"height": 16, "width": 16}
PROCESSORS = {
    "crop": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 16},
        "do_center_crop": True,
        "crop_size": SIDE,
    },
    "stretch": {"image_processor_type": "ViTImageProcessor", "size": SIDE},
    "pad": {"image_processor_type": "ViTImageProcessor", "size": SIDE},
}


@pytest.mark.parametrize("mode", PROCESSORS)
def test_the_processor_resizes_as_the_run_did(mode, tmp_path, caplog):
    """Whether the model comes from `open_run` or from `load_pretrained`, and after a round trip."""
    run = run_of(tmp_path / "run", resize_mode=mode)
    for name, model in {
        "opened": open_run(run).model,
        "loaded": load_pretrained(run),
        "by hand": keras.models.load_model(run / "best.keras"),
    }.items():
        caplog.clear()
        asked = {"resize_mode": mode} if name == "by hand" else {}
        folder = save_pretrained(model, tmp_path / name, **asked)
        written = json.loads((folder / "preprocessor_config.json").read_text())
        assert PROCESSORS[mode].items() <= written.items()
        assert written["do_convert_rgb"] is True
        assert written["resample"] == 2
        is_pad = mode == "pad"
        assert ("data.resize_mode=pad" in caplog.text) == is_pad
        assert (folder / "preprocess.py").exists() == is_pad
        if is_pad and name != "by hand":  # as runs of that version have it
            text = (folder / "preprocess.py").read_text()
            assert re.search(r"background.: .white", text)
            assert re.search(r"decoder_version.: 1", text)
        if not is_pad:
            save_pretrained(load_pretrained(folder), tmp_path / f"{name} again")
            again = (tmp_path / f"{name} again" / "preprocessor_config.json").read_text()
            assert json.loads(again) == written


def test_an_npz_file_does_not_say_how_images_are_resized(tmp_path, caplog):
    run = run_of(tmp_path / "run", resize_mode="crop")
    save_pretrained(open_run(run).model, tmp_path / "w.npz")
    assert "does not store data.resize_mode=crop" in caplog.text


def test_an_unknown_way_of_resizing_is_refused(tmp_path):
    model = build_vit("tiny_mnist", image_size=7, num_classes=2)
    with pytest.raises(SettingError, match="resize_mode=squash is unknown"):
        save_pretrained(model, tmp_path / "w", resize_mode="squash")
    assert list(tmp_path.iterdir()) == []
