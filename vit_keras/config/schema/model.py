"""The settings `model.*`, made from the fields of `Architecture`."""

import typing
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from vit_keras.model.architecture import RATES, VARIANTS, Architecture
from vit_keras.validators import field_types, setting


def _model_options() -> list[tuple[str, Any, Any]]:
    """Each field of `Architecture` as a setting: (name, type, field).

    A setting is None where the variant or the pretrained file decides; rates have a default, which
    no variant changes. OmegaConf has no type for "a number or a list of numbers".
    """
    options = []
    for item in fields(Architecture):
        kind, _ = field_types(Architecture)[item.name]
        is_rate = item.name in RATES
        if kind in (int, float, str, bool):
            kind = kind if is_rate else typing.Optional[kind]  # noqa: UP045
        else:
            kind = Any
        default = item.default if is_rate else None
        options.append((item.name, kind, field(default=default, metadata=item.metadata)))
    return options


_VARIANT = setting(
    None,
    "A known architecture; unless set, every size has to be set.",
    choices=VARIANTS,
    label="Known architecture",
    unset="none",
)
_ModelOptions: Any = make_dataclass(
    "_ModelOptions",
    [("variant", typing.Optional[str], _VARIANT), *_model_options()],  # noqa: UP045
)


@dataclass
class ModelConfig(_ModelOptions):
    """Which ViT: a variant, and the options of `Architecture` that differ from it.

    None is as the pretrained file has it, or else the variant, or else the paper.
    """
