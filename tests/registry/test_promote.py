"""Register, promote, roll back and serve versions of a model, in a registry of this test."""

import json
import shutil
import threading

import onnx
import pytest
from fastapi.testclient import TestClient
from onnx import numpy_helper

pytest.importorskip("mlflow", reason="needs the extra `tracking`")

from helpers.exported_runs import exported_digits, skip_without_onnx
from helpers.waiting import until
from vit_keras import SettingError, open_run
from vit_keras.cli import promote as command
from vit_keras.evaluation.evaluate import evaluate_run
from vit_keras.export import current
from vit_keras.registry import promote
from vit_keras.registry.followed_model import FollowedModel
from vit_keras.registry.gate import Gate
from vit_keras.registry.models import RegisteredModels, find
from vit_keras.serving.app import create_app
from vit_keras.serving.options import ServiceOptions
from vit_keras.serving.served_model import ServedModel

skip_without_onnx()
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports

NAME = "digits"
ANY = Gate(max_latency_ratio=1e6)  # the time of a busy machine decides nothing here


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(a weak run, the released one), both evaluated and exported."""
    folder = tmp_path_factory.mktemp("runs")
    good = exported_digits(folder)
    (good / "abstention.npz").unlink()
    evaluate_run(good, images=10)
    promote.engines.open_engine(open_run(good), "onnx", 1)
    return weakened(good, folder / "weak"), good


def weakened(run, path):
    """A copy whose ONNX file has lost two classes."""
    shutil.copytree(run, path)
    folder = path / "export" / "onnx"
    model = onnx.load(folder / "model.onnx")
    biases = [t for t in model.graph.initializer if list(t.dims) == [10]]
    assert biases
    for tensor in biases:
        values = numpy_helper.to_array(tensor).copy()
        values[:2] -= 100
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, folder / "model.onnx")
    report = json.loads((folder / "export.json").read_text())
    file = folder / "model.onnx"
    report |= {"sha256": current.checksum(file), "bytes": file.stat().st_size}
    (folder / "export.json").write_text(json.dumps(report))
    return path


@pytest.fixture(scope="module")
def registry(runs, tmp_path_factory):
    """A registry in which the weak run was replaced by the good one, in steps."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}"
    weak, good = runs
    first, is_new = promote.register(weak, NAME, uri)
    assert (first.number, is_new) == ("1", True)
    models = RegisteredModels(uri)
    assert promote.promote(NAME, ANY, models).is_done  # there was none
    second, _ = promote.register(good, NAME, uri)
    assert second.number == "2"
    return models


def champion(models):
    return models.by_alias(NAME, "champion").number


def test_a_better_challenger_replaces_the_champion_and_can_be_rolled_back(registry, runs):
    weak, _ = runs
    dry = promote.promote(NAME, ANY, registry, is_dry=True)
    assert (dry.decision.passed, dry.is_done, champion(registry)) == (True, False, "1")
    strict = promote.promote(NAME, Gate(max_size_mb=0.001), registry)
    assert not strict.is_done
    kept = registry.by_number(NAME, "2").tags
    assert "at most 0.001 MB" in kept["gate.decision"]
    done = promote.promote(NAME, ANY, registry)
    assert (done.is_done, champion(registry)) == (True, "2")
    assert registry.by_alias(NAME, "challenger") is None
    assert registry.by_number(NAME, "2").tags["gate.decision"] == "promoted"
    figures = json.loads(registry.by_number(NAME, "2").tags["gate.figures"])
    assert any("better: 0.97" in one["figures"] for one in figures)
    version, is_new = promote.register(weak, NAME, registry.uri)  # the same package again
    assert (version.number, is_new) == ("1", False)
    refused = promote.promote(NAME, ANY, registry)
    assert not refused.is_done
    assert "worse: " in refused.decision.reason
    was, now = promote.rollback(NAME, registry)
    assert (was.number, now.number, champion(registry)) == ("2", "1", "1")
    with pytest.raises(SettingError, match="version 1 is its first champion"):
        promote.rollback(NAME, registry)


def test_the_package_is_served_without_the_run_and_has_no_pickle(registry, runs):
    folder = registry.download(registry.by_number(NAME, "2"))
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {
        *("README.md", "class_mapping.json", "temperature.json", "evaluation/evaluation.json"),
        *("export/onnx/model.onnx", "export/onnx/labels.txt", "package.json"),
    } <= names
    assert not [name for name in names if name.endswith((".keras", ".pkl", ".pickle", ".h5"))]
    card = (folder / "README.md").read_text()
    assert "| test accuracy | 0.9777 (95% interval" in card
    served = ServedModel(folder, version="digits version 2")
    assert (served.card.name, served.card.version) == ("digits", "digits version 2")
    for file in folder.rglob("labels.txt"):
        file.write_text("changed")  # in the cache: it is downloaded again
    again = registry.download(registry.by_number(NAME, "2"))
    assert "changed" not in (again / "export" / "onnx" / "labels.txt").read_text()


def test_a_service_follows_its_alias_without_a_failed_request(registry, runs):
    registry.set_alias(NAME, "champion", "1")
    address = f"models:/{NAME}@champion"
    followed = FollowedModel(
        registry.uri, address, lambda folder, v: ServedModel(folder, version=v)
    )
    app = create_app(followed.open(), ServiceOptions(refresh=0.05, queue=100), newer=followed.newer)
    image = next(iter(image_files()))
    statuses, is_over = [], threading.Event()
    with TestClient(app) as client:

        def ask():
            while not is_over.is_set():
                statuses.append(client.post("/predict", content=image).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        assert client.get("/model").json()["version"] == "digits version 1"
        registry.set_alias(NAME, "champion", "2")
        until(lambda: client.get("/model").json()["version"] == "digits version 2")
        before = len(statuses)
        until(lambda: len(statuses) > before + 3)
        is_over.set()
        asking.join()
    assert set(statuses) == {200}


def image_files():
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    for image in load_digits().images[:3]:
        file = io.BytesIO()
        Image.fromarray((image * 255 / 16).round().astype("uint8")).save(file, "PNG")
        yield file.getvalue()


def test_a_model_that_fails_its_check_is_not_served(runs):
    _, good = runs
    old, attempts = ServedModel(good, version="old"), []

    def newer():
        attempts.append(1)
        raise SettingError("version 3 cannot be served: not finite")

    app = create_app(old, ServiceOptions(refresh=0.02), newer=newer)
    with TestClient(app) as client:
        until(lambda: len(attempts) > 3)
        assert client.get("/model").json()["version"] == "old"
        assert client.post("/predict", content=next(iter(image_files()))).status_code == 200
        assert 'vit_keras_models_total{result="refused"} 1.0' in client.get("/metrics").text


BAD = {
    "models:/digits": "is no address of a registered model; use models:/name@champion",
    "models:/other@champion": "name=other is no registered model",
    "models:/digits@nobody": "points at nothing",
    "models:/digits/99": "has no version 99",
}


@pytest.mark.parametrize("address", BAD)
def test_an_address_that_points_at_nothing_is_one_line(address, registry):
    with pytest.raises(SettingError) as refused:
        find(registry, address)
    assert BAD[address] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_run_that_was_not_evaluated_is_not_registered(runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "run")
    shutil.rmtree(run / "evaluation")
    with pytest.raises(SettingError, match=r"was not evaluated.*vit-keras evaluate"):
        promote.register(run, NAME, f"sqlite:///{tmp_path / 'a.db'}")


def test_the_command_refuses_with_the_figure_and_a_status(registry, tmp_path, capsys):
    registry.set_alias(NAME, "champion", "2")
    registry.set_alias(NAME, "challenger", "1")
    parser = command.arguments.build_parser("promote", command.add_arguments)
    settings = parser.parse_args([NAME, "--uri", registry.uri, "--dry-run"])
    command.check(settings)
    with pytest.raises(SystemExit) as ended:
        command.promote(settings)
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "paired test" in said.out
    assert "digits version 1 is refused: " in said.err
    assert "worse: " in said.err
