"""Mutated files of every format: no crash, no hang, no gigabyte; refused, reported or unchanged."""

import json
import subprocess
import sys

import pytest

from helpers.decoder_fuzz import FORMATS
from helpers.paths import ROOT

FEW, MANY = 40, 2000
SECONDS, MEGABYTES = 2, 1000


def fuzz(name, count):
    """What became of so many files; a crash of the decoder ends its process."""
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""}
    words = [sys.executable, "-m", "helpers.decoder_fuzz", name, str(count)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, f"{name}: {done.returncode} {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def check(found, count):
    assert sum(found[key] for key in ("refused", "in the report", "equal", "changed")) == count
    assert found["seconds"] < SECONDS
    assert found["megabytes"] < MEGABYTES


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "AVIF", "JPEG2000", "HEIF"])
def test_some_mutated_files_do_no_harm(name):
    if name == "HEIF":
        pytest.importorskip("pillow_heif")
    check(fuzz(name, FEW), FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_mutated_files_do_no_harm(name, capsys):
    if name == "HEIF":
        pytest.importorskip("pillow_heif")
    found = fuzz(name, MANY)
    with capsys.disabled():
        print(f"\n{json.dumps(found)}")
    check(found, MANY)
