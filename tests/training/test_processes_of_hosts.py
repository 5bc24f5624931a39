"""Two processes on two hosts, which are network namespaces of this machine (ip-netns(8))."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from vit_keras.training.collectives import reachable_address

ADDRESSES = ("10.77.41.1", "10.77.41.2")
PORT = 1234
SMALL = [
    "data.limit=100",
    "model.depth=1",
    "optim=adamw",
    "train.batch_size=10",
    "train.epochs=100",
]
ENDS_WITHIN = 60  # seconds after the link was cut


def ip(words):
    return subprocess.run(["ip", *words.split()], capture_output=True, check=True)


@pytest.fixture
def hosts():
    """The names of two network namespaces that are joined by a link."""
    names = [f"vk-{os.getpid()}-{number}" for number in range(2)]
    try:
        ip(f"netns add {names[0]}")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs iproute2, and the right to make network namespaces")
    try:
        ip(f"netns add {names[1]}")
        ip(f"-n {names[0]} link add host0 type veth peer name host0 netns {names[1]}")
        for name, address in zip(names, ADDRESSES, strict=True):
            ip(f"-n {name} addr add {address}/24 dev host0")
            ip(f"-n {name} link set host0 up")
            ip(f"-n {name} link set lo up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def start(host, number, run):
    words = (
        *SMALL,
        f"run.dir={run}",
        "distribute.processes=2",
        f"distribute.process_id={number}",
        f"distribute.coordinator={ADDRESSES[0]}:{PORT}",
    )
    return subprocess.Popen(
        ["ip", "netns", "exec", host, sys.executable, "-m", "vit_keras", "train", *words],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_link_that_is_cut_ends_both_and_the_log_says_how_to_go_on(hosts, tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    run = tmp_path / "run"
    pair = [start(host, number, run) for number, host in enumerate(hosts)]
    try:
        while not (run / "checkpoint" / "epoch-00001.npz").exists():
            ended = [process for process in pair if process.poll() is not None]
            assert not ended, ended[0].communicate()[0]
            time.sleep(0.1)
        ip(f"-n {hosts[0]} link set host0 down")
        cut = time.monotonic()
        printed = [process.communicate(timeout=ENDS_WITHIN)[0] for process in pair]
        print(f"both ended {time.monotonic() - cut:.1f} s after the link was cut")
    finally:
        for process in pair:
            process.send_signal(signal.SIGKILL)
    assert all(process.returncode for process in pair)
    assert "unhealthy (stopped sending heartbeats):\n1" in printed[0]
    log = (run / "train.log").read_text()
    assert f"if one is lost, run.resume={run} goes on" in log
    assert not (run / "metrics.json").exists()


@pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")
def test_an_address_that_other_machines_reach_is_looked_for_where_the_name_has_none(monkeypatch):
    assert reachable_address("127.0.0.1:1234") is None
    routed = subprocess.run(["ip", "-4", "-o", "route", "get", "192.0.2.1"], capture_output=True)
    if routed.returncode:
        pytest.skip("needs a network interface")
    own = routed.stdout.decode().split(" src ")[1].split()[0]
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    assert reachable_address("192.0.2.1:1234") == own
    monkeypatch.setattr("socket.gethostname", lambda: "no such host")
    assert reachable_address("192.0.2.1:1234") == own
    monkeypatch.setattr("socket.gethostname", lambda: own)
    assert reachable_address("192.0.2.1:1234") is None
