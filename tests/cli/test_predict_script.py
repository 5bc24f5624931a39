"""`vit-keras predict`: table, JSON and CSV output, and skipped or refused files."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.fake_runs import RELEASED, in_process
from vit_keras import Predictor, SettingError
from vit_keras.cli import arguments
from vit_keras.cli import predict as cli_predict
from vit_keras.data.readers.annotation_json import Table
from vit_keras.predict import inputs, outputs, predictor, preflight, tables
from vit_keras.predict.decisions import OUTLIER, SEVERAL, Decision

BAD = ("empty.png", "half.jpeg", "text.jpg")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working directory: digits 0 to 5 in folders, and three damaged files among them."""
    monkeypatch.chdir(tmp_path)
    for index in range(6):
        path = Path("photos", "even" if index % 2 == 0 else "odd", f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((load_digits().images[index] * 255 / 16).astype("uint8"))
        picture.save(path)
    big = io.BytesIO()
    picture.resize((64, 64)).save(big, "JPEG")
    for name, content in zip(BAD, (b"", big.getvalue()[:-300], b"a web page"), strict=True):
        Path("photos", "odd", name).write_bytes(content)
    Path("photos", "odd", "Thumbs.db").write_bytes(b"no image")
    return Path("photos")


@pytest.fixture(scope="module")
def opened():
    return Predictor(RELEASED)


@pytest.fixture
def predict(opened, monkeypatch, capsys):
    """Runs the script in this process; gives (exit status, standard output, standard error)."""
    monkeypatch.setattr(predictor, "Predictor", lambda run, **settings: opened)
    start = in_process("predict", monkeypatch, capsys)
    return lambda *words: start(RELEASED, *words)


def test_a_folder_as_json_with_damaged_files_named_beside(predict, photos):
    status, out, err = predict("photos", "--format=json", "--top-k=2")
    found = json.loads(out)
    assert status == 0
    files = [f"photos/even/{i}.png" for i in (0, 2, 4)] + [f"photos/odd/{i}.png" for i in (1, 3, 5)]
    assert [one["file"] for one in found] == files
    assert [one["class"] for one in found] == ["0", "2", "4", "1", "3", "5"]
    for one in found:
        assert len(one["top"]) == 2
        assert one["top"][0] == {k: one[k] for k in ("class", "confidence")} | {
            "index": int(one["class"])
        }
    lines = err.splitlines()
    assert "photos/odd/empty.png: an empty file" in lines
    assert "photos/odd/text.jpg: no image by its content" in lines
    assert any(line.startswith("photos/odd/half.jpeg: damaged: ") for line in lines)
    assert lines[-2].startswith("confidences are not calibrated: the temperature was not fitted")
    assert lines[-1].startswith("6 of 9 images in ")
    assert lines[-1].endswith("; 3 skipped")
    assert "predicting: 100%" in err


def test_csv_has_a_row_for_each_file_and_a_column_for_each_class(predict, photos):
    _, out, _ = predict("photos/even", "--format=csv", "--top-k=3")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == [
        *("file", "class", "confidence", "class_2", "confidence_2", "class_3", "confidence_3")
    ]
    assert [row["class"] for row in rows] == ["0", "2", "4"]
    assert all(0 < float(row["confidence_2"]) < float(row["confidence"]) <= 1 for row in rows)
    _, out, _ = predict("photos/even/0.png", "--format=csv", "--top-k=1", "--flip")
    (mirrored,) = csv.DictReader(io.StringIO(out))
    assert mirrored["class"] == "0"
    assert mirrored["confidence"] != rows[0]["confidence"]


def test_predict_prints_a_table_by_default(predict, photos):
    _, out, _ = predict("photos/even/0.png", "photos/odd/1.png", "--top-k=1")
    head, *lines = (line.split() for line in out.splitlines())
    assert head == ["file", "class", "confidence"]
    assert [line[:2] for line in lines] == [["photos/even/0.png", "0"], ["photos/odd/1.png", "1"]]


def test_predict_accepts_unusual_file_names(predict, photos):
    names = ["a=b.png", "-x.png", "run=1.png", "with space.png", b"\xe4\n.png"]
    for name in names:
        shutil.copy("photos/even/0.png", os.fsencode(name))
    words = ["a=b.png", "./-x.png", "./run=1.png", "with space.png", os.fsdecode(names[-1])]
    status, out, _ = predict(*words, "--format=json")
    assert status == 0
    assert [one["file"] for one in json.loads(out)] == words
    _, out, _ = predict(*words)
    assert len(out.splitlines()) == 6
    assert "'\\udce4\\n.png'" in out


def test_a_decision_is_in_every_format():
    decided = Decision(("3", "8"), 0.25, 61.5, True, SEVERAL)
    far = Decision((), 1.5, 100.0, True, OUTLIER)
    sure = Decision(("5",), 0.01, 3.0, False, "")
    top = (predictor.Candidate("3", 3, 0.6),)
    found = [predictor.Prediction("a.png", top, one) for one in (decided, far, sure)]
    lines = outputs.to_table(found).decode().splitlines()
    assert lines[1].endswith("abstain: several classes are possible (3, 8)")
    assert lines[2].endswith("abstain: unlike the validation images (percentile 100.0)")
    assert lines[3].endswith("answer")
    first = json.loads(outputs.to_json(found))[0]
    assert (first["classes"], first["abstain"], first["ood_percentile"]) == (["3", "8"], True, 61.5)
    rows = list(csv.DictReader(io.StringIO(outputs.to_csv(found).decode())))
    assert [row["abstain"] for row in rows] == ["true", "true", "false"]
    assert (rows[0]["classes"], rows[1]["reason"]) == ("3\n8", OUTLIER)


def test_output_is_written_whole_and_not_over_another(predict, photos, tmp_path):
    status, out, _ = predict("photos", "--output=new/found.csv")
    assert (status, out) == (0, "predictions: new/found.csv\n")
    assert len(Path("new/found.csv").read_text().splitlines()) == 1 + 6
    before = Path("new/found.csv").read_bytes()
    status, _, err = predict("photos/odd", "--output=new/found.csv")
    assert status == 2
    assert "error: --output new/found.csv is there already" in err
    assert Path("new/found.csv").read_bytes() == before
    status, _, _ = predict("photos/odd", "--output=new/found.csv", "--overwrite", "--format=json")
    assert len(json.loads(Path("new/found.csv").read_text())) == 3
    assert [path.name for path in Path("new").iterdir()] == ["found.csv"]


def test_a_disk_that_is_full_leaves_no_half(predict, photos, monkeypatch):
    def full(path, content):
        with path.open("wb") as file:
            file.write(content[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    status, _, err = predict("photos", "--output=found.csv")
    assert status == 2
    assert err.splitlines()[-1] == (
        "error: --output found.csv cannot be written (No space left on device)"
    )
    assert not [path for path in Path().iterdir() if path.name != "photos"]


def test_predict_fails_when_no_file_can_be_read(predict, photos):
    status, out, err = predict("photos/odd/empty.png", "photos/odd/text.jpg", "--output=a.csv")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: none of 2 files could be read")
    assert "photos/odd/empty.png: an empty file" in err
    assert not Path("a.csv").exists()


def test_files_are_found_once_in_the_order_of_the_words(photos):
    odd = [f"photos/odd/{name}" for name in ("1.png", "3.png", "5.png", *BAD)]
    even = [f"photos/even/{name}.png" for name in (0, 2, 4)]
    assert inputs.find_image_files(["photos/odd", "photos"]) == odd + even
    assert inputs.find_image_files(["photos/**/*.png"]) == even + odd[:4]
    assert inputs.find_image_files(["photos/odd/Thumbs.db"]) == ["photos/odd/Thumbs.db"]
    Path("[a].png").write_bytes(b"")
    assert inputs.find_image_files(["[a].png", "./[a].png"]) == ["[a].png"]


def test_every_file_of_a_folder_is_predicted_or_named(predict, photos):
    shutil.copy("photos/even/0.png", "photos/even/no ending")
    Path("photos/even/@eaDir").mkdir()
    shutil.copy("photos/even/0.png", "photos/even/@eaDir/thumb.png")
    Path("photos/even/more").symlink_to("../odd")
    status, out, err = predict("photos/even", "--format=json", "--top-k=1")
    assert status == 0
    assert "photos/even/no ending" in [one["file"] for one in json.loads(out)]
    lines = err.splitlines()
    assert "photos/even/@eaDir: a folder of a Synology NAS, with 1 file" in lines
    assert "photos/even/more/Thumbs.db: no image, by its ending .db" in lines
    assert lines[-1].startswith("7 of 10 images in ")
    assert lines[-1].endswith(", 2 other files ignored; 3 skipped")


def check(*words):
    settings = arguments.parse("predict", cli_predict.add_arguments, [*map(str, words)])
    preflight.check_prediction(settings)


def test_what_cannot_be_predicted_is_refused_before_keras(photos, tmp_path):
    run = shutil.copytree(RELEASED, tmp_path / "run")
    newer, half, cut = (shutil.copytree(RELEASED, tmp_path / name) for name in "abc")
    with (newer / "config.yaml").open("a") as file:
        file.write("teleport: true\n")
    (half / "best.keras").unlink()
    (cut / "best.keras").write_bytes((RELEASED / "best.keras").read_bytes()[:-5000])
    hot = shutil.copytree(RELEASED, tmp_path / "hot")
    (hot / "temperature.json").write_text('{"temperature": -1}')
    (tmp_path / "void").mkdir()
    refused = {
        ("photos",): "required: IMAGE",
        (run,): "required: IMAGE",
        (tmp_path, "photos"): "is not a run",
        (newer, "photos"): "has teleport, which this version does not know",
        (half, "photos"): "has lost its best.keras",
        (cut, "photos"): r"cannot be used: best.keras is damaged \(File is not a zip file",
        (hot, "photos"): "temperature.json is damaged",
        (run, "nowhere.png"): "nowhere.png is no file or folder",
        (run, "photos/*.jpg"): r"photos/\*.jpg is no file or folder, and matches none",
        (run, "void"): r"void has no image \(.jpg, .jpeg",
        (run, "photos", "topk=3"): r"topk is no setting; did you mean top_k\?",
        (run, "photos", "--flop"): "unrecognized arguments: --flop",
        (run, "photos", "flip=yes"): "flip=yes is not a switch value; use true or false",
        (run, "photos", "--top-k=0"): "--top-k: 0 is out of range",
        (run, "photos", "--coverage=1"): "--coverage: 1 is out of range; use above 0, below 1",
        (run, "photos", "--coverage=most"): "--coverage: most is out of range",
        (run, "photos", "--coverage=0.9", "--tile-size=8"): "does not have yet: evaluate it first",
        (run, "photos", "--ood-quantile=0.9"): "ood_quantile=0.9 has no effect without a coverage",
        (run, "photos", "--coverage=0.9"): r"does not have yet: evaluate it first \(vit-keras ev",
        (run, "photos", "--coverage=0.9", "--no-calibration"): "is of calibrated probabilities",
        (run, "photos", "--format=xml"): "--format: xml is unknown; known: csv, json, table",
        (run, "photos", "--output=photos"): "output=photos is a folder",
        (run, "photos", "--output=photos/even/0.png"): "is there already",
        (run, "photos", "--output=photos/even/0.png/a.csv"): "is a file; choose a folder",
    }
    for words, message in refused.items():
        with pytest.raises(SettingError, match=message):
            check(*words)
    check(run, "photos", "--flip", "--output=new/place.csv")


def test_the_script_refuses_without_importing_keras(refusal):
    assert "is not a run" in refusal("nowhere", "image.png", name="predict")


def test_a_table_gets_what_is_decided():
    table = Table(Path("t.csv"), {"path": ["a.png", "b.png", "c.png"]}, [2, 3, 4], "line")
    top = (predictor.Candidate("cat", 0, 0.5), predictor.Candidate("dog", 1, 0.5))
    several = Decision(("cat", "dog"), 0.25, 75.0, True, SEVERAL)
    results = [
        predictor.Unreadable("a.png", "damaged"),
        predictor.Prediction("b.png", top, several),
        predictor.Prediction("c.png", top, Decision(("cat",), 0.125, 50.0, False, "")),
    ]
    found = list(csv.DictReader(io.StringIO(tables.to_csv(table, results).decode())))
    assert [row["abstain"] for row in found] == ["", "true", "false"]
    assert found[1]["classes"] == "cat\ndog"
    assert (found[1]["reason"], found[1]["ood_score"]) == (SEVERAL, "0.25")
    objects = json.loads(tables.to_json(table, results))
    assert [one["classes"] for one in objects] == [None, ["cat", "dog"], ["cat"]]


def test_a_table_keeps_its_rows_and_gets_the_predictions(predict, photos):
    rows = [f"odd/{i}.png" for i in (3, 1)] + [
        "even/2.png",
        "odd/half.jpeg",
        "odd/3.png",
        "no.png",
        "",
    ]
    lines = ["path,truth,predicted", *(f"{row},{i},old" for i, row in enumerate(rows))]
    Path("photos", "labels.csv").write_text("\n".join(lines))
    status, out, err = predict("photos/labels.csv", "--format=csv", "--top-k=2")
    found = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    columns = ["path", "truth", "predicted", "confidence", "predicted_2", "confidence_2"]
    assert list(found[0]) == columns
    assert [row["path"] for row in found] == rows
    assert [row["truth"] for row in found] == [*"0123456"]
    assert [row["predicted"] for row in found] == ["3", "1", "2", "", "3", "", ""]
    assert found[0] == {**found[4], "truth": "0"}
    assert "photos/no.png: " in err
    assert "labels.csv, line 8: no image in path" in err
    _, out, _ = predict("photos/labels.csv", "--format=json", "--top-k=1")
    assert [row["predicted"] for row in json.loads(out)] == ["3", "1", "2", None, "3"] + 2 * [None]
    _, out, _ = predict("photos/labels.csv")  # as files are shown in a terminal
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["3", "1", "2", "3"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("labels.csv", "--image-column=x"), "--image-column x is no column of labels.csv"),
        (("labels.csv",), "image, file name can all be the images; set --image-column image or"),
        (("labels.csv", "photos"), "labels.csv is a table of images, which is predicted for its"),
        (("photos", "--image-column=a"), "--image-column a is of a table, and photos is none"),
        (("no.csv",), "no.csv is no file"),
    ],
)
def test_a_table_that_cannot_be_predicted_is_refused(predict, photos, words, expected):
    Path("labels.csv").write_text("image,file name,label\na.png,b.png,c\na.png,b.png,\n")
    status, _, err = predict(*words)
    assert status == 2
    assert expected in err
