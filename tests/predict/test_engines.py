"""Predictions by ONNX Runtime equal those by Keras, need no Keras, and are never of an old file."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import vit_keras
from helpers.exported_runs import exported_digits, skip_without_onnx
from helpers.fake_runs import in_process
from helpers.paths import SAVED_MODELS
from helpers.waiting import PATIENCE
from vit_keras import Predictor, SettingError, features, open_run
from vit_keras.export import current, exporter, preflight
from vit_keras.predict import engines

skip_without_onnx()
pytestmark = pytest.mark.usefixtures("without_gpu")

PIXELS = (load_digits().images * 255 / 16).round().astype("uint8")
ORIENTATION = 0x0112  # the tag of EXIF


def confidences(predictions):
    """(n, classes) of predictions with all classes."""
    return np.array(
        [[c.confidence for c in sorted(one.top, key=lambda c: c.index)] for one in predictions]
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return exported_digits(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(exported, tmp_path):
    """A copy to be changed, as by `cp -r`: with new times."""
    return shutil.copytree(exported, tmp_path / "digits", copy_function=shutil.copyfile)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(PIXELS[3]).resize((60, 60)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def with_other_weights(run):
    """As after more training."""
    model = open_run(run).model
    head = model.get_layer("head")
    head.kernel.assign(head.kernel * 0.5)
    model.save(run / "best.keras")


def report(run, **changes):
    file = run / "export/onnx/export.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def fault(run):
    return current.export_fault(open_run(run), "onnx")


@pytest.mark.parametrize(
    "name", ["digits", pytest.param("cifar10_small", marks=pytest.mark.exhaustive)]
)
def test_both_engines_give_the_same_probabilities(name, exported, tmp_path):
    if name != "digits":
        exported = shutil.copytree(SAVED_MODELS / name, tmp_path / name)
        exporter.export_run(exported, "onnx", images=5)
    ours, theirs = Predictor(exported), Predictor(exported, engine="keras")
    assert (ours.engine.name, theirs.engine.name) == ("ONNX Runtime", "Keras")
    shape = (50, *theirs.input_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    if name == "digits":
        images = PIXELS[:50, ..., None]
    for flip in (False, True):
        found, expected = (
            confidences(one.predict(images, top_k=10, flip=flip)) for one in (ours, theirs)
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_orientation_of_a_photo_is_the_same_class_by_both_engines(exported):
    ours, theirs = Predictor(exported), Predictor(exported, engine="keras")
    files = []
    for orientation in range(1, 9):
        for kind in ("PNG", "JPEG"):
            stream, exif = io.BytesIO(), Image.Exif()
            exif[ORIENTATION] = orientation
            picture = Image.fromarray(PIXELS[orientation]).resize((50, 31)).convert("RGB")
            picture.save(stream, kind, exif=exif)
            files.append(stream.getvalue())
    found, expected = (one.predict(files, top_k=10) for one in (ours, theirs))
    assert [one.label for one in found] == [one.label for one in expected]
    np.testing.assert_allclose(confidences(found), confidences(expected), atol=1e-5)


PROGRAM = """
import sys
from vit_keras.cli.main import main
main()
loaded = {"keras", "tensorflow", "jax", "onnx", "sklearn", "matplotlib"} & {*sys.modules}
assert not loaded, loaded
"""


def test_a_prediction_by_onnx_imports_neither_keras_nor_tensorflow(exported, photo):
    words = ["predict", str(exported), str(photo), "--format=json", "--top-k=10"]
    words.append("--coverage=0.9")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert "by ONNX Runtime" in done.stderr
    (expected,) = Predictor(exported, engine="keras").predict(photo, top_k=10)
    found = {one["index"]: one["confidence"] for one in json.loads(done.stdout)[0]["top"]}
    for candidate in expected.top:
        assert found[candidate.index] == pytest.approx(candidate.confidence, abs=1e-5)


def test_a_copied_run_keeps_its_file_and_other_weights_make_it_again(
    run, photo, monkeypatch, capsys
):
    assert Predictor(run).engine.name == "ONNX Runtime"
    os.utime(run / "best.keras")  # newer, with the same content
    assert fault(run) == ""
    with_other_weights(run)
    assert fault(run) == "it is of other weights than best.keras"
    predict = in_process("predict", monkeypatch, capsys)
    status, out, err = predict(run, photo, "--format=json", "--top-k=10")
    assert status == 0
    assert "predicted by Keras, and not by" in err
    assert "export/onnx is made again: it is of other weights than best.keras" in err
    json.loads(out)  # and nothing else
    status, again, err = predict(run, photo, "--format=json", "--top-k=10")
    assert "by ONNX Runtime" in err
    assert "WARNING" not in err
    for ours, theirs in zip(json.loads(again)[0]["top"], json.loads(out)[0]["top"], strict=True):
        assert ours["index"] == theirs["index"]
        assert ours["confidence"] == pytest.approx(theirs["confidence"], abs=1e-5)


def test_what_changes_a_run_makes_its_file_old(run):
    (run / "temperature.json").write_text('{"temperature": 2.0}')
    assert fault(run) == "it has temperature 1.500, the run 2.000"
    (run / "temperature.json").write_text('{"temperature": 1.5}')
    mapping = (run / "class_mapping.json").read_text()
    (run / "class_mapping.json").write_text(
        mapping.replace('"9"', '"nine"').replace('"nine":', '"9":')
    )
    assert fault(run) == "it has other class names than the run"
    (run / "class_mapping.json").write_text(mapping)
    assert fault(run) == ""


@pytest.mark.slow
def test_an_evaluation_that_fits_a_temperature_makes_the_file_again(run, capsys):
    vit_keras.evaluate_run(run, images=20)
    assert open_run(run).temperature != 1.5
    assert fault(run) == ""
    # So does the calibration of abstention, by which both engines decide the same.
    ours, theirs = Predictor(run, engine="onnx"), Predictor(run, engine="keras")
    noise = np.random.default_rng(0).integers(0, 256, (40, 8, 8), "uint8")
    images = np.concatenate([PIXELS[:400], noise])
    found = assert_same_decisions(ours, theirs, images)
    assert np.mean([one.abstain for one in found[:400]]) < 0.2
    assert np.mean([one.abstain for one in found[400:]]) > 0.5


def assert_same_decisions(ours, theirs, images):
    found, expected = (
        [one.decision for one in engine.predict(images, coverage=0.9)] for engine in (ours, theirs)
    )
    for our, their in zip(found, expected, strict=True):
        assert (our.classes, our.abstain, our.reason) == (
            their.classes,
            their.abstain,
            their.reason,
        )
        assert our.ood_score == pytest.approx(their.ood_score, abs=1e-6)
    return found


def test_both_engines_abstain_from_the_same_images(exported):
    ours, theirs = Predictor(exported), Predictor(exported, engine="keras")
    found = assert_same_decisions(ours, theirs, PIXELS[:100])
    assert 0 < sum(one.abstain for one in found) < 100
    model, rule = features(theirs.run.model), theirs.run.abstention
    expected = rule.distances(np.asarray(model.predict_on_batch(PIXELS[:100, ..., None])))
    np.testing.assert_allclose([one.ood_score for one in found], expected, atol=1e-6)
    with pytest.raises(
        SettingError, match=r"coverage=0.999 needs 999 validation images .* has 200"
    ):
        ours.predict(PIXELS[0], coverage=0.999)
    with pytest.raises(SettingError, match=r"ood_quantile=0.5 has no effect without a coverage"):
        ours.predict(PIXELS[0], ood_quantile=0.5)
    with pytest.raises(SettingError, match=r"for their mean with mirror images; leave out flip"):
        ours.predict(PIXELS[0], coverage=0.9, flip=True)


def test_an_onnx_file_states_its_thresholds_and_keeps_its_first_output(run):
    import onnxruntime

    session = onnxruntime.InferenceSession(run / "export/onnx/model.onnx")
    assert [one.name for one in session.get_outputs()] == ["probabilities", "ood_score"]
    stated = json.loads(session.get_modelmeta().custom_metadata_map["abstention"])
    assert stated == json.loads((run / "export/onnx/export.json").read_text())["abstention"]
    rule = open_run(run).abstention
    assert stated["least_probability"]["0.95"] == rule.least_probability(0.95)
    assert stated["ood_limit"] == rule.ood_limit(0.99)
    (run / "abstention.npz").unlink()
    assert fault(run) == "it does not abstain as the run does since its evaluation"


def test_files_of_earlier_exports_are_judged_by_their_time(run):
    file = run / "export/onnx/export.json"
    content = json.loads(file.read_text())
    file.write_text(
        json.dumps({k: v for k, v in content.items() if k not in ("sha256", "model_fingerprint")})
    )
    os.utime(run / "best.keras", (1e9, 1e9))
    assert fault(run) == ""
    os.utime(run / "export/onnx/model.onnx", (9e8, 9e8))
    assert fault(run) == "it is of other weights than best.keras"


def flip_a_bit(content):
    return content[:100_000] + bytes([content[100_000] ^ 1]) + content[100_001:]


@pytest.mark.parametrize("damage", [flip_a_bit, lambda content: content[:-9], lambda content: b""])
def test_a_damaged_file_is_not_used(damage, run, caplog):
    file = run / "export/onnx/model.onnx"
    file.write_bytes(damage(file.read_bytes()))
    predictor = Predictor(run)
    assert predictor.engine.name == "Keras"
    (warning,) = caplog.messages
    assert warning.endswith("export/onnx: it is damaged (its checksum)")


def test_a_file_that_cannot_be_opened_is_one_line(run, caplog):
    file = run / "export/onnx/model.onnx"
    file.write_bytes(b"no model")
    report(run, bytes=8, sha256=current.checksum(file))
    with pytest.raises(
        SettingError, match=r"model\.onnx cannot be opened \(.*; export again"
    ) as error:
        Predictor(run, engine="onnx")
    assert len(str(error.value).splitlines()) == 1
    assert Predictor(run).engine.name == "Keras"
    assert "cannot be opened" in caplog.messages[-1]


def test_a_run_without_a_file_is_predicted_by_keras_or_exported_first(
    run, exported, monkeypatch, caplog
):
    shutil.rmtree(run / "export")
    assert Predictor(run).engine.name == "Keras"
    assert not caplog.messages
    monkeypatch.setattr(
        engines,
        "_export",
        lambda saved, format: shutil.copytree(exported / "export", run / "export"),
    )
    assert Predictor(run, engine="onnx").engine.name == "ONNX Runtime"
    assert "is exported to ONNX first: it has no ONNX file yet" in caplog.text
    assert fault(run) == ""


def test_engines_that_cannot_be_used_are_refused(run, monkeypatch, caplog):
    with pytest.raises(SettingError, match="engine=onx is unknown; did you mean onnx"):
        Predictor(run, engine="onx")
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(SettingError, match="not installed here: pip install onnxruntime"):
        Predictor(run, engine="onnx")
    assert Predictor(run).engine.name == "Keras"
    assert caplog.messages[-1].endswith("pip install onnxruntime to use it")


def test_a_gpu_is_used_unless_onnx_is_asked_for(exported, monkeypatch):
    monkeypatch.setattr(engines.backend, "has_gpu_device", lambda: True)
    assert Predictor(exported).engine.name == "Keras"
    assert Predictor(exported, engine="onnx").engine.name == "ONNX Runtime"


def test_the_fingerprint_of_a_model_is_of_its_weights_and_not_of_its_time(exported, tmp_path):
    with zipfile.ZipFile(exported / "best.keras") as source:
        parts = {entry.filename: source.read(entry) for entry in source.infolist()}

    def packed(**changes):
        with zipfile.ZipFile(tmp_path / "new.keras", "w", zipfile.ZIP_DEFLATED) as target:
            for name, content in {**parts, **changes}.items():
                target.writestr(name, content)
        return current.model_fingerprint(tmp_path / "new.keras")

    kept = current.model_fingerprint(exported / "best.keras")
    assert packed() == kept
    assert packed(**{"metadata.json": b"{}"}) == kept
    assert packed(**{"model.weights.h5": b"other"}) != kept
