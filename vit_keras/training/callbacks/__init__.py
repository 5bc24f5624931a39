"""Keras callbacks of a training: history, checkpoints, early stops and sample predictions."""
