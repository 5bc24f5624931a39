"""Callback: tells the process that sends a run to MLflow that an epoch has ended."""

import keras

from vit_keras.tracking.follow import Follower


class Tracking(keras.callbacks.Callback):
    """The last of the callbacks: by then the epoch is in `history.csv` and in the checkpoint."""

    def __init__(self, follower: Follower) -> None:
        super().__init__()
        self.follower = follower

    def on_epoch_end(self, epoch, logs=None):
        self.follower.epoch_ended()
