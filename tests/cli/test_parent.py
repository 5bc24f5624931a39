"""A job of a sweep does not outlive the process that started it."""

import os
import subprocess
import sys

import pytest

from helpers.waiting import until

STARTS_A_JOB = """
import subprocess, sys
from vit_keras.cli import parent

job = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=parent.environment())
print(job.pid, flush=True)
job.wait()
"""
JOB = """
import time
from vit_keras.cli import parent

parent.end_with_parent()
print("ready", flush=True)
time.sleep(600)
"""


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl(2)")


def test_a_job_ends_when_its_parent_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_JOB, JOB], stdout=subprocess.PIPE, text=True
    ) as starter:
        job = int(starter.stdout.readline())
        assert starter.stdout.readline() == "ready\n"
        starter.kill()
        starter.stdout.read()  # until the job has closed it as well
    until(lambda: not is_running(job))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_job_whose_parent_is_gone_does_not_begin():
    environment = {**os.environ, "VIT_KERAS_PARENT": "1"}
    done = subprocess.run([sys.executable, "-c", JOB], env=environment, capture_output=True)
    assert done.returncode == 143
