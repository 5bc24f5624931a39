"""Evaluation of a run: metrics, calibration, robustness, and a report of them."""
