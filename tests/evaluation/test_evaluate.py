"""Evaluation of a run: its files, figures and output folder, and what is refused."""

import contextlib
import csv
import hashlib
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax, softmax
from sklearn import metrics

from helpers.paths import SAVED_MODELS, SCRIPTS
from vit_keras import Predictor, SettingError, evaluate_run, load_config, open_run
from vit_keras.cli import arguments, evaluate
from vit_keras.data import decode, splits
from vit_keras.evaluation.preflight import check_evaluation
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.runs import run_dir, training_images

FILES = {
    "evaluation.json",
    "errors",
    "report.html",
    "per_class.csv",
    "confusion.csv",
    "confusion.png",
    "reliability.csv",
    "reliability.png",
    "mistakes.csv",
    "mistakes.png",
    "robustness.csv",
    "robustness.png",
    "sizes.csv",
    "sizes.png",
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A copy of the released digits run, evaluated at two sizes."""
    folder = tmp_path_factory.mktemp("runs")
    run = shutil.copytree(SAVED_MODELS / "digits", folder / "digits")
    (folder / "noise").mkdir()
    for index, image in enumerate(random_pixels(20, 30, 40, 3)):
        Image.fromarray(image).save(folder / "noise" / f"{index}.png")
    return evaluate_run(run, sizes=(16, 8), images=50, ood=str(folder / "noise"))


@pytest.fixture(scope="module")
def digits():
    return splits.load_splits(load_config("data=digits").data, 0)


@pytest.fixture(scope="module")
def logits(evaluated, digits):
    """Of the test split, by Keras alone."""
    model = open_run(evaluated.path.parent).model
    return model.predict(digits.test.images, verbose=0).astype("float64")


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(SAVED_MODELS / "digits", tmp_path / "run")


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_evaluation_writes_every_file(evaluated):
    folder = evaluated.path
    assert folder.name == "evaluation"
    assert {file.name for file in folder.iterdir()} == FILES
    for file in folder.glob("*.png"):
        with Image.open(file) as image:
            image.load()
    assert json.loads((folder / "evaluation.json").read_text()) == evaluated.report
    assert [path.name for path in folder.parent.glob(".new-*")] == []


def test_figures_are_scikit_learns(evaluated, logits, digits):
    report, labels, predicted = evaluated.report, digits.test.labels, logits.argmax(axis=-1)
    assert report["accuracy"] == metrics.accuracy_score(labels, predicted)
    assert report["top5_accuracy"] == pytest.approx(
        metrics.top_k_accuracy_score(labels, logits, k=5)
    )
    assert report["loss"] == pytest.approx(
        metrics.log_loss(labels, softmax(logits, axis=-1)), abs=1e-5
    )
    assert report["macro_f1"] == metrics.f1_score(labels, predicted, average="macro")
    known = metrics.classification_report(labels, predicted, output_dict=True)
    for row in report["per_class"]:
        assert row["precision"] == known[row["class"]]["precision"]
        assert row["recall"] == known[row["class"]]["recall"]
        assert row["f1"] == known[row["class"]]["f1-score"]
        assert row["images"] == known[row["class"]]["support"]
    counts = [list(row.values())[1:] for row in rows(evaluated.path / "confusion.csv")]
    assert np.array(counts, int).tolist() == metrics.confusion_matrix(labels, predicted).tolist()
    assert report["data"]["is_the_runs_own"]
    assert report["accuracy"] == pytest.approx(
        open_run(SAVED_MODELS / "digits").metrics["test_accuracy"]
    )


def error(logits, labels):
    """The expected calibration error with 15 bins, written out."""
    confidence = softmax(logits, axis=-1).max(axis=-1)
    is_right = logits.argmax(axis=-1) == labels
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(is_right[inside].mean() - confidence[inside].mean())
    return total


def test_one_error_of_144_decides_no_temperature(evaluated, logits, digits):
    """Fitted on it, 0.948 made the calibration error of the test split 0.0127 instead of 0.0102."""
    run, part = evaluated.path.parent, evaluated.report["calibration"]
    kept = json.loads((run / "temperature.json").read_text())
    assert open_run(run).temperature == kept["temperature"] == part["temperature"] == 1
    for note in (kept["note"], part["temperature_from"]):
        assert note.startswith("left at 1, as another does not reliably improve the 144 validation")
    assert kept["cross_validated_gain"] <= kept["cross_validated_gain_error"]
    assert part["ece"] == part["ece_calibrated"]
    assert part["ece"] == pytest.approx(error(logits, digits.test.labels), abs=1e-5)
    assert f"the temperature was {kept['note']}" in (evaluated.path / "report.html").read_text()


def test_calibration_is_that_of_the_run(run, digits):
    """The temperature is the best on the validation split, and kept with what it was fitted on."""
    model = keras.models.load_model(run / "best.keras")
    head = model.get_layer("head")
    head.set_weights([weight / 3 for weight in head.get_weights()])  # far too uncertain
    model.save(run / "best.keras")
    part = evaluate_run(run, images=5).report["calibration"]
    logits = model.predict(digits.test.images, verbose=0).astype("float64")
    kept = json.loads((run / "temperature.json").read_text())
    assert open_run(run).temperature == kept["temperature"] == part["temperature"] != 1
    assert kept["cross_validated_gain"] > kept["cross_validated_gain_error"]
    assert part["ece"] == pytest.approx(error(logits, digits.test.labels), abs=1e-5)
    after = error(logits / part["temperature"], digits.test.labels)
    assert part["ece_calibrated"] == pytest.approx(after, abs=1e-5)
    assert after < part["ece"]
    images, labels = digits.validation
    scores = open_run(run).model.predict(images, verbose=0).astype("float64")

    def loss(temperature):
        return -log_softmax(scores / temperature, axis=-1)[range(len(labels)), labels].mean()

    best = loss(kept["temperature"])
    assert best == pytest.approx(kept["loss_calibrated"], abs=1e-6)
    assert best < min(loss(kept["temperature"] * factor) for factor in (0.97, 1.03))
    assert kept["fitted_on"]["images"] == len(labels)
    trained = json.loads((run / "environment.json").read_text())
    assert kept["fitted_on"]["data_fingerprint"] == trained["data_fingerprint"]


def test_errors_are_listed_by_descending_confidence(evaluated, logits, digits):
    wrong = np.flatnonzero(logits.argmax(axis=-1) != digits.test.labels)
    listed = rows(evaluated.path / "mistakes.csv")
    assert {int(row["image"]) for row in listed} == {*wrong.tolist()}
    confidences = [float(row["confidence"]) for row in listed]
    assert confidences == sorted(confidences, reverse=True)
    first = int(listed[0]["image"])
    assert listed[0]["class"] == str(digits.test.labels[first])
    assert listed[0]["predicted"] == str(logits[first].argmax())
    # A small image of each, in the same order: what the studio shows.
    files = sorted(file.name for file in (evaluated.path / "errors").iterdir())
    assert files == [f"{number:05}.png" for number in range(len(listed))]
    with Image.open(evaluated.path / "errors" / files[0]) as shown:
        mean = np.asarray(shown.convert("L")).mean()
    assert mean == pytest.approx(digits.test.images[first].mean(), abs=3)


def test_a_test_time_flip_is_measured_beside_the_plain_accuracy(evaluated, logits, digits, run):
    flipped = evaluate_run(run, images=5, flip=True).report
    assert evaluated.report["test_time_flip"] is None
    for name in ("accuracy", "loss", "calibration"):
        assert flipped[name] == evaluated.report[name]
    model, labels = open_run(run).model, digits.test.labels
    mirrored = model.predict(np.flip(digits.test.images, axis=2), verbose=0)
    temperature = flipped["calibration"]["temperature"]
    views = (logits, mirrored.astype("float64"))
    mean = np.mean([softmax(view / temperature, axis=-1) for view in views], axis=0)
    found = flipped["test_time_flip"]
    assert found["averaged"] == "probabilities"
    assert (
        found["accuracy"] == metrics.accuracy_score(labels, mean.argmax(-1)) != flipped["accuracy"]
    )
    assert found["loss"] == pytest.approx(metrics.log_loss(labels, mean), rel=1e-4)
    top = [one.top[0] for one in Predictor(run).predict(digits.test.images, flip=True)]
    assert [one.index for one in top] == mean.argmax(-1).tolist()
    np.testing.assert_allclose([one.confidence for one in top], mean.max(-1), rtol=1e-4)
    page = (run / "evaluation" / "report.html").read_text()
    assert f"Accuracy with test-time flip</dt><dd>{found['accuracy']:.2%}" in page


def test_abstention_is_calibrated_and_kept_with_the_run(evaluated, logits, digits):
    part, run = evaluated.report["abstention"], open_run(evaluated.path.parent)
    assert (part["note"], part["validation_images"]) == ("", 144)
    assert [row["coverage"] for row in part["coverages"]] == [0.9, 0.95, 0.99]
    probabilities, labels = softmax(logits, axis=-1), digits.test.labels
    for row in part["coverages"]:
        in_set = probabilities >= run.abstention.least_probability(row["coverage"])
        assert row["observed"] == in_set[np.arange(len(labels)), labels].mean()
        assert row["observed"] == pytest.approx(row["coverage"], abs=0.06)
        assert row["set_size"] == in_set.sum(axis=-1).mean()
        assert row["accuracy"] > evaluated.report["accuracy"]
        assert row["answered"] == round((1 - row["abstained"]) * len(labels))
    other = part["other_data"]
    assert (other["images"], other["source"]) == (20, str(run.path.parent / "noise"))
    assert other["auroc"] > 0.9
    assert other["abstained"] >= other["outliers"]
    page = (evaluated.path / "report.html").read_text()
    assert "Calibrated on 144 validation images." in page
    assert f"AUROC {other['auroc']:.3f}" in page


def test_other_data_of_the_wrong_kind_are_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for word, message in {
        "nowhere": "ood=nowhere is no folder of images and no data set; known: cifar10",
        "cifar": "ood=cifar is no folder of images and no data set; did you mean cifar10",
        "digits": "ood=digits is the data of run=",
        str(tmp_path / "empty"): "has no image",
    }.items():
        with pytest.raises(SettingError, match=message):
            check(run, "--ood", word)
    (tmp_path / "empty" / "text.png").write_text("no image")
    with pytest.raises(SettingError, match="none of its images can be read; name others"):
        evaluate_run(run, images=5, ood=str(tmp_path / "empty"))
    assert not (run / "abstention.npz").exists()


def test_robustness_covers_corruptions_and_image_sizes(evaluated):
    report = evaluated.report
    tried = [(row["corruption"], row["strength"]) for row in report["robustness"]["corruptions"]]
    kinds = ("noise", "blur", "jpeg", "brightness")
    assert tried == [(kind, strength) for kind in kinds for strength in (1, 3, 5)]
    assert report["robustness"]["images"] == 50
    assert report["robustness"]["clean"] > 0.9
    by_size = {row["image_size"]: row for row in report["sizes"]}
    assert list(by_size) == [8, 16]
    assert by_size[8]["accuracy"] == report["accuracy"]
    assert (by_size[8]["patches"], by_size[16]["patches"]) == (4, 16)
    assert 0.1 < by_size[16]["accuracy"] < 1


def test_another_evaluation_takes_the_place_of_an_earlier_one_when_it_is_whole(evaluated, run):
    shutil.copytree(evaluated.path, run / "evaluation")
    before = (run / "evaluation" / "evaluation.json").read_text()
    with pytest.raises(SettingError, match="does not have the classes of run="):
        evaluate_run(run, data=two_classes())
    in_colour = (random_pixels(100, 8, 8, 3), np.arange(100) % 10)
    with pytest.raises(SettingError, match=r"has 3 channels and the model of run=.* takes 1"):
        evaluate_run(run, data=in_colour)
    assert (run / "evaluation" / "evaluation.json").read_text() == before
    assert not (run / "temperature.json").exists()


def random_pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype("uint8")


def two_classes():
    images = random_pixels(40, 8, 8, 1)
    return {"train": (images, np.arange(40) % 2), "class_names": ["ant", "bee"]}


def test_other_data_go_elsewhere_and_leave_the_temperature(evaluated, tmp_path, digits):
    run = shutil.copytree(evaluated.path.parent, tmp_path / "run")
    kept = (run / "temperature.json").read_bytes()
    own = (run / "evaluation" / "evaluation.json").read_bytes()
    train, test = digits.train, digits.test
    with contextlib.closing(run_dir.Run(run)) as held:
        training_images.write_training_images(held, digits.train_hashes)
    np.savez(
        tmp_path / "other.npz",
        x_train=train.images,
        y_train=train.labels,
        x_test=np.concatenate([255 - test.images[:36], train.images[:4]]),
        y_test=np.concatenate([test.labels[:36], train.labels[:4]]),
    )
    words = ["data=npz", f"data.path={tmp_path / 'other.npz'}"]
    done = evaluate_run(run, words, images=5)
    assert done.path.parent == run
    assert done.path.name.startswith("evaluation-npz-")
    assert done.report["images"] == 40
    assert not done.report["data"]["is_the_runs_own"]
    assert "data=npz" in done.report["data"]["note"]
    assert "4 of 40 images were trained on: metrics are too good" in done.report["data"]["note"]
    assert done.report["data"]["images_trained_on"] == 4
    assert done.report["calibration"]["temperature"] == json.loads(kept)["temperature"]
    assert (run / "temperature.json").read_bytes() == kept
    assert (run / "evaluation" / "evaluation.json").read_bytes() == own
    with pytest.raises(SettingError, match="is for the run's evaluation on its own data"):
        evaluate_run(run, words, output=run / "evaluation")


def test_a_folder_of_photos_names_its_files(tmp_path):
    """By a run on other data of the same classes, at the size that its model takes."""
    run = shutil.copytree(
        SAVED_MODELS / "cifar10_small",
        tmp_path / "run",
        ignore=shutil.ignore_patterns("evaluation", "temperature.json"),
    )
    seen = photos(tmp_path / "photos") / "test/cat/test.png"
    digest = int(hashlib.sha256(seen.read_bytes()).hexdigest()[:16], 16)
    np.savez(run / "training_images.npz", kind="files", values=np.array([digest], "u8"))
    words = ("data=folder", f"data.path={tmp_path / 'photos'}")
    check(run, *words)
    done = evaluate_run(run, words, images=10)
    assert done.report["images"] == 10
    assert done.report["data"]["images_trained_on"] == 1
    assert done.report["data"]["note"].endswith(
        "1 of 10 images was trained on: metrics are too good (data leakage)."
    )
    listed = [row["image"] for row in rows(done.path / "mistakes.csv")]
    assert listed
    assert all((tmp_path / "photos" / file).is_file() for file in listed)
    assert done.report["images_per_second"] is None  # one batch, most of it compiling
    assert "was not evaluated on its own data yet" in done.report["abstention"]["note"]
    assert not (run / "temperature.json").exists()


def test_every_image_of_a_labelled_folder_is_measured(tmp_path):
    """A folder without splits; a training would hold out a fifth of it to test on."""
    run = shutil.copytree(
        SAVED_MODELS / "cifar10_small",
        tmp_path / "run",
        ignore=shutil.ignore_patterns("evaluation", "temperature.json"),
    )
    whole = tmp_path / "whole"
    for part in ("train", "val", "test"):
        shutil.copytree(photos(tmp_path / part) / part, whole, dirs_exist_ok=True)
    words = ["data=folder", f"data.path={whole}"]
    done = evaluate_run(run, words, images=10, sizes=[24], split="all")
    assert done.path.name.endswith("-all")
    assert done.report["images"] == 30
    with open(done.path / "confusion.csv") as file:
        counts = [list(map(int, row[1:])) for row in list(csv.reader(file))[1:]]
    assert [sum(row) for row in counts] == [3] * 10
    assert done.report["data"]["images_trained_on"] is None  # a run of an earlier version
    wrong = {row["image"] for row in rows(done.path / "mistakes.csv")}
    assert wrong <= {path.relative_to(whole).as_posix() for path in whole.rglob("*.png")}
    assert len(wrong) == 30 - sum(row[index] for index, row in enumerate(counts))
    assert "30 images, the whole data set" in (done.path / "report.html").read_text()


def test_a_folder_with_part_of_the_classes_is_measured_where_that_is_asked_for(tmp_path):
    """Each image under the number that its class has in the run."""
    run = shutil.copytree(
        SAVED_MODELS / "cifar10_small",
        tmp_path / "run",
        ignore=shutil.ignore_patterns("evaluation", "temperature.json"),
    )
    for name in ("truck", "cat"):
        shutil.copytree(photos(tmp_path / "all") / "test" / name, tmp_path / "few" / name)
        shutil.rmtree(tmp_path / "all")
    for seed, name in enumerate("abc"):
        noise = np.random.default_rng(seed).integers(0, 256, (40, 50, 3)).astype("uint8")
        Image.fromarray(noise).save(tmp_path / f"few/cat/{name}.png")
    words = ["data=folder", f"data.path={tmp_path / 'few'}"]
    with pytest.raises(SettingError, match=r"set data\.missing_classes=allow to evaluate on"):
        check(run, "--data", *words)
    words.append("data.missing_classes=allow")
    check(run, "--split=all", "--data", *words)
    done = evaluate_run(run, words, images=3, sizes=[24], split="all")
    with open(done.path / "confusion.csv") as file:
        counts = {row[0]: sum(map(int, row[1:])) for row in list(csv.reader(file))[1:]}
    assert {name: count for name, count in counts.items() if count} == {"cat": 4, "truck": 1}
    assert "No images of airplane, automobile, bird" in done.report["data"]["note"]
    shutil.rmtree(tmp_path / "few/truck")
    assert evaluate_run(run, words, images=2, split="all").report["images"] == 4


def test_a_class_is_known_in_either_unicode_form(run, tmp_path):
    """A run that was trained on macOS has the form of its disk, and data of today the composed."""
    names = [*"012345678", "cafe\u0301"]
    (run / "class_mapping.json").write_text(json.dumps(dict(enumerate(names))))
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1)).astype("uint8")
    np.savez(
        tmp_path / "data.npz",
        images=images,
        labels=np.arange(20) % 10,
        class_names=[*"012345678", "\u0063af\u00e9"],
    )
    done = evaluate_run(run, ["data=npz", f"data.path={tmp_path / 'data.npz'}"], split="all")
    assert done.report["class_names"] == names


def test_a_run_is_not_measured_on_what_it_was_trained_on(run, digits):
    """The same images come by another way: known by their pixels, when they are read."""
    parts = {name: tuple(getattr(digits, name)) for name in ("train", "validation", "test")}
    with pytest.raises(SettingError, match=r"split=all would measure .* that it was trained on"):
        evaluate_run(run, data=parts, split="all")
    assert not (run / "evaluation").exists()


def photos(root, size=(40, 50, 3)):
    """A folder of three splits, a photo for each class of CIFAR-10 in each."""
    names = json.loads((SAVED_MODELS / "cifar10_small" / "class_mapping.json").read_text()).values()
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        for name in names:
            place = root / part / name
            place.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, size).astype("uint8")).save(place / f"{part}.png")
    return root


def test_files_are_read_at_each_size_and_arrays_as_they_are(tmp_path, digits):
    """A photo enlarged from 32 pixels would say little of what a model makes of 48."""
    root = photos(tmp_path / "photos")
    words = ["recipe=folder", f"data.path={root}", "data.image_size=32", "train.batch_size=8"]
    config = load_config(*words)
    task = EvaluationTask(None, config, None, splits.load_splits(config.data, 0), "", True, "")
    again = task.test_split_at(48)
    np.testing.assert_array_equal(again.labels, task.splits.test.labels)
    expected = decode.read(root / task.files[3], (48, 48), "crop")
    np.testing.assert_array_equal(again.images[3:4][0], expected)
    task = EvaluationTask(None, load_config("recipe=digits"), None, digits, "", True, "")
    assert task.test_split_at(48) is digits.test
    assert task.files is None


def test_a_model_that_is_no_vit_of_ours_has_its_own_size_alone(run):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.save(run / "best.keras")
    with pytest.raises(
        SettingError, match=r"sizes=16 cannot be evaluated .*was not made by build_vit"
    ):
        evaluate_run(run, sizes=[16])
    report = evaluate_run(run, images=5).report
    assert report["sizes"] == []
    assert report["model"]["params"] == 650


def check(*words):
    check_evaluation(arguments.parse("evaluate", evaluate.add_arguments, [*map(str, words)]))


def gone(run):
    file = run / "config.yaml"
    own, other = "data:\n  name: digits\n  path: null\n", "data:\n  name: folder\n  path: gone\n"
    file.write_text(file.read_text().replace(own, other))


def other_classes(run):
    names = [*"0123456", "seven", "eight", "nine"]
    mapping = {str(index): name for index, name in enumerate(names)}
    (run / "class_mapping.json").write_text(json.dumps(mapping))


def of_arrays(run):
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("data:\n  name: digits", "data:\n  name: arrays"))


def newer(run):
    with open(run / "config.yaml", "a") as file:
        file.write("teleport: true\n")


def thesis(run):
    (run / "evaluation").mkdir()
    (run / "evaluation" / "thesis.txt").write_text("years of work")


DAMAGES = [
    (gone, (), "data.path=gone is no folder"),
    (other_classes, (), "lacks seven, eight, nine and adds 7, 8, 9; use data of the same"),
    (of_arrays, (), "evaluate it there, by vit_keras.evaluate_run, or name other data"),
    (newer, (), "has teleport, which this version does not know"),
    (lambda run: (run / "best.keras").unlink(), (), "has lost its best.keras"),
    (thesis, (), "is not empty, and has no evaluation.json"),
    (None, ("--split=all",), "split=all would measure .* trained on; name other data, such"),
    (
        None,
        ("--split=all", "--data=data.limit=100"),
        "split=all would measure .* it was trained on",
    ),
    (
        None,
        ("--split=all", "--data=data.name=digits:1.0.0"),
        "split=all would measure .* it was trained on",
    ),
    (None, ("--split=train",), "--split: train is unknown; known: all, test"),
    (
        None,
        ("--sizes=8", "--sizes=10"),
        "sizes=10 is not a multiple of the model's patch size, 4; use 8 or 12",
    ),
    (None, ("--sizes=8", "--sizes=big"), "--sizes: big is out of range; use an integer"),
    (None, ("--sizes=400000",), "sizes=400000 makes more than 65,536 patches"),
    (None, ("data.limt=5",), "data.limt is no setting; did you mean data.limit?"),
    (None, ("data.limit=0",), "data.limit=0 is out of range"),
    (None, ("data.path=a b=[",), "cannot be read: .*an unusual value in quotes twice"),
    (None, ("data=foldr",), "data=foldr is unknown; did you mean folder?"),
    (None, ("data=folder", "data.path=nowhere"), "data.path=nowhere is no folder"),
    (None, ("data.classes=[5,3,1]",), r"lacks 0, 2, 4, 6, 7 and 2 more"),
    (None, ("data.classes=[9,8,7,6,5,4,3,2,1,0]",), "has them in another order, 9, 8, 7, 6, 5"),
    (None, ("model.depth=3",), "model.depth is no setting"),
]


@pytest.mark.parametrize(("damage", "words", "message"), DAMAGES)
def test_what_cannot_be_evaluated_is_refused_before_keras(run, damage, words, message):
    if damage:
        damage(run)
    before = sorted(run.rglob("*"))
    with pytest.raises(SettingError, match=message):
        check(run, *words)
    assert [path for path in sorted(run.rglob("*")) if path.name != ".lock"] == before


def test_a_run_that_is_being_trained_is_left_alone(run):
    held = run_dir.Run(run)
    with pytest.raises(SettingError, match="is in use by another process"):
        check(run)
    held.close()
    check(run, "--sizes", 8, 16, "--data", "data.limit=100", "--images=5", "--output=elsewhere")


def test_a_damaged_model_leaves_nothing_behind(run):
    content = (run / "best.keras").read_bytes()
    (run / "best.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(SettingError, match=r"best.keras is damaged"):
        evaluate_run(run)
    assert not (run / "evaluation").exists()
    assert not (run / "temperature.json").exists()


def test_the_script_refuses_without_importing_keras(refusal):
    assert "is not a run" in refusal("nowhere", "--sizes=32", name="evaluate")


def test_the_script_evaluates(run, capsys, monkeypatch):
    import runpy

    script = runpy.run_path(str(SCRIPTS / "evaluate.py"))
    words = [str(run), "--images=5", "--data", "data.limit=60"]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *words])
    script["main"]()
    out = capsys.readouterr().out
    (folder,) = run.glob("evaluation-digits-*")  # a part of the run's data is not its data
    assert "Wilson), top-5 1.0000, loss" in out
    assert "WARNING: Not the data that the run was trained on. data.limit=60" in out
    assert out.endswith(f"report: {folder / 'report.html'}\nevaluation: {folder}\n")
