"""The scan reports whole images that are flat, cropped or deep, and splits of few images."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import vit_keras
from helpers.image_files import config, write
from vit_keras import Predictor
from vit_keras.data import quality_report
from vit_keras.data.dataset import Split, Splits
from vit_keras.data.splits import load_splits
from vit_keras.runs.run_dir import config_of_run

SIZE = (12, 16)


@pytest.fixture
def root(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    return tmp_path / "photos"


def problems(root, **settings):
    return {
        finding.file: (finding.problem, finding.detail)
        for finding in load_splits(config(root, **settings), 0).findings
    }


def noise(*shape, largest=255):
    return np.random.default_rng(0).integers(0, largest + 1, shape).astype("uint16")


def test_images_of_which_the_crop_cuts_a_third_are_named(root):
    """The model takes 4 x 6 pixels; those of 4 x 4 lose a third, which is not more."""
    for height, width in ((40, 40), (40, 20), (20, 90), (40, 60)):
        array = noise(height, width).astype("uint8")
        Image.fromarray(array).save(root / "ant" / f"{width}x{height}.png")
    found = problems(root)
    assert found == {
        "ant/20x40.png": ("cropped", "33% of 20x40 remain"),
        "ant/90x20.png": ("cropped", "33% of 90x20 remain"),
    }
    (line,) = quality_report.summary(load_splits(config(root), 0).findings)
    assert line.startswith(
        "2 images lose more than a third to data.resize_mode=crop; see data.resi"
    )
    assert problems(root, resize_mode="pad") == problems(root, resize_mode="stretch") == {}


@pytest.mark.parametrize(("size", "is_cut"), [([8, 8], True), ([8, 32], False), ([32, 8], True)])
def test_a_model_of_another_shape_than_most_photos_is_warned_of(root, size, is_cut):
    for index in range(20):
        array = np.random.default_rng(index).integers(0, 256, (80, 320), "uint8")
        Image.fromarray(array).save(root / "bee" / f"wide {index}.png")
    settings = config(root)
    settings.image_size = size
    lines = quality_report.crop(load_splits(settings, 0))
    assert len(lines) == is_cut
    settings.resize_mode = "pad"
    assert not quality_report.crop(load_splits(settings, 0))
    for line in lines:
        assert re.match(
            r"\d+ of \d+ images to train on lose more than a fifth to data.resize_m", line
        )
        assert "data.resize_mode=pad" in line


def test_a_turned_photo_is_measured_upright(root):
    image = Image.fromarray(noise(60, 40).astype("uint8"))
    image.getexif()[0x0112] = 6
    image.save(root / "ant" / "turned.jpg", exif=image.getexif())
    assert problems(root) == {}


def test_16_bits_are_scaled_by_the_largest_value_of_all(root):
    for index, largest in enumerate((300, 4000)):
        Image.fromarray(noise(*SIZE, largest=largest)).save(root / "ant" / f"deep {index}.png")
    splits = load_splits(config(root, cache_mb=0), 0)
    assert splits.bit_depth == 12
    found = {f.file: f.detail for f in splits.findings if f.problem == "bit_depth"}
    assert found.keys() == {"ant/deep 0.png", "ant/deep 1.png"}
    assert found["ant/deep 1.png"].startswith("12 of 16 bits taken, values up to 39")
    images = splits.all.images
    (index,) = [i for i, file in enumerate(images.files) if file.path == "ant/deep 0.png"]
    assert images[index].max() <= np.ceil(300 / 4095 * 255)
    explicit = load_splits(config(root, cache_mb=0, bit_depth=12), 0)
    assert explicit.fingerprint == splits.fingerprint
    other = load_splits(config(root, cache_mb=0, bit_depth=16), 0)
    assert other.fingerprint != splits.fingerprint


def test_a_black_image_of_16_bits_decides_nothing(root):
    """As an icon whose shape is in its alpha channel alone."""
    Image.fromarray(np.zeros(SIZE, "uint16")).save(root / "ant" / "black.png")
    splits = load_splits(config(root), 0)
    assert splits.bit_depth is None
    assert [finding.problem for finding in splits.findings] == ["flat"]


def test_a_value_beyond_the_bit_depth_is_a_bad_file(root):
    Image.fromarray(noise(*SIZE, largest=4000)).save(root / "ant" / "deep.png")
    (problem, detail), *_ = problems(root, bit_depth=10).values()
    assert problem == "skipped"
    assert "data.bit_depth ends at 1023" in detail


def trained(root, directory, data=None):
    settings = ("data=folder", f"data.path={root}") if data is None else ("data=arrays",)
    config = vit_keras.load_config(
        *settings, "data.image_size=[12,16]", "model.patch_size=4", "model.depth=1",
        "model.width=8", "model.num_heads=1", "model.mlp_dim=8", "train.epochs=1",
        "train.batch_size=4", "train.jit_compile=false", f"run.dir={directory}",
    )  # fmt: skip
    vit_keras.train_model(config, data)
    return config_of_run(str(directory))


def test_a_run_keeps_the_bit_depth_and_predicts_by_it(tmp_path):
    """Trained on files or on arrays: files, Pillow images and arrays are scaled alike."""
    rng, arrays = np.random.default_rng(0), []
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(8):
            arrays.append(rng.integers(0, 4096, SIZE).astype("uint16"))
            Image.fromarray(arrays[-1]).save(tmp_path / "photos" / name / f"{index}.png")
    labels = np.repeat([0, 1], 8)
    runs = {
        "files": trained(tmp_path / "photos", tmp_path / "files"),
        "arrays": trained(None, tmp_path / "arrays", (np.stack(arrays), labels)),
    }
    for name, config_of in runs.items():
        assert config_of.data.bit_depth == 12
        predictor = Predictor(tmp_path / name)
        path = tmp_path / "photos" / "ant" / "0.png"
        ways = [path, Image.open(path), arrays[0]]
        first, *others = (predictor.predict(one)[0].confidence for one in ways)
        assert others == [first, first]
    report = vit_keras.evaluate_run(tmp_path / "files", images=4).report
    assert report["data"]["is_the_runs_own"]
    assert json.loads((tmp_path / "files" / "metrics.json").read_text())


def few(count):
    images = np.zeros((count, 4, 6, 3), "uint8")
    return Split(images, np.arange(count) % 2)


def test_classes_of_few_images_are_named():
    splits = Splits(few(17), few(30), few(30), ["ant", "bee"])
    (problem,) = quality_report.rare_classes(splits)
    assert problem == "fewer than 10 images to train on of ant (9), bee (8)"
    assert quality_report.rare_classes(Splits(few(20), few(3), few(3), ["ant", "bee"])) == []


def test_an_image_of_quite_another_size_is_named(tmp_path):
    for split in ("train", "val", "test"):
        for name in ("ant", "bee"):
            write(tmp_path / split / name, 8)
    huge = noise(400, 600).astype("uint8")
    Image.fromarray(huge).save(tmp_path / "train" / "ant" / "huge.png")
    (line,) = quality_report.sizes(load_splits(config(tmp_path), 0))
    assert line.startswith("1 image to train on is far from the usual 6 pixels")
    assert "ant/huge.png (600x400)" in line


def test_a_mixture_of_sizes_has_no_unusual_one(root):
    for index in range(6):
        Image.fromarray(noise(40 + index, 60).astype("uint8")).save(root / "ant" / f"{index}.jpg")
    assert quality_report.sizes(load_splits(config(root), 0)) == []
