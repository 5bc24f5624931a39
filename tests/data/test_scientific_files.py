"""Files of more than eight bits or three channels: values are those of tifffile and pydicom."""

import io
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers.hostile_files import tiff_of_pages
from helpers.scientific_images import dicom, npy, png, pydicom, tiff, tifffile
from vit_keras import SettingError
from vit_keras.data import decode, preprocess, scientific_files
from vit_keras.data.image_formats import UnreadableError
from vit_keras.data.image_input import ImageInput
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.predict import inputs

DIGIT = load_digits().images[3]  # (8, 8), 0 to 16
TWELVE = (DIGIT / 16 * 4095).round().astype("uint16")
GREY = PixelOptions(value_range=(0.0, 4095.0), channels=1)
FIVE = np.stack([TWELVE // k for k in range(1, 6)])  # pages first


def stored(content, options=GREY):
    return scientific_files.read_stored(content, options)


@pytest.mark.parametrize(
    ("array", "settings"),
    [
        (TWELVE, {}),
        (TWELVE.astype("float32") / 4095, {"compression": "zlib"}),
        (np.kron(TWELVE, np.ones((4, 4), "uint16")), {"tile": (16, 16)}),
        (-TWELVE.astype("int32"), {"byteorder": ">"}),
        (DIGIT.astype("float64"), {"bigtiff": True}),
    ],
    ids=["12 bits", "float", "tiles", "signed", "BigTIFF"],
)
def test_tiff_values_are_those_of_tifffile(array, settings):
    content = tiff(array, **settings)
    values = stored(content).values
    assert values.dtype == array.dtype
    np.testing.assert_array_equal(values[..., 0], tifffile.imread(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("array", "settings"),
    [
        (FIVE, {}),
        (FIVE, {"photometric": "minisblack", "planarconfig": "separate"}),
        (np.moveaxis(FIVE, 0, -1), {"planarconfig": "contig"}),
    ],
    ids=["pages", "planes", "samples"],
)
def test_pages_and_samples_are_channels(array, settings):
    values = stored(tiff(array, **settings)).values
    np.testing.assert_array_equal(values, np.moveaxis(FIVE, 0, -1))


def test_white_is_zero_and_orientation_are_applied():
    content = tiff(TWELVE, photometric="miniswhite", extratags=[(274, "H", 1, 6, True)])
    pixels = decode.decode_bytes(content, (8, 8), "crop", GREY)[..., 0]
    np.testing.assert_allclose(pixels, 255 - np.rot90(TWELVE, -1) / 4095 * 255, atol=1e-4)


CT = {"RescaleSlope": 2, "RescaleIntercept": -1024}
WINDOW = {"WindowCenter": 40, "WindowWidth": 400}


@pytest.mark.parametrize("elements", [{}, CT, {**CT, **WINDOW}], ids=["stored", "CT", "window"])
def test_dicom_values_are_those_of_pydicom(elements):
    content = dicom(TWELVE, **elements)
    data = pydicom.dcmread(io.BytesIO(content))
    modality = pydicom.pixels.apply_modality_lut(data.pixel_array, data)
    np.testing.assert_array_equal(stored(content).values[..., 0], modality)
    by_window = PixelOptions(value_range="window", channels=1)
    windowed = stored(content, by_window)
    np.testing.assert_array_equal(
        windowed.values[..., 0], pydicom.pixels.apply_voi_lut(modality, data)
    )
    assert windowed.has_window == ("WindowCenter" in elements)
    if not windowed.has_window:
        return
    low, high = -1024, 4095 * 2 - 1024
    assert windowed.full == (low, high)
    pixels = decode.decode_bytes(content, (8, 8), "crop", by_window)[..., 0]
    exact = ((modality - (40 - 0.5)) / (400 - 1) + 0.5).clip(0, 1) * 255  # PS3.3 C.11.2.1.2.1
    np.testing.assert_allclose(pixels, exact, atol=1e-3)


def test_monochrome_1_is_white_at_its_least_value():
    content = dicom(TWELVE, PhotometricInterpretation="MONOCHROME1")
    pixels = decode.decode_bytes(content, (8, 8), "crop", GREY)[..., 0]
    np.testing.assert_allclose(pixels, 255 - TWELVE / 4095 * 255, atol=1e-4)


def test_every_way_in_keeps_all_levels():
    expected = TWELVE / np.float32(4095) * 255
    assert len(np.unique(expected.round())) < len(np.unique(np.arange(4096) / 4095 * 255))
    for image in (TWELVE, png(TWELVE), tiff(TWELVE), npy(TWELVE), dicom(TWELVE), TWELVE[None]):
        (item,) = inputs.iter_items(image, GREY)
        pixels = inputs.to_pixels(item, (8, 8, 1), "crop", GREY)
        assert pixels.dtype == np.float32
        np.testing.assert_allclose(pixels[..., 0], expected, atol=1e-4)


def test_many_channels_are_resized_one_by_one():
    options = PixelOptions(value_range=(0.0, 4095.0), channels=5)
    large = np.kron(np.moveaxis(FIVE, 0, -1), np.ones((3, 5, 1), "uint16"))
    for mode in ("crop", "stretch", "pad"):
        found = decode.decode_bytes(npy(large), (8, 8), mode, options)
        assert found.shape == (8, 8, 5)
        assert found.max() <= 255
    np.testing.assert_allclose(
        decode.decode_bytes(npy(large), (8, 8), "stretch", options),
        np.moveaxis(FIVE, 0, -1) / 4095 * 255,
        atol=1e-3,
    )


@pytest.mark.parametrize("kind", [tiff, png, npy, dicom])
@pytest.mark.parametrize("value_range", [(0.0, 4095.0), (500.0, 3000.0)])
def test_preprocess_py_does_the_same(kind, value_range, tmp_path):
    options = PixelOptions(value_range=value_range, channels=1)
    (tmp_path / "image").write_bytes(kind(TWELVE))
    image_input = ImageInput(5, 6, 1, value_range=value_range)
    pixels = preprocess.load_image(tmp_path / "image", vars(image_input))
    expected = decode.read(tmp_path / "image", (5, 6), "stretch", options)
    np.testing.assert_allclose(pixels[0], expected, atol=0.05)
    assert pixels.dtype == expected.dtype == image_input.describe()["dtype"] == "float32"
    assert image_input.describe()["value_range"] == list(value_range)


def test_preprocess_py_takes_the_window_of_a_dicom_file(tmp_path):
    (tmp_path / "image").write_bytes(dicom(TWELVE, **CT, **WINDOW))
    settings = vars(ImageInput(8, 8, 1, value_range="window"))
    options = PixelOptions(value_range="window", channels=1)
    expected = decode.read(tmp_path / "image", (8, 8), "stretch", options)
    found = preprocess.load_image(tmp_path / "image", settings)[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def unequal_pages():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(TWELVE, photometric="minisblack")
        writer.write(TWELVE[:6], photometric="minisblack")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (dicom(TWELVE, PixelData=None), "without pixels"),
        (
            dicom(np.tile(TWELVE, (2, 1)), NumberOfFrames=2, Rows=8),
            "2 frames; save a file for each",
        ),
        (unequal_pages(), "2 pages that differ in size or type"),
        (tiff(TWELVE)[:-40], "damaged"),
        (dicom(TWELVE)[:-40], "damaged"),
        (npy(TWELVE)[:-40], "damaged"),
        (npy(np.array([{}], object)), "damaged"),
        (npy(np.arange(9)), "an array of shape"),
        (npy(TWELVE.astype("complex64")), "values of complex64"),
        (npy(np.full((8, 8), np.nan)), "not finite"),
        (tiff(FIVE), r"5 channels instead of 1 \(data.channels=1\)"),
        (tiff(DIGIT.astype("uint8")), "values of 0 to .* give values as they were trained on"),
        (tiff(TWELVE * 16), "give values of that many bits"),
        (npy(DIGIT / 16), "give values as they were trained on"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content, reason):
    with pytest.raises(UnreadableError, match=reason):
        decode.decode_bytes(content, (8, 8), "crop", GREY)


@pytest.mark.parametrize(("kind", "package"), [(tiff, "tifffile"), (dicom, "pydicom")])
def test_a_missing_package_is_named_with_its_command(kind, package, monkeypatch):
    content = kind(TWELVE)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnreadableError, match=rf"{package}: pip install 'vit-keras-lab\[scientif"):
        stored(content)


def test_without_a_range_such_files_name_the_setting():
    for content, kind in ((dicom(TWELVE), "a DICOM image"), (npy(TWELVE), "a NumPy array")):
        with pytest.raises(UnreadableError, match=f"{kind}.*data.value_range=auto"):
            decode.decode_bytes(content, (8, 8), "crop")


def test_arrays_of_another_depth_are_refused_by_name():
    (item,) = inputs.iter_items(DIGIT.astype("uint8"), GREY)
    with pytest.raises(SettingError, match="image has values of 0 to"):
        inputs.to_pixels(item, (8, 8, 1), "crop", GREY)


def test_pages_that_are_the_same_bytes_cannot_fill_the_memory():
    with pytest.raises(UnreadableError, match="far too large: 640,000,000 values"):
        stored(tiff_of_pages(10))
