"""Shared by all benchmarks: the command line with its smoke mode, and median ratios."""

import argparse
import importlib.util
import math
import os
import platform
import statistics
import sys


def parse_arguments(parser, **smallest):
    """Parse the command line; with `--smoke`, `smallest` replaces the defaults of its options."""
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="smallest sizes: only checks in seconds that the benchmark runs",
    )
    if "--smoke" in sys.argv[1:]:
        parser.set_defaults(**smallest)
    return parser.parse_args()


def argument_parser(description):
    """An argument parser described by the first line of `description`."""
    return argparse.ArgumentParser(description=description.splitlines()[0])


def median_ratio(ours, theirs):
    """The median over rounds of ours / theirs, two lists with one figure per round.

    Raises:
        ValueError: the median is not a positive number, so a measurement failed.
    """
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    if not (math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"{ours} / {theirs}: the median ratio {ratio} is not a positive number")
    return ratio


def is_installed(package):
    """Whether the package of a peer is installed; print a line if it is not."""
    if importlib.util.find_spec(package):
        return True
    print(f"{package} is not installed: not measured", flush=True)
    return False


def machine():
    """The processor and the number of its cores, to be kept with the figures."""
    return {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
