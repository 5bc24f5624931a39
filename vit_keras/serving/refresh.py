"""Replace the model of a running service where its alias points at another version."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vit_keras.serving.served_model import ServedModel
from vit_keras.serving.service_metrics import ServiceMetrics
from vit_keras.text import now

# Opens, checks and returns the model that is to be served from now on; None if it is served.
Newer = Callable[[], ServedModel | None]
log = logging.getLogger("vit_keras.serving")


class CurrentModel:
    """What is served now.

    A request takes `model` once and keeps it to its end, so that none is dropped by a replacement.

    Attributes:
        model: which may be another one at the next look.
    """

    def __init__(self, model: ServedModel) -> None:
        self.model = model

    async def refresh(self, newer: Newer, seconds: float, metrics: ServiceMetrics) -> None:
        """Look for a newer model again and again, in a thread; one that fails is not served."""
        loop, reported = asyncio.get_running_loop(), ""
        with ThreadPoolExecutor(1, thread_name_prefix="refresh") as pool:
            while True:
                await asyncio.sleep(seconds)
                try:
                    found = await loop.run_in_executor(pool, newer)
                except Exception as error:  # of whatever kind: the old model goes on
                    if str(error) != reported:
                        metrics.replacements.labels("refused").inc()
                        _report("refused", str(error))
                    reported = str(error)
                    continue
                reported = ""
                if found is not None:
                    self.model = found
                    metrics.replacements.labels("served").inc()
                    _report("served", found.card.version or "")


def _report(event: str, text: str) -> None:
    log.info("%s", json.dumps({"time": now(), "model": event, "message": text}))
