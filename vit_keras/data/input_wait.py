"""How long the training waits for data: by the clock, in each epoch."""

import time
from collections.abc import Callable
from typing import Any

import keras


class DataWait(keras.callbacks.Callback):
    """The share of an epoch's training in which a batch was asked for and not there.

    Where batches are made ready ahead in a thread (TensorFlow), batch i was waited for from the
    moment that the training came to it until it was made, if that is later: inside the
    compiled step nothing else shows. Where the training makes them itself (JAX), all time for
    it is waited. On a GPU, which works on while the next batch is asked for, it is the most
    that can have been lost.

    Attributes:
        share: of the epoch so far, from 0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[float, float]] = {}  # of batches to come: begun, given
        self.is_ahead, self.taken = True, 0
        self.started = self.asked = self.ended = self.waited = 0.0

    def timed_loader(self, load: Callable[[int], Any], is_ahead: bool) -> Callable[[int], Any]:
        """`load`, which notes when it made each batch; from batch 0 on anew."""
        self.is_ahead = is_ahead
        made = self.made = {}

        def watched(number: int) -> Any:
            if not number:
                self.taken = 0
            begun = time.perf_counter()
            batch = load(number)
            made[number] = begun, time.perf_counter()
            return batch

        return watched

    def on_epoch_begin(self, epoch, logs=None):
        self.started = self.ended = time.perf_counter()
        self.waited = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.asked = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.ended = time.perf_counter()
        if self.is_ahead:
            begun, given = self.made.pop(self.taken)
            self.taken += 1
            # The first batch is begun when the step, once compiled, reads it: later than asked.
            self.waited += max(0.0, given - max(begun, self.asked))
            return
        for begun, given in self.made.values():  # one, or two where Keras looks ahead
            if begun >= self.started:
                self.waited += given - begun
        self.made.clear()

    @property
    def share(self) -> float:
        return self.waited / (self.ended - self.started) if self.ended > self.started else 0.0
