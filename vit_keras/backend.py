"""The Keras backend: silent start-up and devices."""

import contextlib
import hashlib
import logging
import os
import platform
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from vit_keras.cache import cache_folder
from vit_keras.lean_import import lean_import

# What TensorFlow's C++ code prints on a machine without a GPU. TF_CPP_MIN_LOG_LEVEL does not
# silence these lines: they are written while the library loads, before its logging is set up.
EXPECTED = re.compile(
    r"WARNING: All log messages before absl::InitializeLog"
    r"|I0000 .*(oneDNN custom operations are on|Could not find cuda drivers)"
    r"|E0000 .*failed call to cuInit"
)
JAX_CACHE_BYTES = 2**30  # the steps that were used last
# What TFDS logs about its own code whenever it decodes a part of the features of a data set.
TFDS_WARNING = "`FeatureConnector.dtype` is deprecated"


_importing = threading.Lock()
_is_imported = False
_is_lean = False


def leave_out_unused() -> None:
    """Have Keras imported without the packages that only other programs use with it.

    For a process that executes one of our commands, before `import_keras`.
    """
    global _is_lean
    _is_lean = True


def import_keras() -> None:
    """Import Keras and find the devices, without the expected lines on standard error.

    Once; a second thread waits until it is done.
    """
    global _is_imported
    with _importing:
        if not _is_imported:
            with lean_import() if _is_lean else contextlib.nullcontext():
                _import_keras()
            _is_imported = True


def _import_keras() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no XLA and CPU feature notes later on
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                tf.config.list_physical_devices()
            elif keras.backend.backend() == "jax":
                _keep_compiled_steps()
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not EXPECTED.match(line):
                    print(line, file=sys.stderr)
    # After the import: a logger created before absl is imported would not be of absl's class.
    logging.getLogger("absl").addFilter(_is_not_tfds_warning)


def _keep_compiled_steps() -> None:
    """Let JAX keep the steps that it compiles, unless it was told itself whether and where.

    They are computed by the same code as at first, so that results stay equal bit for bit.
    """
    import jax

    config: Any = jax.config  # whose attributes no type checker knows
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    try:
        folder = cache_folder() / "jax" / _processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that is read-only, or none
        return
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_compilation_cache_max_size", JAX_CACHE_BYTES)


def _processor() -> str:
    """A name for this kind of CPU: code that was compiled for another one may not run on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = ("model name", "flags", "Features")  # the last is that of ARM
    first = {line.partition("\t")[0]: line for line in lines if line.startswith(names)}
    text = f"{platform.machine()} {platform.processor()} {sorted(first.values())}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def has_gpu_device() -> bool:
    """Whether this process sees a GPU of NVIDIA or AMD; known without a backend's import."""
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    found = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")]
    return bool(found) and not is_hidden


def _is_not_tfds_warning(record: logging.LogRecord) -> bool:
    return TFDS_WARNING not in record.getMessage()


def devices() -> list[str]:
    """Names of the devices that the backend computes on."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return [detail.get("device_name", "GPU") for detail in details] or [_cpu()]
    import jax

    found = jax.devices()
    return [_cpu() if device.platform == "cpu" else device.device_kind for device in found]


def replicas() -> int:
    """Copies of a model that share each batch: of `keras.distribution`, or of `tf.distribute`."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    return distribution.num_model_replicas if distribution else 1


def devices_in_use() -> int:
    """Devices that share a training: its replicas, or more where a model is divided among some."""
    import keras

    if keras.backend.backend() == "tensorflow":
        return replicas()
    distribution = keras.distribution.distribution()
    return distribution.device_mesh.devices.size if distribution else 1


def process_count() -> int:
    """Processes that train together by `jax.distributed`; 1 for one that trains alone."""
    return _jax_processes()[0]


def process_index() -> int:
    """Number of this one of `process_count` processes, from 0."""
    return _jax_processes()[1]


def _jax_processes() -> tuple[int, int]:
    import keras

    if keras.backend.backend() != "jax":
        return 1, 0
    import jax

    # Only then: a look at the processes starts JAX's backend, after which none can join.
    if not jax.distributed.is_initialized():
        return 1, 0
    return jax.process_count(), jax.process_index()


def first_in_batch(images: Any) -> Any:
    """Index in the whole batch of the first image, (B, ...), that a training step was given.

    A step of JAX is given the whole batch; one in a replica of `tf.distribute` only its share.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or replicas() == 1:
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # None where variables are built outside of the replicas.
    return context.replica_id_in_sync_group * tf.shape(images)[0] if context else 0


def has_gpu() -> bool:
    """Whether the backend computes on a GPU."""
    import keras

    if keras.backend.backend() == "tensorflow":
        return has_tensorflow_gpu()
    import jax

    return jax.devices()[0].platform == "gpu"


def has_tensorflow_gpu() -> bool:
    """Whether the backend is TensorFlow, and has a GPU."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _cpu() -> str:
    return f"CPU {platform.machine()}"
