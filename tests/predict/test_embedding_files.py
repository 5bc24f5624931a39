"""Files of embeddings are read by other libraries, and neighbours are scikit-learn's."""

import json
import sys

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from vit_keras import SettingError
from vit_keras.predict import embedding_files, embedding_map, file_labels, neighbours, tables
from vit_keras.predict.embedding_files import MadeBy, Rows

MADE_BY = MadeBy("saved_models/x", "abc", 3)
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
VECTORS[2] = np.nan
PATHS = ["a.png", "b ü.png", "c.png", "d\udcff.png"]
LABELS = ["cat", "", "dog", "dog"]
REASONS = ["", "", "an empty file", ""]


@pytest.fixture(params=["parquet", "npz"])
def file(request, tmp_path):
    """Of four images in two groups of rows, the third of which cannot be read."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"found.{request.param}"
    with embedding_files.embedding_writer(path, MADE_BY, 4) as write:
        for part in (slice(0, 3), slice(3, 4)):
            write(Rows(PATHS[part], LABELS[part], VECTORS[part], REASONS[part]))
        assert not path.exists()
    return path


def test_what_is_written_is_read_without_what_could_not_be_read(file):
    found = embedding_files.read_embeddings(file)
    assert found.made_by == MADE_BY
    np.testing.assert_array_equal(found.vectors, VECTORS[[0, 1, 3]])
    assert found.labels == ["cat", "", "dog"]
    assert found.paths[:2] == ["a.png", "b ü.png"]
    last = r"d\udcff.png" if file.suffix == ".parquet" else "d\udcff.png"
    assert found.paths[2] == last


def test_other_libraries_read_every_row(file):
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            np.testing.assert_array_equal(arrays["embedding"], VECTORS)
            assert arrays["reason"].tolist() == REASONS
            assert arrays["path"].tolist() == PATHS
        return
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(file)
    assert list(frame) == ["path", "label", "embedding", "reason"]
    np.testing.assert_array_equal(np.stack(frame["embedding"][[0, 1, 3]]), VECTORS[[0, 1, 3]])
    assert frame["embedding"][2] is None
    assert frame["reason"][2] == "an empty file"
    assert frame["label"].isna().tolist() == [False, True, False, False]


def test_a_file_that_is_not_finished_is_not_there(file):
    def fail():
        with embedding_files.embedding_writer(file, MADE_BY, 4) as write:
            write(Rows(PATHS[:1], LABELS[:1], VECTORS[:1], REASONS[:1]))
            raise OSError("full")

    before = file.read_bytes()
    with pytest.raises(OSError, match="full"):
        fail()
    assert file.read_bytes() == before
    assert len([*file.parent.iterdir()]) == 1


def test_other_files_are_refused(tmp_path, monkeypatch):
    for name, content in {"a.npz": b"x", "b.parquet": b"PAR1 more", "c.csv": b"path\n"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingError, match=f"{name} is no file of vit-keras embed|needs pya"):
            embedding_files.read_embeddings(tmp_path / name)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(SettingError, match="is no file of vit-keras embed"):
        embedding_files.read_embeddings(tmp_path / "other.npz")
    with pytest.raises(SettingError, match=r"nowhere.npz is no file; write one"):
        embedding_files.read_embeddings(tmp_path / "nowhere.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingError, match=r"needs pyarrow; pip install .* or use .npz"):
        embedding_files.check_file(tmp_path / "x.parquet")


def test_neighbours_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    vectors, query = rng.normal(size=(50, 6)).astype("float32"), rng.normal(size=6)
    paths = [f"{index}.png" for index in range(50)]
    found = embedding_files.Embeddings(paths, [""] * 50, vectors, MADE_BY)
    distances, expected = NearestNeighbors(metric="cosine").fit(vectors).kneighbors([query], 7)
    ours = neighbours.nearest(found, query, 7)
    assert [one.path for one in ours] == [paths[index] for index in expected[0]]
    similarities = [one.similarity for one in ours]
    np.testing.assert_allclose(similarities, 1 - distances[0], atol=1e-6)
    assert len(neighbours.nearest(found, query, 99)) == 50
    assert json.loads(neighbours.to_json(ours))[0]["label"] is None
    assert len(neighbours.to_csv(ours).splitlines()) == 8


def test_labels_are_those_that_a_training_would_read(tmp_path):
    for name in ("train/cat/1.png", "train/dog/old/2.png", "test/cat/3.png", "flat/4.png"):
        place = tmp_path / "photos" / name if "flat" not in name else tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
    words = [str(tmp_path / "photos"), str(tmp_path / "flat"), str(tmp_path / "flat/4.png")]
    found = file_labels.folder_labels(words)
    names = {path.removeprefix(f"{tmp_path}/photos/"): label for path, label in found.items()}
    expected = {"train/cat/1.png": "cat", "train/dog/old/2.png": "dog", "test/cat/3.png": "cat"}
    assert names == expected
    table = tmp_path / "labels.csv"
    for text, labels in {
        "path,label,split\na.png,x,train\nb.png,,test\n": ["x", ""],
        "path\na.png\nb.png\n": ["", ""],
    }.items():
        table.write_text(text)
        assert file_labels.table_labels(tables.find_table([str(table)])) == labels


def test_a_map_keeps_alike_images_together(tmp_path):
    """Three classes far apart in eight dimensions stay apart in two; thumbnails never overlap."""
    classes = np.repeat(np.arange(3), 10)
    vectors = np.eye(8)[classes] + np.random.default_rng(0).normal(0, 0.05, (30, 8))
    points, method = embedding_map.project(vectors)
    assert method in ("t-SNE", "UMAP")
    near = NearestNeighbors().fit(points).kneighbors(points, 4, return_distance=False)
    assert (classes[near] == classes[:, None]).mean() > 0.95
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    kept = scaled[embedding_map.spaced(scaled, 0.1)]
    gaps = np.abs(kept[:, None] - kept).max(axis=-1) + np.eye(len(kept))
    assert gaps.min() >= 0.1
    with pytest.raises(SettingError, match="a map takes 5 images or more, and there are 0"):
        embedding_map.MapSample(60).draw(tmp_path / "none.png")
