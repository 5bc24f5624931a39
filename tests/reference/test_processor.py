"""Hugging Face's processor of a saved run makes its pixels, and the pipeline gives its classes."""

import shutil

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from helpers.image_files import photo
from helpers.paths import SAVED_MODELS
from vit_keras import Predictor, build_vit, open_run, save_pretrained
from vit_keras.predict import inputs

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]

SIDE = 32
CLASSES = [f"class {index}" for index in range(10)]
SHAPES = [(32, 32), (40, 64), (64, 41), (97, 96), (200, 333), (20, 90), (300, 70)]


def smooth(height, width):
    """A photo without the detail in which Pillow's filter and ours differ."""
    return photo(height, width).filter(ImageFilter.GaussianBlur(max(height, width) / 30))


def run_of(folder, resize_mode, channels):
    """A run of these settings, with weights of its own that tell images apart."""
    run = shutil.copytree(SAVED_MODELS / "digits", folder)
    text = (run / "config.yaml").read_text().replace("\n  fit: crop", f"\n  fit: {resize_mode}")
    (run / "config.yaml").write_text(text)
    sizes = dict(patch_size=8, width=24, depth=2, num_heads=3, mlp_dim=48)
    mean = [0.5] if channels == 1 else [0.485, 0.456, 0.406]
    model = build_vit(
        None, image_size=SIDE, num_classes=10, channels=channels, pixel_mean=mean, **sizes
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + rng.normal(0, 0.15, weight.shape))
    model.save(run / "best.keras")
    return run


@pytest.fixture(params=[("crop", 3), ("stretch", 3), ("crop", 1)], ids=str)
def saved(request, torch, transformers, tmp_path):
    transformers.utils.logging.disable_progress_bar()
    run = run_of(tmp_path / "run", *request.param)
    folder = save_pretrained(open_run(run).model, tmp_path / "there", CLASSES)
    return run, folder


def test_pixels_are_those_of_the_run(saved, transformers):
    run, folder = saved
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    opened = open_run(run)
    channels = opened.model.input_shape[-1]
    for shape in SHAPES:
        photos = smooth(*shape), smooth(*shape).convert("L"), smooth(*shape).quantize(64, dither=0)
        for image in photos:
            values = np.asarray(processor(images=image, return_tensors="np")["pixel_values"])[0]
            assert values.shape == (3, SIDE, SIDE)
            mean, std = (np.array(v) for v in (processor.image_mean, processor.image_std))
            pixels = (values.transpose(1, 2, 0) * std + mean) * 255
            (item,) = inputs.iter_items(image)
            ours = inputs.to_pixels(item, (SIDE, SIDE, channels), opened.config.data.resize_mode)
            if channels == 1:
                pixels = pixels @ np.array([0.299, 0.587, 0.114])[:, None]
            assert np.abs(pixels - ours).mean() < 2.5, shape


def test_the_pipeline_gives_the_predictors_classes(saved, transformers, tmp_path):
    """From files with every EXIF orientation, as a user of the Hub would."""
    run, folder = saved
    pipeline = transformers.pipeline("image-classification", model=str(folder), top_k=10)
    files = []
    for number, shape in enumerate(SHAPES * 2):
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        image = smooth(*shape)
        if number >= len(SHAPES):
            image = ImageOps.mirror(image)
        image.save(tmp_path / f"{number}.png", exif=exif)
        files.append(tmp_path / f"{number}.png")
    ours = Predictor(run).predict(files, top_k=10)
    theirs = pipeline([str(file) for file in files])
    names = open_run(run).class_names
    for prediction, answer in zip(ours, theirs, strict=True):
        expected = {CLASSES[one.index]: one.confidence for one in prediction.top}
        found = {one["label"]: one["score"] for one in answer}
        assert max(abs(expected[name] - found[name]) for name in CLASSES) < 0.05
        assert len(names) == len(found)


def test_without_the_processors_crop_the_pixels_are_others(torch, transformers, tmp_path):
    """What the test above would not notice if stretched and cropped photos were alike."""
    run = run_of(tmp_path / "run", "crop", 3)
    image = smooth(200, 333)
    (item,) = inputs.iter_items(image)
    ours = inputs.to_pixels(item, (SIDE, SIDE, 3), "crop")
    folder = save_pretrained(open_run(run).model, tmp_path / "there", resize_mode="stretch")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    values = np.asarray(processor(images=image, return_tensors="np")["pixel_values"])[0]
    mean, std = (np.array(v) for v in (processor.image_mean, processor.image_std))
    pixels = (values.transpose(1, 2, 0) * std + mean) * 255
    assert np.abs(pixels - ours).mean() > 10
