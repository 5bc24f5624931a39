"""Out of memory, in whatever words a backend reports it, as one line that says what takes less."""

import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from vit_keras.config.schema import Config
from vit_keras.errors import ResourceError, is_out_of_memory
from vit_keras.logs import log
from vit_keras.text import first_line


@contextmanager
def in_one_line(config: Config, is_loading: bool = False) -> Iterator[None]:
    """Raise what means that memory was missing as one line; the rest goes to `train.log`.

    Args:
        config: its settings are named.
        is_loading: images and model are being loaded, so that batches are not the cause.

    Raises:
        ResourceError: memory was missing.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.debug("%s", "".join(traceback.format_exception(error)))
        reason = textwrap.shorten(first_line(error), 120, placeholder=" ...")
        what, less = _advice_on_loading(config) if is_loading else _advice(config)
        raise ResourceError(
            f"{what} more memory than there is ({reason}); use {less}; vit-keras estimate tells "
            "how much memory a training takes"
        ) from None


def _advice(config: Config) -> tuple[str, str]:
    """What needs too much, and what needs less."""
    batch, accumulated = config.train.batch_size, config.optim.gradient_accumulation_steps
    less = "a smaller model or data.image_size"
    if batch == "auto":
        less = f"train.batch_size=32, or {less}"
    elif batch > 1:
        less = (
            f"train.batch_size={batch // 2} with optim.gradient_accumulation_steps="
            f"{accumulated * 2}, which updates the weights by as many images, or {less}"
        )
    return f"train.batch_size={batch} with this model needs", less


def _advice_on_loading(config: Config) -> tuple[str, str]:
    less = "a smaller data.image_size, data.cache_mb, data.limit or model"
    return f"the images of data.name={config.data.name} and the model need", less
