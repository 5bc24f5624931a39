"""An audit finds what was put in among scikit-learn's digits: wrong labels, an outlier, twins."""

import base64
import csv
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.image_files import write
from vit_keras import SettingError
from vit_keras.config.schema import DataConfig
from vit_keras.data.splits import load_splits
from vit_keras.evaluation import audit, audit_files, audit_map, audit_source, audit_table
from vit_keras.evaluation.audit_decisions import Decision, Decisions
from vit_keras.predict.embedding_files import Embeddings, MadeBy
from vit_keras.runs import out_of_fold

IMAGES, CLASSES = 400, 4
MADE_BY = MadeBy("a model", "its weights", 64)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """(embeddings of image files, indices of wrong labels, of an outlier, of two twins)."""
    pytest.importorskip("cleanlab.datalab.datalab", reason="the extra audit is not installed")
    folder = tmp_path_factory.mktemp("digits")
    data = load_digits(n_class=CLASSES)
    rng = np.random.default_rng(0)
    vectors, labels = data.data[:IMAGES] / 16, data.target[:IMAGES].copy()
    wrong = rng.choice(np.arange(10, IMAGES), round(0.08 * IMAGES), replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    vectors[0] = rng.uniform(-3, 3, 64)
    vectors[2] = vectors[1] + 1e-4
    labels[2] = labels[1]
    paths = [str(folder / f"{index}.png") for index in range(IMAGES)]
    for path, image in zip(paths, data.images, strict=False):
        Image.fromarray((image * 15).astype("uint8")).resize((16, 16)).save(path)
    names = [f"digit {label}" for label in labels]
    return Embeddings(paths, names, vectors.astype("float32"), MADE_BY), wrong, 0, (1, 2)


@pytest.fixture(scope="module")
def rows(digits):
    return audit.audit(digits[0])


def test_no_process_is_forked_beside_the_threads_of_a_backend(digits, rows, monkeypatch):
    """A forked child of a process that runs TensorFlow or JAX can wait for ever."""

    def fork():
        raise AssertionError("an audit forked a process")

    monkeypatch.setattr("os.fork", fork)
    assert audit.audit(digits[0]) == rows


def test_most_wrong_labels_are_among_the_first_tenth(digits, rows):
    found, wrong = digits[:2]
    first = {row.path for row in rows[: IMAGES // 10]}
    put_in = {found.paths[index] for index in wrong}
    assert len(put_in & first) >= 0.8 * len(put_in)
    true = load_digits(n_class=CLASSES).target
    named = [row for row in rows if row.is_label_error and row.path in put_in]
    right = sum(row.most_probable == f"digit {true[found.paths.index(row.path)]}" for row in named)
    assert right >= 0.9 * len(named) > 0


def test_the_outlier_and_the_twins_are_found(digits, rows):
    found, _, outlier, twins = digits
    by_path = {row.path: row for row in rows}
    assert min(rows, key=lambda row: row.outlier_score).path == found.paths[outlier]
    assert by_path[found.paths[outlier]].is_outlier
    first, second = (by_path[found.paths[index]] for index in twins)
    assert first.is_near_duplicate
    assert second.is_near_duplicate
    assert first.group == second.group


def test_twins_of_twins_are_one_group():
    groups = audit._groups(5, [[1], [0, 2], [1], [], []])
    assert groups[0] == groups[1] == groups[2]
    assert len({*groups}) == 3


def test_the_table_trains_on_what_a_person_decided(digits, rows, tmp_path):
    counts = audit_files.write(tmp_path / "audited", rows)
    assert counts["label_errors"] == sum(row.is_label_error for row in rows)
    assert all((tmp_path / "audited" / f"{name}.png").is_file() for name in counts)
    table = tmp_path / "audited" / audit_files.TABLE
    with open(table, newline="") as file:
        edited = list(csv.DictReader(file))
    edited[0]["new_label"] = "digit 3"
    edited[1]["new_label"] = ""
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, edited[0])
        writer.writeheader()
        writer.writerows(edited)
    columns = dict(image_column="path", label_column="new_label", group_column="group")
    # The images lie elsewhere than the table.
    config = DataConfig(
        name="csv", path=str(table), image_size=[16, 16], follow_links=True, **columns
    )
    splits = load_splits(config, seed=0)
    assert sum(splits.image_counts.values()) == IMAGES - 1
    assert sum(split.class_counts(CLASSES)[3] for split in splits.as_dict().values()) == sum(
        row["new_label"] == "digit 3" for row in edited
    )


def test_a_new_audit_keeps_the_labels_that_were_edited(rows, tmp_path):
    folder, first = tmp_path / "audited", rows[0]
    edited = [first._replace(new_label="digit 3"), rows[1]._replace(new_label=""), *rows[2:]]
    audit_files.write(folder, edited)
    audit_files.write(folder, rows)
    again = {row.path: row.new_label for row in audit_table.read(folder)}
    assert again == {row.path: row.new_label for row in edited}
    audit_table.check_corrections(folder, [row[:2] for row in rows])
    with pytest.raises(SettingError, match=r"has 1 corrected label of images that are not audited"):
        audit_table.check_corrections(folder, [row[:2] for row in rows[1:]])


def test_the_nearest_twins_are_first_on_their_sheet(rows, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        audit_files, "draw_files", lambda file, shown: drawn.update({file.stem: shown})
    )
    named = [(0.09, 1), (0.04, 1), (0.3, 2), (0.0, 2), (0.02, 3), (0.02, 3)]
    twins = [
        row._replace(
            path=f"{group} {score}", is_near_duplicate=True, near_duplicate_score=score, group=group
        )
        for row, (score, group) in zip(rows, named, strict=False)
    ]
    audit_files.write(tmp_path / "audited", twins)
    shown = [path for path, _ in drawn["near_duplicates"]]
    assert shown == ["2 0.0", "2 0.3", "3 0.02", "3 0.02", "1 0.04", "1 0.09"]


def test_an_audit_is_read_as_it_was_written(rows, tmp_path):
    audit_table.write(tmp_path, rows)
    for found, row in zip(audit_table.read(tmp_path), rows, strict=True):
        assert found._replace(**scores(row)) == row
        assert scores(found) == pytest.approx(scores(row), abs=1e-6)


def scores(row):
    return {name: value for name, value in row._asdict().items() if isinstance(value, float)}


def test_a_table_that_is_no_audit_is_refused(tmp_path):
    (tmp_path / "audit.csv").write_text("path,label\na.png,cat\n")
    with pytest.raises(SettingError, match=r"audit.csv is no table of vit-keras audit"):
        audit_table.read(tmp_path)


def test_a_new_audit_keeps_the_decisions_and_has_a_map(digits, rows, tmp_path):
    found, folder = digits[0], tmp_path / "audited"
    audit_files.write(folder, rows)
    made = Decision(rows[0].path, rows[0].label, "digit 3")
    Decisions(folder).decide([made])
    audit_files.write(folder, rows, drawn=audit_map.draw(found))
    assert Decisions(folder).steps == [[made]]
    drawn = audit_map.read(folder)
    assert {image["path"] for image in drawn.images} == {row.path for row in rows}
    assert all(0 <= image[axis] <= 1 for image in drawn.images for axis in "xy")
    content = base64.b64decode(drawn.images[0]["image"].partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 64))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat"] * 4, "have 1 class"),
        (["", "", "", ""], "have 0 classes"),
        ([*"aab", ""], "b has a"),
    ],
)
def test_too_few_labels_are_refused(labels, message):
    pytest.importorskip("cleanlab.datalab.datalab", reason="the extra audit is not installed")
    found = Embeddings(["1", "2", "3", "4"], labels, np.zeros((4, 3), "float32"), MADE_BY)
    with pytest.raises(SettingError, match=message):
        audit.audit(found)


@pytest.fixture
def folds_run(tmp_path):
    """The configuration of a run and what the folds predicted for two images."""
    folder = tmp_path / "folds_run"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"data: {{name: folder, path: {tmp_path}/photos}}\nrun: {{resume: null}}\n"
    )
    (folder / "class_mapping.json").write_text('{"0": "a", "1": "b"}')
    header = "image,class,fold,predicted,confidence,probability of a,probability of b"
    lines = ["a/1.png,a,1,a,0.75,0.75,0.25", "b/2.png,b,2,a,0.6,0.6,0.4"]
    (folder / out_of_fold.FILE).write_text("\n".join([header, *lines]))
    return folder


def test_probabilities_of_folds_are_found_by_path(folds_run, monkeypatch):
    monkeypatch.chdir(folds_run.parent)
    paths = ["photos/b/2.png", str(folds_run.parent / "photos/a/1.png")]
    found = out_of_fold.read(str(folds_run), paths, ["a", "b"])
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.75, 0.25]])


def test_folds_of_other_images_or_classes_are_refused(folds_run):
    with pytest.raises(SettingError, match=r"not trained on 1 image, such as .*3\.png"):
        out_of_fold.read(str(folds_run), ["3.png"], ["a", "b"])
    with pytest.raises(SettingError, match="has no class c"):
        out_of_fold.read(str(folds_run), [], ["a", "c"])
    (folds_run / out_of_fold.FILE).unlink()
    with pytest.raises(SettingError, match=r"has no out_of_fold\.csv"):
        out_of_fold.read(str(folds_run), [], ["a"])


def test_files_that_are_not_audited_are_named(tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / name, 2)
    (tmp_path / "ant" / "movie.mov").touch()
    (tmp_path / "bee" / "gone.png").symlink_to("nowhere")
    data = audit_source.data_config(["data=folder", f"data.path={tmp_path}"])
    assert len(audit_source.labelled_files(data)) == 4
    assert dict(audit_source.other_files(data)) == {
        str(tmp_path / "ant" / "movie.mov"): "no image, by its ending .mov",
        str(tmp_path / "bee" / "gone.png"): "a broken link",
    }
