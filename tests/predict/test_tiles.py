"""Large images by overlapping tiles: the grid, the prediction of the image, and the maps."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vit_keras import SettingError
from vit_keras.cli import arguments
from vit_keras.cli import predict as cli_predict
from vit_keras.config.schema import Config
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.predict import preflight, tile_maps, tiles
from vit_keras.predict.inputs import find_files
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.runs.saved_run import SavedRun


class Brightness:
    """In the place of a `Predictor`: the second class is as probable as a tile is bright."""

    class_names = ("dark", "bright")
    input_shape = (8, 4, 3)
    pixel_options = PixelOptions()
    run = SavedRun(Path(), Config(), list(class_names))
    engine = SimpleNamespace(name="none")

    def __init__(self):
        self.seen = []

    def results(self, images, top_k, flip):
        for image in images:
            self.seen.append(image)
            share = float(np.mean(image)) / 255
            top = (Candidate("bright", 1, share), Candidate("dark", 0, 1 - share))
            yield Prediction("tile", top)


def test_tiles_cover_the_image_and_overlap_as_asked():
    rng = np.random.default_rng(0)
    for _ in range(200):
        tile = int(rng.integers(4, 60))
        length, overlap = tile + int(rng.integers(0, 500)), rng.uniform(0, 0.9)
        starts = tiles.starts(length, tile, overlap)
        assert (starts[0], starts[-1] + tile) == (0, length)
        assert np.diff(starts).max(initial=0) <= max(1, np.ceil(tile * (1 - overlap)))
    assert tiles.starts(100, 50, 0).tolist() == [0, 50]
    assert tiles.starts(64, 64, 0.25).tolist() == [0]
    assert tiles.starts(112, 64, 0.25).tolist() == [0, 48]


def scene():
    """Dark, with a bright patch at the bottom right, (40, 24)."""
    pixels = np.full((40, 24, 3), 20, "uint8")
    pixels[30:, 14:] = 240
    return pixels


@pytest.mark.parametrize("combine", tiles.COMBINE)
def test_an_image_is_predicted_by_its_tiles(combine, tmp_path):
    """Also a file that says to be turned: tiles are cut of the upright image."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(scene()).transpose(Image.Transpose.ROTATE_90)
    image.save(tmp_path / "turned.png", exif=exif)
    for one in (scene(), tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        predictor = Brightness()
        found = tiles.predict_by_tiles(predictor, one, 16, overlap=0.5, combine=combine)
        assert found.tile == (16, 8)
        assert (found.tops.tolist(), found.lefts.tolist()) == ([0, 8, 16, 24], [0, 4, 8, 12, 16])
        expected = np.array(
            [[scene()[t : t + 16, s : s + 8].mean() / 255 for s in found.lefts] for t in found.tops]
        )
        np.testing.assert_allclose(found.probabilities[..., 1], expected, atol=1e-6)
        bright = getattr(expected, combine)()
        dark = getattr(1 - expected, combine)()
        of_image = {c.label: c.confidence for c in found.prediction.top}
        assert of_image == pytest.approx({"dark": dark, "bright": bright}, abs=1e-6)
        assert {tile.shape for tile in predictor.seen} == {(16, 8, 3)}


def test_without_a_tile_size_tiles_are_those_of_the_model():
    predictor = Brightness()
    found = tiles.predict_by_tiles(predictor, scene()[..., 0], overlap=0)
    assert found.probabilities.shape == (5, 6, 2)
    assert {tile.shape for tile in predictor.seen} == {(8, 4)}


REFUSED = {
    "an image 40 pixels high and 24 wide is smaller than a tile of 50 by 25; use .* of 40 or": (
        scene(),
        dict(tile_size=50),
    ),
    r"4000 wide has [\d,]+ tiles of 8 by 4, more than 65,536; use a larger": (
        np.zeros((4000, 4000), "uint8"),
        {},
    ),
    "2 images are given, and tiles are cut of one": ([scene(), scene()], {}),
    "tile_size=2 is out of range; use 4 or more": (scene(), dict(tile_size=2)),
    "overlap=1 is out of range; use 0 or more, 0.9 at most": (scene(), dict(overlap=1)),
    "combine=median is unknown; did you mean mean": (scene(), dict(combine="median")),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_tiled_is_refused(message):
    image, settings = REFUSED[message]
    with pytest.raises(SettingError, match=message):
        tiles.predict_by_tiles(Brightness(), image, **settings)


def test_files_are_mapped_and_small_ones_named(tmp_path):
    for name in ("a/field.png", "b/field.png", "b/small.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        size = slice(10) if "small" in name else slice(None)
        Image.fromarray(scene()[size]).save(tmp_path / name)
    (tmp_path / "b" / "text.png").write_text("no image")
    maps = tmp_path / "maps"
    settings = dict(tile_size=16, overlap=0.5, combine="max")
    done = tile_maps.predict_files(Brightness(), find_files([str(tmp_path)]), maps, **settings)
    assert [one.source[-11:] for one in done.predictions] == ["a/field.png", "b/field.png"]
    small, text = done.unreadable
    assert "10 pixels high and 24 wide is smaller than a tile of 16 by 8" in small.reason
    assert text.reason == "no image by its content"
    assert {file.name for file in maps.iterdir()} == {"tiles.csv", "field.png", "field-1.png"}
    with open(maps / "tiles.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    last = rows[19]
    assert [last[name] for name in ("row", "column", "top", "left", "height", "width")] == [
        *("3", "4", "24", "16", "16", "8")
    ]
    assert (last["class"], last["image_class"]) == ("bright", "dark")
    with Image.open(maps / "field.png") as picture:
        assert min(picture.size) > 200
    again = tile_maps.predict_files(
        Brightness(), find_files([str(tmp_path / "a")]), maps, **settings
    )
    assert len(again.predictions) == 1
    assert len(list(maps.iterdir())) == 2


COMMANDS = {
    ("--overlap=0.5",): r"overlap=0.5 is of tiles, which only tile_size=HEIGHT makes",
    ("--maps=maps",): r"maps=maps is of tiles",
    ("--tile-size=16", "--overlap=1"): r"overlap=1.0 is out of range; use 0 or more, 0.9 at most",
    ("--tile-size=2",): "tile_size=2 is out of range; use 4 or more",
    ("--tile-size=16", "--maps=full"): "output=.*full is not empty, and has no tiles.csv",
    ("--tile-size=16", "--combine=max", "--maps=new"): None,
    (): None,
}


@pytest.mark.parametrize("words", COMMANDS)
def test_the_options_are_checked_before_anything_slow(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    parsed = arguments.parse("predict", cli_predict.add_arguments, ["run", "a.png", *words])
    if COMMANDS[words] is None:
        preflight.check_tile_settings(parsed)
        return
    with pytest.raises(SettingError, match=COMMANDS[words]):
        preflight.check_tile_settings(parsed)
