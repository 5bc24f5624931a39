"""The bodies and the refusals of a prediction, as OpenAPI describes them."""

from typing import Any

from vit_keras.serving.answers import Problem
from vit_keras.serving.bodies import BYTES, FORM, JSON

_TEXTS = {
    400: "The body is malformed.",
    401: "The token is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many images.",
    415: "The body is of a type that is not read.",
    422: "There is no image, none can be read, or a parameter is wrong.",
    503: "Too many requests wait; try again after Retry-After seconds.",
}
AGAIN = {"description": "seconds until the client comes again", "schema": {"type": "integer"}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text} for status, text in _TEXTS.items()
}
PROBLEMS[503]["headers"] = {"Retry-After": AGAIN}
# The same of a route whose other answers are plain text.
NO_TOKEN: dict[str, Any] = {
    "description": _TEXTS[401],
    "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
}
IMAGE = {"type": "string", "format": "binary"}
BASE64 = {"type": "string", "contentEncoding": "base64"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "minItems": 1, "items": IMAGE}},
                }
            },
            BYTES: {"schema": IMAGE},
            "image/*": {"schema": IMAGE},
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "anyOf": [BASE64, {"type": "array", "minItems": 1, "items": BASE64}]
                        }
                    },
                },
                "example": {"images": ["iVBORw0KGgo..."]},
            },
        },
    }
}
