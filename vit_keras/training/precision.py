"""Mixed precision: the Keras dtype policy that `train.precision` means on this machine."""

from typing import NamedTuple

import keras


class Precision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: str
    reason: str


def resolve_precision(asked: str) -> Precision:
    """The dtype policy for `train.precision`; `auto` chooses one for this machine."""
    if asked != "auto":
        return Precision(asked, "as train.precision asks")
    capability = _compute_capability()
    if capability is None:
        return Precision("float32", "no GPU: half precision is emulated or slower on most CPUs")
    name = f"GPU of compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return Precision("mixed_bfloat16", f"{name}: bfloat16 in hardware, no loss scaling needed")
    return Precision("mixed_float16", f"{name}: float16 in hardware, with loss scaling")


def _compute_capability() -> tuple[int, int] | None:
    """The compute capability of the backend's first GPU; None without one."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
        return details.get("compute_capability", (0, 0)) if gpus else None
    import jax

    device = jax.devices()[0]
    if device.platform != "gpu":
        return None
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)
