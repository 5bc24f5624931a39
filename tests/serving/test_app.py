"""A service's answers: those of the predictor, and one sentence for whatever cannot be answered."""

import base64
import io
import json
import threading
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sklearn.datasets import load_digits

from helpers.exported_runs import skip_without_onnx
from helpers.waiting import PATIENCE
from vit_keras.errors import SettingError
from vit_keras.predict.predictor import Predictor
from vit_keras.serving.app import create_app
from vit_keras.serving.options import ServiceOptions
from vit_keras.serving.served_model import ServedModel

skip_without_onnx()

TOKEN = "a long secret"


def png(array, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format)
    return file.getvalue()


IMAGES = [png((image * 255 / 16).round().astype("uint8")) for image in load_digits().images[:12]]


@pytest.fixture(scope="module")
def model(served_run):
    return ServedModel(served_run, max_megapixels=1)


@pytest.fixture
def client(model):
    with TestClient(create_app(model, ServiceOptions(max_images=12, max_megabytes=1))) as client:
        yield client


def form(*files):
    return [("images", (f"{number}.png", file)) for number, file in enumerate(files)]


def as_json(*files):
    return {"images": [base64.b64encode(file).decode() for file in files]}


def labels(response):
    assert response.status_code == 200, response.text
    return [one["top"][0]["label"] for one in response.json()["predictions"]]


def test_every_kind_of_body_gives_the_predictions_of_the_run(client, model):
    expected = model.predictor.predict(IMAGES, top_k=2)
    of_form = client.post("/predict?top_k=2", files=form(*IMAGES))
    of_json = client.post("/predict?top_k=2", json=as_json(*IMAGES))
    for response in (of_form, of_json):
        for answer, prediction in zip(response.json()["predictions"], expected, strict=True):
            assert [one["index"] for one in answer["top"]] == [one.index for one in prediction.top]
            found = [one["confidence"] for one in answer["top"]]
            assert found == pytest.approx([one.confidence for one in prediction.top], abs=1e-6)
    assert of_form.json()["predictions"][3]["image"] == "3.png"
    for kind in ("image/png", "application/octet-stream"):
        alone = client.post("/predict", content=IMAGES[5], headers={"content-type": kind})
        assert labels(alone) == [expected[5].label]
    url = "data:image/png;base64," + base64.b64encode(IMAGES[5]).decode()
    assert labels(client.post("/predict", json={"images": url})) == [expected[5].label]


def test_an_image_that_cannot_be_read_does_not_stop_the_others(client):
    response = client.post("/predict", files=form(IMAGES[0], b"no image", IMAGES[1][:60]))
    assert response.status_code == 200
    first, second, third = response.json()["predictions"]
    assert first["error"] is None
    assert second == {**second, "image": "1.png", "top": []}
    assert "no image" in second["error"]
    assert "damaged" in third["error"]


BAD = {
    "no image": (dict(content=b"no image"), 422, "no image"),
    "empty": (dict(content=b""), 422, "no image; send multipart"),
    "several that are none": (dict(files=form(b"x", b"y")), 422, "none of 2 images"),
    "another type": (
        dict(content=b"<a/>", headers={"content-type": "text/xml"}),
        415,
        "'text/xml' is not read",
    ),
    "no JSON": (dict(content=b"{", headers={"content-type": "application/json"}), 400, "no JSON"),
    "deep JSON": (
        dict(content=b"[" * 100_000, headers={"content-type": "application/json"}),
        400,
        "no JSON",
    ),
    "other JSON": (dict(json={"images": [1]}), 422, "files in base64"),
    "a JSON list": (dict(json=[]), 422, "files in base64"),
    "no base64": (dict(json={"images": ["%%"]}), 422, "images[0] is not base64"),
    "no images": (dict(json={"images": []}), 422, "has no image"),
    "too many": (dict(files=form(*IMAGES, IMAGES[0])), 413, "more than 12 images"),
    "too many in JSON": (dict(json=as_json(*IMAGES, IMAGES[0])), 413, "more than 12 images"),
    "too large": (dict(content=b"0" * 1_000_001), 413, "larger than 1 MB"),
    "a form without its boundary": (
        dict(content=b"x", headers={"content-type": "multipart/form-data"}),
        400,
        "form cannot be read",
    ),
    "a form that is cut off": (
        dict(content=b"--b", headers={"content-type": "multipart/form-data; boundary=b"}),
        400,
        "its end is missing",
    ),
    "too many pixels": (
        dict(content=png(np.zeros((1001, 1000), "uint8"))),
        422,
        "too large for this service: 1000x1001 pixels, 1 million",
    ),
    "a wrong number": (dict(params={"top_k": 0}, content=IMAGES[0]), 422, "top_k: "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_get_a_status_and_one_sentence(client, name):
    request, status, message = BAD[name]
    response = client.post("/predict", **request)
    assert response.status_code == status, response.text
    (problem,) = response.json().values()
    assert list(response.json()) == ["error"]
    assert message in problem
    assert "\n" not in problem
    assert "Traceback" not in problem
    assert labels(client.post("/predict", content=IMAGES[0]))  # and the service goes on


def test_unknown_addresses_and_methods_are_refused_in_the_same_form(client):
    for response, status in ((client.get("/nowhere"), 404), (client.get("/predict"), 405)):
        assert response.status_code == status
        assert list(response.json()) == ["error"]


def test_an_error_of_the_service_is_not_shown(model, monkeypatch):
    def fail(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(model, "classify", fail)
    app = create_app(model, ServiceOptions())
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post("/predict", content=IMAGES[0], headers={"x-request-id": "mine"})
    assert response.status_code == 500
    assert response.json() == {"error": "an error of the service; its log has it as mine"}


def test_a_token_is_asked_for_everywhere_but_by_probes_and_the_page(model):
    with TestClient(create_app(model, ServiceOptions(), TOKEN)) as client:
        for path in ("/", "/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            for path in ("/model", "/metrics", "/openapi.json"):
                assert client.get(path, headers=headers).status_code == 401
            refused = client.post("/predict", content=IMAGES[0], headers=headers)
            assert (refused.status_code, list(refused.json())) == (401, ["error"])
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert labels(client.post("/predict", content=IMAGES[0], headers=headers))


def test_the_card_names_what_is_served_and_no_path(client, model):
    card = client.get("/model").json()
    assert card["classes"] == [str(digit) for digit in range(10)]
    assert (card["name"], card["format"], card["input_shape"]) == ("digits", "onnx", [8, 8, 1])
    assert card["metrics"]["test_accuracy"] == model.predictor.run.metrics["test_accuracy"]
    assert str(model.predictor.run.path.parent) not in json.dumps(card)


def test_metrics_count_requests_and_predicted_classes(client):
    (first,) = labels(client.post("/predict", content=IMAGES[0]))
    client.post("/predict", content=b"no image")
    client.get("/invented/by/somebody")
    text = client.get("/metrics").text
    assert f'vit_keras_images_total{{result="class {first}"}} 1.0' in text
    assert 'vit_keras_images_total{result="unreadable"} 1.0' in text
    assert 'vit_keras_requests_total{path="/predict",status="200"} 1.0' in text
    assert 'vit_keras_requests_total{path="other",status="404"} 1.0' in text


def test_a_request_keeps_its_id_if_it_is_harmless(client):
    for given, is_kept in (("job-7", True), ("a b", False), ("x" * 65, False)):
        answered = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
        assert (answered == given) is is_kept


def test_a_coverage_says_whether_to_abstain(model):
    run = model.predictor.run.path
    served = ServedModel(run, coverage=0.9)
    with TestClient(create_app(served, ServiceOptions())) as client:
        answers = client.post("/predict", files=form(*IMAGES)).json()["predictions"]
        assert client.get("/model").json()["coverage"] == 0.9
    expected = Predictor(run, engine="onnx").predict(IMAGES, coverage=0.9)
    assert [one["decision"]["abstain"] for one in answers] == [e.decision.abstain for e in expected]
    with pytest.raises(SettingError, match=r"coverage=0.9 needs OOD scores"):
        ServedModel(run, "onnx_int8", coverage=0.9)


def test_an_overload_is_turned_away_at_once_and_the_rest_is_answered(model, monkeypatch):
    released, classify = threading.Event(), model.classify

    def slowly(*arguments):
        released.wait(PATIENCE)
        return classify(*arguments)

    monkeypatch.setattr(model, "classify", slowly)
    options = ServiceOptions(workers=1, queue=2)
    statuses = []
    with TestClient(create_app(model, options)) as client:

        def post():
            response = client.post("/predict", content=IMAGES[0])
            statuses.append(response.status_code)
            if response.status_code == 503:
                assert response.headers["Retry-After"] == "1"

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(statuses) < 5:  # one is computed and two wait: these are refused at once
            time.sleep(0.01)
        assert client.get("/healthz").status_code == 200
        released.set()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200] * 3 + [503] * 5


def test_a_worker_that_is_not_free_in_time(model, monkeypatch):
    classify = model.classify
    monkeypatch.setattr(model, "classify", lambda *words: time.sleep(1) or classify(*words))
    with TestClient(create_app(model, ServiceOptions(workers=1, queue=2, timeout=0.2))) as client:
        first = threading.Thread(target=lambda: client.post("/predict", content=IMAGES[0]))
        first.start()
        while "vit_keras_running 1.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        late = client.post("/predict", content=IMAGES[0])
        first.join()
    assert (late.status_code, "no worker was free within 0.2 s" in late.text) == (503, True)


def test_openapi_describes_what_is_sent_and_answered(client):
    description = client.get("/openapi.json").json()
    predict = description["paths"]["/predict"]["post"]
    kinds = set(predict["requestBody"]["content"])
    assert kinds == {
        "multipart/form-data",
        "application/octet-stream",
        "image/*",
        "application/json",
    }
    assert {"200", "400", "401", "413", "415", "422", "503"} <= set(predict["responses"])
