"""Exported files, opened by their own runtimes and compared with the Keras model."""

import importlib.util
import io
import json
import logging
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import vit_keras
from helpers.image_files import photo
from helpers.paths import ROOT, SAVED_MODELS
from vit_keras import SettingError, build_vit
from vit_keras.cli import arguments, export
from vit_keras.export import exporter, preflight, serving_model
from vit_keras.export.formats import FORMATS, format_module
from vit_keras.export.onnx_session import OnnxSession

if keras.backend.backend() != "tensorflow":
    pytest.skip("exports are written from TensorFlow's graph", allow_module_level=True)

TEMPERATURE = 2.0
FLOATS = ("tf_saved_model", "onnx", "litert", "openvino")


def images(count=7, size=(8, 8, 1)):
    return np.random.default_rng(0).integers(0, 256, (count, *size), "uint8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The released digits run with a temperature."""
    folder = shutil.copytree(SAVED_MODELS / "digits", tmp_path_factory.mktemp("runs") / "digits")
    (folder / "temperature.json").write_text(json.dumps({"temperature": TEMPERATURE}))
    return folder


@pytest.fixture(scope="module")
def exported(run):
    """Exports a format once, and gives where it is."""
    made = {}

    def once(name):
        for package, module in FORMATS[name].packages.items():
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"needs {package}: pip install {package}")
        if name not in made:
            made[name] = exporter.export_run(run, name, images=50)
        return made[name]

    return once


@pytest.fixture(scope="module")
def expected(run):
    """softmax(logits / temperature) of the run's own model, in NumPy."""
    logits = vit_keras.open_run(run).model.predict(images(), verbose=0) / TEMPERATURE
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", FLOATS)
def test_a_float_file_gives_what_keras_gives(name, exported, expected):
    done = exported(name)
    assert done.path.name == name
    predict = format_module(name).reader(done.path)
    np.testing.assert_allclose(predict(images()), expected, atol=1e-5)
    np.testing.assert_allclose(predict(images()[:1]), expected[:1], atol=1e-5)  # another batch
    report = json.loads((done.path / "export.json").read_text())
    assert report == done.report
    assert report["max_difference"] < 1e-5
    assert report["top1_agreement"] == 1
    assert report["accuracy"] == report["keras_accuracy"] > 0.9
    assert report["images_from"] == "test split of digits"
    assert report["temperature"] == TEMPERATURE
    assert report["calibration"].startswith("confidences are calibrated by temperature 2.000, ")
    assert (done.path / "labels.txt").read_text().splitlines() == [str(i) for i in range(10)]


@pytest.mark.parametrize("name", ["onnx_int8", "keras_int8"])
def test_an_int8_file_is_smaller_and_nearly_the_same(name, exported, run, expected):
    done = exported(name)
    found = format_module(name).reader(done.path)(images())
    assert 0 < np.abs(found - expected).max() < 0.1
    assert done.report["top1_agreement"] >= 0.96
    assert done.report["bytes"] < 0.6 * (run / "best.keras").stat().st_size


def read_inside(name, folder):
    """Labels and image input as the file itself holds them, by the format's own tools."""
    if name == "tf_saved_model":
        extra = folder / "1" / "assets.extra"
        labels = (extra / "labels.txt").read_text().splitlines()
        return labels, json.loads((extra / "image_input.json").read_text())
    if name == "litert":
        with zipfile.ZipFile(folder / "model.tflite") as archive:
            labels = archive.read("labels.txt").decode().splitlines()
            return labels, json.loads(archive.read("image_input.json"))
    if name == "openvino":
        import openvino

        info = openvino.Core().read_model(str(folder / "model.xml"))
        labels, pixels = (
            json.loads(info.get_rt_info(["vit_keras", key]).astype(str))
            for key in ("labels", "image_input")
        )
        return labels, pixels
    if name == "keras_int8":
        with zipfile.ZipFile(folder / "model.keras") as archive:
            metadata = json.loads(archive.read("metadata.json"))
        assert metadata["keras_version"] == keras.__version__
        return metadata["labels"], metadata["image_input"]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    metadata = session.get_modelmeta().custom_metadata_map
    return list(json.loads(metadata["names"]).values()), json.loads(metadata["image_input"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_says_how_an_image_comes_to_its_input(name, exported):
    done = exported(name)
    labels, pixels = read_inside(name, done.path)
    assert labels == [str(digit) for digit in range(10)]
    assert pixels == done.report["image_input"]
    expected = {
        "name": "pixels",
        "dtype": "uint8",
        "height": 8,
        "width": 8,
        "channels": 1,
        "color": "grey: ITU-R BT.601 of RGB",
        "range": [0, 255],
        "orientation": "upright, by EXIF",
        "background": "white",
        "resize_mode": "crop",
        "interpolation": "linear, of pixel centres",
    }
    assert expected.items() <= pixels.items()
    assert "part of the model" in pixels["normalization"]
    assert pixels["antialias"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_program_beside_a_file_makes_its_input_without_keras(name, exported, run):
    """Photos of several sizes and orientations, by the export alone and by the Predictor."""
    done = exported(name)
    load_image = runpy.run_path(str(done.path / "preprocess.py"))["load_image"]
    files = []
    for orientation, (rows, columns) in enumerate([(8, 8), (30, 21), (100, 64), (9, 40)], 3):
        stream, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = orientation
        photo(rows, columns).save(stream, "PNG", exif=exif)
        files.append(stream.getvalue())
    batch = np.concatenate([load_image(io.BytesIO(file)) for file in files])
    found = format_module(name).reader(done.path)(batch)
    predictions = vit_keras.Predictor(run).predict(files, top_k=10)
    for row, prediction in zip(found, predictions, strict=True):
        ours = {one.index: one.confidence for one in prediction.top}
        tolerance = 0.02 if name in FLOATS else 0.1
        assert max(abs(ours[index] - value) for index, value in enumerate(row)) < tolerance


def test_openvino_export_sends_no_telemetry(exported):
    """OpenVINO reports what it is used for to Google, by a package that comes with it."""
    exported("openvino")
    assert "openvino" in sys.modules
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]


def test_onnx_runtime_sends_no_telemetry(exported, tmp_path):
    """It keeps an identifier of the machine, and reports to Microsoft, unless it is forbidden."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    opened = (
        "from pathlib import Path; import sys\n"
        "from vit_keras.export.onnx_session import OnnxSession\n"
        "OnnxSession(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", opened, str(exported("onnx").path / "model.onnx")]
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_onnx_says_what_it_takes_and_what_it_tells_apart(exported):
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx")
    for name in ("onnx", "onnx_int8"):
        proto = onnx.load(str(exported(name).path / "model.onnx"))
        onnx.checker.check_model(proto)
        (pixels,), (probabilities,) = proto.graph.input, proto.graph.output
        assert pixels.name == "pixels"
        assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert pixels.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert probabilities.name == "probabilities"
        names = {entry.key: entry.value for entry in proto.metadata_props}["names"]
        assert json.loads(names) == {str(digit): str(digit) for digit in range(10)}
        kinds = [node.op_type for node in proto.graph.node]
        assert kinds.count("Erf") == 4  # the exact GELU of each block, and not its approximation
        assert "Tanh" not in kinds


def test_every_weight_of_the_encoder_is_in_8_bits(exported):
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx")
    proto = onnx.load(str(exported("onnx_int8").path / "model.onnx"))
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.count("MatMulInteger") == 1 + 4 * 4  # patches; qkv, projection, hidden, output
    assert kinds.count("MatMul") == 4 * 2 + 1  # q kᵀ and A v of each block; the head


def test_8_bit_weights_leave_room_for_sums_of_16_bits(exported):
    """u8 x s8 products are added in pairs into 16 bits where a processor lacks VNNI."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx")
    proto = onnx.load(str(exported("onnx_int8").path / "model.onnx"))
    values = {weight.name: onnx.numpy_helper.to_array(weight) for weight in proto.graph.initializer}
    products = [node for node in proto.graph.node if node.op_type == "MatMulInteger"]
    largest = max(np.abs(values[node.input[1]].astype(int)).max() for node in products)
    assert 2 * 255 * largest < 2**15


def test_files_with_weights_of_all_8_bits_are_computed_exactly_on_every_processor(tmp_path):
    """As version 0.1 wrote them; by NumPy's integers."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    random = np.random.default_rng(0)
    pixels = random.integers(200, 256, (3, 1, 1, 64), "uint8")
    weights = random.integers(100, 128, (64, 5), "int8")
    helper, kind = onnx.helper, onnx.TensorProto
    tensors = [
        helper.make_tensor_value_info("pixels", kind.UINT8, [None, 1, 1, 64]),
        helper.make_tensor_value_info("probabilities", kind.FLOAT, [None, 1, 1, 5]),
    ]
    nodes = [
        helper.make_node("MatMulInteger", ["pixels", "weights"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["probabilities"], to=kind.FLOAT),
    ]
    constant = onnx.numpy_helper.from_array(weights, "weights")
    graph = helper.make_graph(nodes, "product", tensors[:1], tensors[1:], [constant])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "m.onnx")
    found = OnnxSession(tmp_path / "m.onnx").outputs(pixels).probabilities
    np.testing.assert_array_equal(found, pixels.astype(int) @ weights.astype(int))


def test_a_saved_model_is_laid_out_for_tensorflow_serving(exported):
    folder = exported("tf_saved_model").path
    assert (folder / "1" / "saved_model.pb").is_file()  # below a version number
    labels = (folder / "1" / "assets.extra" / "labels.txt").read_text().splitlines()
    assert labels == [str(digit) for digit in range(10)]


def test_the_int8_onnx_file_of_a_larger_vit_is_below_three_tenths(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    pytest.importorskip("tf2onnx", reason="needs tf2onnx: pip install tf2onnx")
    # Fresh, with biases of zero: tf2onnx leaves those out, and joins what stood beside them.
    shape = dict(patch_size=4, width=192, depth=2, num_heads=3, mlp_dim=768)
    model = build_vit(None, image_size=32, num_classes=10, **shape)
    model.get_layer("head").kernel.assign(np.random.default_rng(0).normal(0, 0.1, (192, 10)))
    pixels = keras.Input((32, 32, 3), dtype="uint8", name="pixels")
    serving = keras.Model(pixels, keras.layers.Softmax(name="probabilities")(model(pixels)))
    expected = serving.predict(images(5, (32, 32, 3)), verbose=0)
    sizes = {}
    for name in ("onnx", "onnx_int8"):
        folder = tmp_path / name
        folder.mkdir()
        format_module(name).write(serving, folder, ["a"], {})
        sizes[name] = (folder / "model.onnx").stat().st_size
        found = format_module(name).reader(folder)(images(5, (32, 32, 3)))
        np.testing.assert_allclose(found, expected, atol=1e-5 if name == "onnx" else 0.05)
    assert sizes["onnx_int8"] <= 0.3 * sizes["onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_convolutions_and_max_pooling_are_exported(name, tmp_path):
    for package, module in FORMATS[name].packages.items():
        pytest.importorskip(module, reason=f"needs {package}: pip install {package}")
    keras.utils.set_random_seed(0)
    sizes = dict(patch_size=4, width=24, depth=1, num_heads=2, mlp_dim=32)
    model = build_vit(None, image_size=16, num_classes=5, stem="cct", pool="seq", **sizes)
    model.get_layer("head").kernel.assign(np.random.default_rng(0).normal(size=(24, 5)))
    pixels = keras.Input((16, 16, 3), dtype="uint8", name="pixels")
    serving = keras.Model(pixels, keras.layers.Softmax(name="probabilities")(model(pixels)))
    expected = serving.predict(images(5, (16, 16, 3)), verbose=0)
    format_module(name).write(serving, tmp_path, list("abcde"), {})
    found = format_module(name).reader(tmp_path)(images(5, (16, 16, 3)))
    np.testing.assert_allclose(found, expected, atol=0.1 if "int8" in name else 1e-5)


def test_onnx_of_one_head_has_probabilities_of_images_and_not_of_tokens():
    """Merging one head, (B, 1, N, D) -> (B, N, D), leaves D as it is, as flattening tokens does."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    keras.utils.set_random_seed(0)
    sizes = dict(patch_size=4, width=8, depth=1, num_heads=1, mlp_dim=8, pool="mean")
    model = build_vit(None, image_size=8, num_classes=3, channels=1, **sizes)
    head = model.get_layer("head")
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))
    pixels = images(5).astype("float32")
    made = format_module("onnx").proto(model)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    [found] = session.run(None, {made.graph.input[0].name: pixels})
    np.testing.assert_allclose(found, np.asarray(model(pixels)), atol=1e-5)


def test_half_precision_is_exported_in_float32():
    keras.utils.set_random_seed(0)
    sizes = dict(patch_size=4, width=12, depth=2, num_heads=2, mlp_dim=16)
    half = build_vit(None, image_size=8, num_classes=3, dtype="mixed_bfloat16", **sizes)
    head = half.get_layer("head")
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))
    whole = serving_model.in_float32(half)
    assert {layer.compute_dtype for layer in whole._flatten_layers()} == {"float32"}
    for ours, theirs in zip(whole.get_weights(), half.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pixels = images(5, (8, 8, 3))
    difference = np.abs(np.asarray(whole(pixels)) - np.asarray(half(pixels))).max()
    assert 0 < difference < 0.2
    assert serving_model.in_float32(whole) is whole


def test_random_pixels_stand_in_for_data_that_are_gone_and_it_is_reported_first(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "config.yaml").read_text()
    text = text.replace("name: digits\n  path: null", "name: folder\n  path: /nowhere")
    (copy / "config.yaml").write_text(text.replace("image_size: null", "image_size: 8"))
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))
    logging.getLogger("vit_keras").addHandler(handler)
    try:
        done = exporter.export_run(copy, "keras_int8", images=6)
    finally:
        logging.getLogger("vit_keras").removeHandler(handler)
    level, first = lines[0]
    assert level == "WARNING"
    assert first.startswith(
        "WARNING: compared on random pixels, because no test image can be loaded"
    )
    assert "/nowhere" in first
    report = json.loads((done.path / "export.json").read_text())
    assert next(iter(report)) == "warning"
    assert report["warning"] in first
    assert report["images_from"] == "random pixels"
    assert "accuracy" not in report


def test_comparison_with_keras_by_hand():
    ours = np.asarray([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]])
    theirs = np.asarray([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0.35, 0.3, 0.35], [0.6, 0.2, 0.2]])
    model = SimpleNamespace(predict_on_batch=lambda batch: ours[batch])
    four = np.arange(4)
    report = exporter.compare_with_keras(
        model, lambda batch: theirs[batch], four, np.asarray([0, 1, 1, 1])
    )
    assert report["images"] == 4
    assert report["max_difference"] == pytest.approx(0.3)
    assert report["top1_agreement"] == 0.5
    assert (report["keras_accuracy"], report["accuracy"]) == (0.75, 0.5)
    unlabelled = exporter.compare_with_keras(model, lambda batch: theirs[batch], four, None)
    assert "accuracy" not in unlabelled


def test_a_damaged_temperature_is_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    for text in ('{"temperature": 0}', '{"temperature": "warm"}', "[]", "{"):
        (copy / "temperature.json").write_text(text)
        with pytest.raises(SettingError, match=r"temperature.json is damaged"):
            _ = vit_keras.open_run(copy).temperature


def test_an_export_that_fails_leaves_nothing(run, monkeypatch, tmp_path):
    def write(model, folder, class_names, image_input):
        (folder / "model.keras").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(format_module("keras_int8"), "write", write)
    with pytest.raises(OSError, match="disk full"):
        exporter.export_run(run, "keras_int8", output=tmp_path / "new")
    assert not list(tmp_path.iterdir())


def check(*words):
    preflight.check_export(arguments.parse("export", export.add_arguments, [*map(str, words)]))


def test_what_cannot_be_exported_is_refused_before_keras(run, tmp_path, monkeypatch):
    with pytest.raises(SettingError, match=r"format: onx is unknown; did you mean onnx\?"):
        check(run, "--format=onx")
    with pytest.raises(SettingError, match="is not a run"):
        check(tmp_path, "--format=keras_int8")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingError, match="is not empty"):
        check(run, "--format=keras_int8", f"--output={tmp_path}")
    with pytest.raises(SettingError, match="KERAS_BACKEND=jax cannot write format=tf_saved_model"):
        preflight.open_run_and_folder(run, "tf_saved_model", None, "jax")
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(SettingError, match="not installed here: pip install ai-edge-litert"):
        check(run, "--format=litert")


def test_the_script_refuses_without_importing_keras(refusal):
    assert "did you mean onnx?" in refusal("x", "--format=onix", name="export")


def test_keras_opens_its_int8_file_as_any_other(exported):
    model = keras.models.load_model(exported("keras_int8").path / "model.keras")  # in safe mode
    kernel = model.get_layer("vit_digits").get_layer("encoder_block_0").attention.qkv.kernel
    assert keras.backend.standardize_dtype(kernel.dtype) == "int8"
    assert os.path.getsize(exported("keras_int8").path / "model.keras") > 0
