"""Requests made of the OpenAPI description, right and wrong ones: the answers are as it says."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

from schemathesis import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    negative_data_rejection,
    positive_data_acceptance,
)

from helpers.exported_runs import skip_without_onnx  # noqa: E402
from vit_keras.serving.app import create_app  # noqa: E402
from vit_keras.serving.options import ServiceOptions  # noqa: E402
from vit_keras.serving.served_model import ServedModel  # noqa: E402

skip_without_onnx()

TOKEN = "secret"
EXAMPLES = settings(
    max_examples=10,
    phases=[Phase.generate],  # a failure is short enough as it is
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
OPERATIONS = [
    ("/predict", "POST"),
    ("/model", "GET"),
    ("/metrics", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
]


@pytest.fixture(scope="module")
def description(served_run):
    model = ServedModel(served_run, max_megapixels=1)
    app = create_app(model, ServiceOptions(max_images=12, max_megabytes=1), TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)


# A probe has nothing that could be wrong.
@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [(*one, GenerationMode.POSITIVE) for one in OPERATIONS]
    + [(*one, GenerationMode.NEGATIVE) for one in OPERATIONS[:3]],
)
def test_answers_are_as_they_are_described(description, path, method, mode):
    @given(case=description[path][method].as_strategy(generation_mode=mode))
    @settings(EXAMPLES)
    def check(case):
        # Few of the texts that the description allows are images: most are rightly refused. And
        # parameters that nobody knows are left alone.
        left_out = [positive_data_acceptance, negative_data_rejection]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        case.call_and_validate(headers=headers, excluded_checks=left_out)

    check()


def test_all_addresses_are_described(description):
    found = {(one.ok().path, one.ok().method.upper()) for one in description.get_all_operations()}
    assert found == set(OPERATIONS)
