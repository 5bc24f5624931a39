"""What every benchmark has: a smoke mode on its command line, and ratios over rounds."""

import argparse
import importlib.util
import math
import statistics
import sys


def parse(parser, **smallest):
    """The command line; `--smoke` makes `smallest` the defaults of the options that it names."""
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest sizes: seconds, to see that it runs"
    )
    if "--smoke" in sys.argv[1:]:
        parser.set_defaults(**smallest)
    return parser.parse_args()


def parser(description):
    return argparse.ArgumentParser(description=description.splitlines()[0])


def median_ratio(ours, theirs):
    """The median over rounds of ours / theirs, two lists of figures of the same rounds.

    Raises:
        ValueError: it is no positive number, so something was not measured.
    """
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    if not (math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"{ours} / {theirs}, by rounds: {ratio} is no ratio of two speeds")
    return ratio


def is_installed(package):
    """Whether a peer can be measured; says so where it cannot."""
    if importlib.util.find_spec(package):
        return True
    print(f"{package} is not installed: not measured", flush=True)
    return False
