"""Tall photos from the training to the studio, and every way in for every kind of picture file."""

import base64
import io
import runpy
import shutil
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from helpers.icc_profiles import ADOBE
from helpers.image_files import photo
from helpers.tiny_runs import keep_snapshots, resumed
from helpers.trained_runs import assert_same
from vit_keras import Predictor, evaluate_run, load_config, load_pretrained, train_model
from vit_keras.config.schema import DataConfig
from vit_keras.data import image_formats, registry, unzip_images
from vit_keras.explain.explanation import explain_run
from vit_keras.predict import inputs, outputs
from vit_keras.predict.tiles import predict_by_tiles

if keras.backend.backend() != "tensorflow":
    pytest.skip("exports are written from TensorFlow's graph", allow_module_level=True)
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
pytest.importorskip("tf2onnx", reason="needs tf2onnx: pip install tf2onnx")

from vit_keras.export.exporter import export_run
from vit_keras.export.formats import format_module
from vit_keras.studio.jobs.command import override
from vit_keras.studio.worker.data_tasks import DataTasks
from vit_keras.studio.worker.model_tasks import ModelTasks
from vit_keras.training.estimate import estimate
from vit_keras.training.learning_rate_finder import find_learning_rate

pytestmark = pytest.mark.slow

SIZE = (64, 32)  # height, width
GRID = (8, 4)
TALL = photo(*SIZE)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos that are bright at the top or at the bottom, taller than wide."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, bright in (("down", slice(64, None)), ("up", slice(0, 64))):
        (folder / name).mkdir()
        for index in range(12):
            pixels = rng.integers(0, 100, (128, 64, 3), "uint8")
            pixels[bright] += 100
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def words(photos, *more):
    sizes = ("patch_size=8", "width=16", "depth=1", "num_heads=2", "mlp_dim=16", "stem=conv")
    return (
        *("data=folder", f"data.path={photos}", f"data.image_size=[{SIZE[0]},{SIZE[1]}]"),
        *(f"model.{size}" for size in sizes),
        *("model.patch_dropout=0.2", "augment=light", "optim.learning_rate=0.01"),
        *("train.batch_size=8", "train.jit_compile=false", "train.precision=float32", *more),
    )


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run of two stages, and in `1` what a kill after its first epoch leaves."""
    folder = tmp_path_factory.mktemp("runs")
    stages = ("+stages.low={epochs: 1, image_size: [32,16]}", "+stages.full={epochs: 5}")
    config = load_config(
        *words(photos, "train.epochs=null", *stages, f"run.dir={folder / 'whole'}")
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_snapshots(monkeypatch, folder)
        train_model(config)
    export_run(folder / "whole", "onnx", images=4)
    return folder / "whole"


def test_a_tall_model_is_resumed_evaluated_explained_and_resized(run, photos, tmp_path):
    killed = shutil.copytree(run.parent / "1", tmp_path / "killed")
    resumed(killed)
    assert_same(run, killed)
    report = evaluate_run(killed, sizes=[32], images=4).report
    assert report["model"]["image_size"] == list(SIZE)
    sizes = [(row["image_size"], row["image_width"], row["patches"]) for row in report["sizes"]]
    assert sizes == [(32, 16, 8), (64, 32, 32)]
    page = (killed / "evaluation" / "report.html").read_text()
    assert "<td>32x16</td>" in page.replace('<td class="number">', "<td>")
    folder = explain_run(run, photos / "up" / "0.png", output=tmp_path / "maps")
    with np.load(folder / "maps.npz") as maps:
        assert maps["rollout"].shape == maps["relevance"].shape == GRID
        assert maps["heads"].shape == (1, 2, *GRID)
    with Image.open(folder / "rollout.png") as picture:
        assert picture.size == (160, 320)
    wide = load_pretrained(str(run), image_size=SIZE[::-1])
    assert wide.input_shape == (None, 32, 64, 3)


def test_a_tall_model_is_estimated_and_shown_in_the_studio(run, photos):
    config = load_config(*words(photos, "train.epochs=2", "train.batch_size=4"))
    assert estimate(config).params > 1000
    found = find_learning_rate(config, 1e-5, 1e-1, 12)
    assert np.isfinite(found.losses[0])
    typed = override("data.image_size", "value", True, f"[{SIZE[0]},{SIZE[1]}]")
    tasks, data = DataTasks(), ("data=folder", f"data.path={photos}", typed)
    summary = tasks.summary(list(data), samples=2, label=None, reload=False)
    assert summary["sizes"] == [["128 x 64", 24]]
    sheet = Image.open(io.BytesIO(base64.b64decode(tasks.augment(list(data), 2, 1, 0))))
    assert sheet.height > sheet.width
    content = base64.b64encode((photos / "up" / "0.png").read_bytes()).decode()
    shown = ModelTasks().overlay(str(run), content, 1)
    for name in ("input", "overlay"):
        picture = Image.open(io.BytesIO(base64.b64decode(shown[name])))
        assert picture.size == (160, 320)


def test_tiles_are_predicted_as_images_of_their_own(run):
    predictor, image = Predictor(run), np.asarray(photo(128, 64))
    found = predict_by_tiles(predictor, image, overlap=0)
    parts = [image[top : top + 64, left : left + 32] for top in (0, 64) for left in (0, 32)]
    expected = np.array(rows(predictor.predict(parts, top_k=2)))
    np.testing.assert_allclose(found.probabilities.reshape(4, 2), expected, atol=1e-6)
    assert found.prediction.confidence == pytest.approx(expected.mean(axis=0).max(), abs=1e-6)


def turned(image, orientation):
    """The pixels as a camera stores them that says `orientation`, and its EXIF block."""
    undo = {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90}
    undo |= {7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}
    undo |= {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180}
    undo |= {4: Image.Transpose.FLIP_TOP_BOTTOM}
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image.transpose(undo[orientation]) if orientation in undo else image, exif


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of the same tall photo, in a folder of a class each; what a viewer shows of each."""
    folder, shown = tmp_path_factory.mktemp("pictures"), {}
    jpeg = dict(quality=95, subsampling=0)
    kinds = {f"{kind}{n}.{kind}": (n, {}) for kind in ("png", "jpg") for n in range(1, 9)}
    kinds |= {"a.avif": (6, dict(quality=90)), "icc.jpg": (1, dict(icc_profile=ADOBE, **jpeg))}
    if image_formats._has_heif():
        kinds["h.heic"] = (6, dict(quality=90))
    for index, (name, (orientation, options)) in enumerate(kinds.items()):
        path = folder / ("down", "up")[index % 2] / name
        path.parent.mkdir(exist_ok=True)
        image, exif = turned(TALL, orientation)
        image.save(path, exif=exif, **({**jpeg, **options} if name.endswith("jpg") else options))
        opened = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        if "icc_profile" in options:
            srgb = ImageCms.createProfile("sRGB")
            opened = ImageCms.profileToProfile(opened, io.BytesIO(ADOBE), srgb, outputMode="RGB")
        shown[path] = np.asarray(opened)
    return shown


def of_table(files, run, tmp_path):
    rows = "".join(f"{path},{path.parent.name}\n" for path in files)
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    settings = dict(name="csv", path=str(tmp_path / "labels.csv"), follow_links=True)
    return of_data_set(files, run, **settings)


def of_data_set(files, run, **settings):
    config = DataConfig(image_size=list(SIZE), **settings)
    images = registry.read_dataset(config).train.images
    root = next(iter(files)).parents[1]
    places = [(root / record.path).resolve() for record in images.files]
    probabilities = Predictor(run, engine="keras").engine.outputs(images[:]).probabilities
    return [probabilities[places.index(path.resolve())] for path in files]


def of_zip(files, run, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in files:
            archive.write(path, f"{path.parent.name}/{path.name}")
    unzip_images.unzip_images(tmp_path / "a.zip", tmp_path / "unzipped")
    unzipped = {file.read_bytes(): file for file in (tmp_path / "unzipped").rglob("*.*")}
    return rows(Predictor(run).predict([unzipped[path.read_bytes()] for path in files], top_k=2))


def of_export(files, run, tmp_path):
    """By the program and the file of an export alone."""
    export = run / "export" / "onnx"
    load_image = runpy.run_path(str(export / "preprocess.py"))["load_image"]
    return list(format_module("onnx").reader(export)(np.concatenate(list(map(load_image, files)))))


def of_studio(files, run, tmp_path):
    contents = [base64.b64encode(path.read_bytes()).decode() for path in files]
    found = [one["top"] for one in ModelTasks().predict(str(run), contents)]
    return [[share for _, _, share in sorted(top, key=lambda row: row[1])] for top in found]


def of_folder(files, run, tmp_path):
    found = inputs.find_files([str(next(iter(files)).parents[1])])
    done = outputs.predict_files(Predictor(run), found, top_k=2)
    found = dict(zip([one.source for one in done.predictions], rows(done.predictions), strict=True))
    return [found[str(path)] for path in files]


def rows(predictions):
    """The probability of each class."""
    tops = [sorted(one.top, key=lambda candidate: candidate.index) for one in predictions]
    return [[candidate.confidence for candidate in top] for top in tops]


WAYS = {
    "path": lambda files, run, _: [rows(Predictor(run).predict(p, top_k=2))[0] for p in files],
    "list": lambda files, run, _: rows(Predictor(run).predict(list(map(str, files)), top_k=2)),
    "bytes": lambda files, run, _: rows(
        Predictor(run, engine="keras").predict([p.read_bytes() for p in files], top_k=2)
    ),
    "pillow": lambda files, run, _: rows(Predictor(run).predict(map(Image.open, files), top_k=2)),
    "folder": of_folder,
    "data set": lambda files, run, _: of_data_set(
        files, run, name="folder", path=str(next(iter(files)).parents[1])
    ),
    "table": of_table,
    "zip": of_zip,
    "studio": of_studio,
    "export": of_export,
}


def test_every_way_in_gives_each_picture_the_same_probabilities(run, pictures, tmp_path):
    predictor = Predictor(run)
    expected = np.array(rows(predictor.predict(list(pictures.values()), top_k=2)))
    for way, predict in WAYS.items():
        (tmp_path / way).mkdir()
        found = np.array(predict(list(pictures), run, tmp_path / way))
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=way)
        np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    # It can be seen by the probabilities: the pixels as they are stored give others.
    stored = [np.asarray(Image.open(path).convert("RGB")) for path in pictures]
    as_stored = np.array(rows(predictor.predict(stored, top_k=2)))
    changed = np.abs(as_stored - expected).max(axis=1) > 1e-4
    names = [path.name for path in pictures]
    upright = ("png1.png", "jpg1.jpg", "h.heic")  # pillow-heif turns its pixels itself
    assert [name for name, is_other in zip(names, changed, strict=True) if not is_other] == [
        name for name in names if name in upright
    ]
    if not image_formats._has_heif():
        pytest.skip("all but HEIC are compared; it needs pillow-heif: pip install pillow-heif")
