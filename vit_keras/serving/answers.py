"""What a service sends back, as its OpenAPI description has it."""

from typing import Any

from pydantic import BaseModel, Field

from vit_keras.predict.decisions import Decision
from vit_keras.predict.predictor import Candidate, Prediction
from vit_keras.predict.reader import Unreadable


class ClassProbability(BaseModel):
    """A class with its probability."""

    label: str = Field(examples=["daisy"])
    index: int = Field(description="of the class; two may have the same name", examples=[3])
    confidence: float = Field(description="probability, calibrated", examples=[0.93])


class Abstention(BaseModel):
    """Whether to use a prediction, at the coverage of the service."""

    abstain: bool
    reason: str = Field(description="why it abstains; empty if it does not")
    classes: list[str] = Field(description="the conformal set, the most probable first")
    ood_percentile: float = Field(
        description="percentage of validation images that are no more unlike the training images"
    )


class ImageAnswer(BaseModel):
    """What was found in one image, or why it cannot be read."""

    image: str = Field(description="name of the file, or its place", examples=["flower.jpg"])
    top: list[ClassProbability] = Field(
        default=[], description="the most probable classes, in order"
    )
    labels: list[ClassProbability] | None = Field(
        default=None, description="of a model of several labels: those above their thresholds"
    )
    decision: Abstention | None = None
    error: str | None = Field(default=None, description="why the image cannot be read")


class Answer(BaseModel):
    """An entry for each image, in the order of the request."""

    predictions: list[ImageAnswer]


class Problem(BaseModel):
    """Why a request was not answered, in one sentence."""

    error: str = Field(examples=["the body is no JSON"])


class Card(BaseModel):
    """What is served."""

    name: str
    version: str | None = Field(
        default=None, description="of a registered model", examples=["signs version 3"]
    )
    classes: list[str]
    input_shape: list[int] = Field(description="height, width and channels of the model's input")
    format: str = Field(description="onnx, or onnx_int8 with weights of 8 bits")
    decision: str = Field(description="how confidences are calibrated, or labels chosen")
    coverage: float | None = Field(description="of the conformal sets; null without abstention")
    metrics: dict[str, Any] = Field(description="of the test images after training")
    model_fingerprint: str | None = Field(description="of the architecture and the weights")


def answer_of(result: Prediction | Unreadable) -> ImageAnswer:
    """The entry of one image."""
    if isinstance(result, Unreadable):
        return ImageAnswer(image=result.source, error=result.reason)
    labels = None if result.labels is None else [_probability(one) for one in result.labels]
    return ImageAnswer(
        image=result.source,
        top=[_probability(one) for one in result.top],
        labels=labels,
        decision=None if result.decision is None else _abstention(result.decision),
    )


def _probability(one: Candidate) -> ClassProbability:
    return ClassProbability(label=one.label, index=one.index, confidence=one.confidence)


def _abstention(decision: Decision) -> Abstention:
    return Abstention(
        abstain=decision.abstain,
        reason=decision.reason,
        classes=list(decision.classes),
        ood_percentile=decision.ood_percentile,
    )
