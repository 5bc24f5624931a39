"""Training images on the device: where they are kept, and how batches are gathered."""

import keras
import numpy as np
import pytest

from vit_keras import SettingError, backend, load_config, train_model
from vit_keras.config.schema import DataConfig
from vit_keras.data import device_resident
from vit_keras.data.device_resident import ResidentImages, is_resident
from vit_keras.data.lazy_images import LazyImages

pytestmark = pytest.mark.jax
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 3), np.uint8)
LAZY = LazyImages("photos", [], (64, 64), "crop", None)


def test_gathering_is_indexing():
    images, index = ResidentImages(IMAGES), np.array([3, 49, 0, 3])
    gathered = keras.ops.convert_to_numpy(images.gather(images[index]))
    np.testing.assert_array_equal(gathered, IMAGES[index])
    assert gathered.dtype == np.uint8
    assert images.gather(IMAGES) is IMAGES  # a batch of another split


@pytest.mark.parametrize(
    ("asked", "free", "images", "is_kept"),
    [
        ("auto", 2 * IMAGES.nbytes, IMAGES, True),
        ("auto", 2 * IMAGES.nbytes - 1, IMAGES, False),
        ("auto", 10**9, LAZY, False),
        ("auto", None, IMAGES, True),
        (True, IMAGES.nbytes, IMAGES, True),
        (False, 10**9, IMAGES, False),
    ],
)
def test_images_are_kept_where_there_is_room(asked, free, images, is_kept, monkeypatch):
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    monkeypatch.setattr(device_resident, "free_bytes", lambda: free)
    assert is_resident(DataConfig(device_resident=asked), images) is is_kept


def test_a_cpu_keeps_none_by_itself():
    assert not is_resident(DataConfig(), IMAGES)


REFUSED = {
    "bytes": (
        IMAGES,
        r"=true needs 1,800 bytes, and the device has 1,799 free; use a smaller data",
    ),
    "folder": (LAZY, r"=true needs decoded images, .* more than data.cache_mb=2048; raise it, or"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused(case, monkeypatch):
    images, message = REFUSED[case]
    monkeypatch.setattr(device_resident, "free_bytes", lambda: 1799)
    with pytest.raises(SettingError, match=message):
        is_resident(DataConfig(device_resident="true"), images)


def test_several_devices_are_refused(monkeypatch):
    monkeypatch.setattr(backend, "devices_in_use", lambda: 2)
    with pytest.raises(SettingError, match=r"works on one device, and there are 2; use one"):
        is_resident(DataConfig(device_resident="true"), IMAGES)


def test_a_refusal_comes_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(device_resident, "free_bytes", lambda: 100)
    with pytest.raises(SettingError, match=r"data.device_resident=true needs"):
        train_model(load_config("data.device_resident=true", f"run.dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()
