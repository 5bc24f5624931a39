"""Tables of images: the data set that a folder of the same images is, and what can be wrong."""

import csv
import json
import logging
import os
import sys

import numpy as np
import pytest

from helpers.image_files import SIZE, config, write
from vit_keras import SettingError
from vit_keras.config.schema import DataConfig
from vit_keras.data import quality_report, registry
from vit_keras.data.splits import load_splits

CLASSES = ("10", "2", "Äpfel, reif", "none")  # sorted as folders are: by their text
SPLITS = {"train": 8, "val": 2, "test": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Classes of ten images, which are not split."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for name in CLASSES:
        write(root / name, 10)
    return root


@pytest.fixture(scope="module")
def split_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("split") / "photos"
    for split, count in SPLITS.items():
        for name in CLASSES:
            write(root / split / name, count)
    return root


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rows_of(root, within):
    """(path within the folder `within`, label, split) of each image, in no order."""
    files = sorted(root.rglob("*.png"), key=lambda file: file.name)
    return [
        (file.relative_to(within).as_posix(), file.parent.name, file.parent.parent.name)
        for file in files
    ]


def write_csv(path, rows, header, delimiter=",", encoding="utf-8", start=""):
    with open(path, "w", encoding=encoding, newline="") as file:
        file.write(start)
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def as_csv(root, header):
    within = root.parent
    return write_csv(within / "labels.csv", rows_of(root, within), header)


def as_excel(root, header):
    """As a German Excel saves it."""
    rows, path = rows_of(root, root.parent), root.parent / "labels.txt"
    return write_csv(path, rows, header, ";", "cp1252", "sep=;\n")


def as_tsv(root, header):
    """With a byte order mark, absolute paths, and Windows' separators."""
    rows = rows_of(root, root.parent)
    rows = [(str(root.parent / path), *rest) for path, *rest in rows[::2]] + [
        (path.replace("/", "\\"), *rest) for path, *rest in rows[1::2]
    ]
    return write_csv(root.parent / "labels.tsv", rows, header, "\t", "utf-8-sig")


def records(root, header, within=None):
    return [dict(zip(header, row, strict=True)) for row in rows_of(root, within or root.parent)]


def as_json_lines(root, header):
    path = root.parent / "labels.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records(root, header)))
    return path


def as_json(root, header):
    path = root.parent / "table"
    path.write_text(json.dumps(records(root, header), indent=1))
    return path


def as_parquet(root, header):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = root.parent / "labels.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(records(root, header)), path)
    return path


def as_coco(root, header):
    ids = {name: number for number, name in enumerate(CLASSES, 7)}
    rows = rows_of(root, root.parent)
    path = root.parent / "coco.json"
    path.write_text(
        json.dumps(
            {
                "categories": [{"id": number, "name": name} for name, number in ids.items()],
                "images": [{"id": i, "file_name": row[0]} for i, row in enumerate(rows)],
                "annotations": [
                    {"id": i, "image_id": i, "category_id": ids[row[1]]}
                    for i, row in enumerate(rows)
                ],
            }
        )
    )
    return path


def as_label_studio(root, header):
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/local-files/?d={path.replace(' ', '%20')}"},
            "annotations": [
                {
                    "result": [
                        {
                            "type": "choices",
                            "from_name": "kind",
                            "value": {"choices": [label]},
                        }
                    ]
                }
            ],
        }
        for number, (path, label, _) in enumerate(rows_of(root, root.parent))
    ]
    path = root.parent / "label_studio.json"
    path.write_text(json.dumps(tasks))
    return path


def as_hugging_face(root, header):
    """An `imagefolder`, whose table is in the folder itself."""
    rows = rows_of(root, root)
    write_csv(root / "metadata.csv", rows, ["file_name", "label", "note"])
    return root


def as_hugging_face_splits(root, header):
    """An `imagefolder` with a table in the folder of each split."""
    for split in SPLITS:
        lines = [
            json.dumps({"file_name": path, "label": label})
            for path, label, _ in rows_of(root / split, root / split)
        ]
        (root / split / "metadata.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture(params=[as_csv, as_excel, as_tsv, as_json_lines, as_json, as_parquet])
def table_of(request):
    return request.param


def table_config(path, **settings):
    return DataConfig(name="csv", path=str(path), image_size=list(SIZE), **settings)


def assert_same(path, root, **settings):
    own = load_splits(table_config(path, **settings), 0)
    other = load_splits(config(root), 0)
    assert own.class_names == other.class_names
    assert own.fingerprint == other.fingerprint
    assert [row for row in own.findings if row.problem != "ignored"] == []
    for name, split in own.as_dict().items():
        np.testing.assert_array_equal(split.images, other.as_dict()[name].images)
        np.testing.assert_array_equal(split.labels, other.as_dict()[name].labels)


def test_a_table_is_the_data_set_of_the_folder_of_its_images(root, table_of):
    path = table_of(root, ["file_name", "label", "comment"])
    assert_same(path, root)
    assert registry.image_counts(table_config(path)) == registry.image_counts(config(root))


@pytest.mark.parametrize("export", [as_coco, as_label_studio, as_hugging_face])
def test_an_export_is_the_data_set_of_the_folder_of_its_images(root, export):
    path = export(root, None)
    try:
        assert_same(path, root)
    finally:
        (root / "metadata.csv").unlink(missing_ok=True)


def test_a_table_has_the_splits_that_it_names(split_root, table_of):
    assert_same(table_of(split_root, ["image", "class", "Split"]), split_root)


def test_the_tables_of_a_hugging_face_folder_are_of_its_splits(split_root):
    path = as_hugging_face_splits(split_root, None)
    assert_same(path, split_root)
    for split in SPLITS:
        (split_root / split / "metadata.jsonl").unlink()
    write_csv(path / "metadata.csv", rows_of(path, path), ["file_name", "label", "note"])
    assert_same(path, split_root)  # one table, whose paths name the splits
    (path / "metadata.csv").unlink()


def test_columns_can_be_named_and_splits_left_out(split_root):
    path = as_csv(split_root, ["one", "two", "split"])
    settings = {"image_column": "one", "label_column": "two"}
    assert_same(path, split_root, **settings)
    counts = registry.image_counts(table_config(path, split_column="none", **settings))
    assert counts == {"train": sum(SPLITS.values()) * len(CLASSES)}


@pytest.fixture
def small(tmp_path):
    """A folder with two images of each of two classes, and another beside it."""
    write(tmp_path / "elsewhere", 2)
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 3)
    return tmp_path / "photos"


GOOD = [f"{name}/{number}.png,{name}" for name in ("ant", "bee") for number in range(3)]


def table_with(small, *lines, header="image,label"):
    path = small / "labels.csv"
    path.write_text("\n".join([header, *lines]))
    return path


def findings(path, **settings):
    return load_splits(table_config(path, group_duplicates="none", **settings), 0).findings


def test_rows_that_cannot_be_used_are_skipped_and_named(small):
    os.symlink("../../elsewhere/0.png", small / "ant" / "link.png")
    bad = {
        "ant/9.png,ant": ("skipped", "ant/9.png", "no such file"),
        "../elsewhere/1.png,bee": ("skipped", "../elsewhere/1.png", "out of the folder"),
        "ant/link.png,ant": ("skipped", "ant/link.png", "a link out of the folder"),
        "https://example.com/a.png,ant": ("skipped", "https://example.com/a.png", "an address"),
        "ant,ant": ("skipped", "ant", "no regular file"),
        "bee/0.png,": ("no_label", "bee/0.png", "labels.csv, line 13: no label"),
        "bee/1.png,NaN": ("no_label", "bee/1.png", "labels.csv, line 14: no label"),
        "./ant/../ant/0.png,ant": ("repeated", "ant/0.png", "labels.csv, line 15"),
    }
    path = table_with(small, *GOOD, *bad)
    found = {(row.problem, row.file): row.detail for row in findings(path)}
    for problem, file, detail in bad.values():
        assert found.pop((problem, file)).startswith(detail)
    assert not found
    text = "\n".join(quality_report.summary(findings(path)))
    assert "2 rows of a table have no label" in text
    with pytest.raises(SettingError, match=r"2 of 14 rows cannot be used \(labels.csv, line 13"):
        registry.class_names(table_config(path, on_bad_file="fail"))
    followed = {row.file for row in findings(path, follow_links=True) if row.problem == "skipped"}
    assert followed == {"ant/9.png", "https://example.com/a.png", "ant"}


def test_labels_and_splits_that_contradict_each_other_are_named(small):
    rows = [
        f"{row},{split}" for row, split in zip(GOOD, ("train", "train", "test") * 2, strict=True)
    ]
    rows += [
        "ant/0.png,bee,train",
        "ant/1.png,ant,test",
        "bee/1.png,Bee ,train",
        "bee/2.png,Bee ,test",
    ]
    found = findings(table_with(small, *rows, header="image,label,split"))
    named = {(row.problem, row.file, row.class_name, row.other_class) for row in found}
    assert named == {
        ("similar_names", "bee", "bee", "Bee "),
        ("two_labels", "ant/0.png", "bee", "ant"),
        ("duplicate", "ant/1.png", "ant", "ant"),
        ("two_labels", "bee/1.png", "bee", "Bee "),
        ("two_labels", "bee/2.png", "bee", "Bee "),
    }


def test_several_labels_of_an_image_are_not_chosen_from(small):
    rows = [row.split(",") for row in GOOD]
    lines = [json.dumps({"image": image, "label": label}) for image, label in rows]
    lines[-1] = json.dumps({"image": rows[-1][0], "label": ["ant", "bee"]})
    (small / "labels.jsonl").write_text("\n".join(lines))
    (row,) = findings(small / "labels.jsonl")
    assert row[:2] == ("no_label", "bee/2.png")
    assert row.detail == "labels.jsonl, line 6: 2 labels, ant, bee"


def write_bytes(content):
    return lambda small: (small / "labels.csv").write_bytes(content)


def lines(*rows, header="image,label"):
    return lambda small: table_with(small, *rows, header=header)


WRONG = {
    "no column of images": (
        lines(*GOOD, header="photograph,label"),
        "photograph, label, none .*_column",
    ),
    "no header": (lines(*GOOD[1:], header=GOOD[0]), "has no header"),
    "two columns": (
        lines("a.png,b.png,ant", header="image,path,label"),
        "image, path can all be the images; set data.image_column=image or data.image_column=path",
    ),
    "a repeated column": (lines(*GOOD, header="label,label"), "two columns named label"),
    "no row": (lines(), "has no row"),
    "nothing": (write_bytes(b"\n"), "is empty"),
    "Excel": (write_bytes(b"PK\x03\x04 more"), "an Excel file or a zip; save the table as CSV"),
    "no text": (write_bytes(b"\x00\x01\x02"), "is no text"),
    "a quote": (lines('"ant/0.png,ant'), "line 2: no CSV"),
    "a comma too many": (lines("ant/0.png,ant,bee"), "line 2: 3 cells for 2 columns"),
    "no image": (
        lines(*GOOD, ",ant"),
        "line 8: no image in image; write its path, or remove the row",
    ),
    "no label at all": (lines("ant/0.png,", "bee/0.png,"), "2 of 2 rows cannot be used"),
    "one class": (lines(*GOOD[:3]), "has the one label ant"),
    "no splits": (
        lines(*(f"{row},holdout" for row in GOOD), header="image,label,split"),
        "line 2: split says holdout, which is no split",
    ),
    "nothing to train on": (
        lines(*(f"{row},test" for row in GOOD), header="image,label,split"),
        "rows of test; .*train on",
    ),
    "a test split without a class": (
        lines(*(f"{row},train" for row in GOOD), "ant/0.png,ant,test", header="image,label,split"),
        "test lacks bee; set data.missing_classes=allow",
    ),
    "no classes": (
        lines(*(f"ant/{number}.png,{number / 7}" for number in range(12))),
        "another label for each of 12 images",
    ),
    "another folder": (
        lines("0.png,ant", "1.png,bee"),
        r"none of the 2 images can be used \(0.png: no such file\).* to /.*/0.png is there",
    ),
    "JSON": (write_bytes(b'[{"image": '), "damaged JSON"),
    "a list": (write_bytes(b"[[1, 2]]"), "row 1: no object"),
    "Parquet": (write_bytes(b"PAR1 more"), "damaged Parquet|needs pyarrow"),
    "COCO": (write_bytes(b'{"images": [], "annotations": []}'), "has no categories"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_table_that_cannot_be_read_is_refused_in_a_line(case, small):
    make, message = WRONG[case]
    make(small)
    with pytest.raises(SettingError, match=message) as raised:
        registry.image_counts(table_config(small / "labels.csv"))
    assert len(str(raised.value).splitlines()) == 1


def test_a_misspelt_column_is_refused_with_the_nearest(small):
    path = table_with(small, *GOOD)
    with pytest.raises(SettingError, match=r"data.label_column=labels .*did you mean label"):
        registry.class_names(table_config(path, label_column="labels"))


def test_parquet_without_pyarrow_is_refused(small, monkeypatch):
    write_bytes(b"PAR1 without pyarrow")(small)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingError, match=r"pip install .*\[parquet\]"):
        registry.class_names(table_config(small / "labels.csv"))


def test_text_that_is_not_utf_8_is_read_and_reported(small, caplog):
    rows = "\n".join(["image,label", *GOOD]).replace(",bee", ",Käfer")
    (small / "labels.csv").write_bytes(rows.encode("latin-1"))
    with caplog.at_level(logging.WARNING, "vit_keras"):
        assert registry.class_names(table_config(small / "labels.csv")) == ["Käfer", "ant"]
    assert "not in UTF-8" in caplog.text


def test_a_folder_and_a_table_do_not_overwrite_each_others_scan(small, monkeypatch):
    path = table_with(small, *GOOD[:2], *GOOD[3:5])
    load_splits(config(small), 0)
    load_splits(table_config(path), 0)
    opened = []
    monkeypatch.setattr(
        "vit_keras.data.readers.folder_scan._open_file", lambda *file: opened.append(file)
    )
    load_splits(config(small), 0)
    load_splits(table_config(path), 0)
    assert not opened
