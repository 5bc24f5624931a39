"""Damaged and malicious weight files are refused in one line, and none is unpickled."""

import io
import json
import pickle
import shutil
import struct
import zipfile

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import jax2tf_saved_model
from helpers.paths import SAVED_MODELS
from helpers.weight_files import google, google_tree, refusal, timm, write_npz
from vit_keras import SettingError, load_pretrained

HEADS = dict(num_heads=2)  # which timm's files do not say


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    "suffix", ["pth", "pt", "bin", "ckpt", "pkl", "npz", "safetensors", "keras"]
)
def test_a_pickle_is_never_opened(suffix, tmp_path):
    file, trace = tmp_path / f"w.{suffix}", tmp_path / "trace"
    file.write_bytes(pickle.dumps({"patch_embed.proj.weight": Bomb(trace)}))
    message = refusal(file)
    assert str(file) in message
    assert ("safetensors.torch.save_file" in message) == (
        suffix not in ("npz", "safetensors", "keras")
    )
    assert "allow_pickle" not in message
    assert not trace.exists()
    pickle.loads(file.read_bytes())["patch_embed.proj.weight"].close()
    assert trace.exists()  # it would have gone off


def test_a_pickle_inside_an_npz_is_never_opened(tmp_path):
    trace = tmp_path / "trace"
    bomb = np.array([Bomb(trace)], dtype=object)
    assert "pickle" in refusal(write_npz(tmp_path / "w.npz", {**google(), "cls": bomb}))
    assert not trace.exists()


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.6, 0.99, 0.9999])
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "keras"])
def test_a_file_that_is_cut_off_is_refused(suffix, share, tmp_path):
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "npz":
        write_npz(whole, google())
    elif suffix == "safetensors":
        save_file(timm(), whole)
    else:
        whole = SAVED_MODELS / "digits" / "best.keras"
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(content[: int(len(content) * share)])
    message = refusal(cut, **HEADS)
    assert f"{cut} is damaged" in message
    assert "download it again" in message


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_an_npz_with_flipped_bytes_is_refused(share, tmp_path):
    handle = write_npz(tmp_path / "w.npz", google())
    content = bytearray(handle.read_bytes())
    place = int(len(content) * share)
    content[place : place + 8] = bytes(255 - byte for byte in content[place : place + 8])
    handle.write_bytes(content)
    assert "is damaged" in refusal(handle)


def test_an_npz_that_claims_to_be_huge_is_refused(tmp_path):
    handle = tmp_path / "w.npz"
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (2**58,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(handle, "w") as archive:
        archive.writestr("cls.npy", header.getvalue())
    assert "is damaged" in refusal(handle)


def lie(header, content, size=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + content


def entry(start, end, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


LIES = {  # safetensors whose header is not true
    "header longer than the file": lie({}, b"", size=10_000),
    "header of many gigabytes": lie({}, b"", size=2**62),
    "offsets beyond the file": lie({"a": entry(0, 16)}, bytes(8)),
    "far offsets": lie({"a": entry(2**60, 2**60 + 16)}, bytes(16)),
    "overlap": lie({"a": entry(0, 16), "b": entry(8, 24)}, bytes(24)),
    "backwards": lie({"a": entry(16, 0)}, bytes(16)),
    "shape of another size": lie({"a": entry(0, 16, (400,))}, bytes(16)),
    "huge shape": lie({"a": entry(0, 16, (2**40, 2**40))}, bytes(16)),
    "unknown kind": lie({"a": entry(0, 16, dtype="X9")}, bytes(16)),
    "no json": struct.pack("<Q", 4) + b"{{{{",
    "a list": lie([], b""),
    "bytes that nobody has": lie({"a": entry(0, 16)}, bytes(32)),
}


@pytest.mark.parametrize("case", LIES)
def test_a_safetensors_header_that_lies_is_refused(case, tmp_path):
    handle = tmp_path / "w.safetensors"
    handle.write_bytes(LIES[case])
    message = refusal(handle)
    assert f"{handle} is damaged" in message
    assert "download it again" in message


def no_shard(folder):
    (folder / "variables" / "variables.data-00000-of-00001").unlink()


def half_a_shard(folder):
    shard = folder / "variables" / "variables.data-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])


def flipped_shard(folder):
    shard = folder / "variables" / "variables.data-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[2000] ^= 255
    shard.write_bytes(content)


def half_an_index(folder):
    index = folder / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[: index.stat().st_size // 2])


def half_a_program(folder):
    program = folder / "saved_model.pb"
    program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])


BROKEN_SAVED_MODELS = {
    "no shard": (no_shard, "variables cannot be read"),
    "half a shard": (half_a_shard, "variables cannot be read"),
    "flipped byte": (flipped_shard, "variables cannot be read"),
    "half an index": (half_an_index, "variables cannot be read"),
    "no variables": (
        lambda folder: shutil.rmtree(folder / "variables"),
        "variables cannot be read",
    ),
    "half a program": (half_a_program, "program cannot be run"),
}


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model")
    jax2tf_saved_model.save(google_tree(), folder, side=16)
    return folder


@pytest.mark.parametrize("case", BROKEN_SAVED_MODELS)
def test_a_saved_model_with_a_part_missing_is_refused(case, saved_model, tmp_path):
    damage, phrase = BROKEN_SAVED_MODELS[case]
    folder = shutil.copytree(saved_model, tmp_path / "model")
    damage(folder)
    message = refusal(folder)
    assert str(folder) in message
    assert phrase in message
    assert "download it again" in message


def folder_of(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_text("{}")
    return tmp_path


UNREADABLE = {
    "run_without_a_model": (["config.yaml"], "has config.yaml and no best.keras"),
    "tensors_alone": (["model.safetensors"], "has model.safetensors and no config.json"),
    "pickle_of_hugging_face": (["config.json", "pytorch_model.bin"], "pytorch_model.bin is a pick"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_folder_says_what_it_lacks(case, tmp_path):
    names, said = UNREADABLE[case]
    assert said in refusal(folder_of(tmp_path, *names))


def test_a_keras_model_of_somebody_else_is_named_as_that(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    model.save(tmp_path / "cnn.keras")
    message = refusal(tmp_path / "cnn.keras")
    assert "cnn.keras is a Keras model that vit_keras did not make" in message


def test_a_file_that_is_no_saved_model_is_not_used_whole(tmp_path):
    file = write_npz(tmp_path / "w.npz", google())
    with pytest.raises(SettingError, match=r"w.npz is no SavedModel.* leave out opaque=True"):
        load_pretrained(file, opaque=True)
