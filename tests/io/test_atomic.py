"""Atomic writes leave either the earlier file or folder or the complete new one."""

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vit_keras.io import atomic


def write_folder(folder, text, mark="mark.json"):
    with atomic.atomic_folder(folder, mark) as new:
        for name in ("mark.json", "a.txt", "b.txt"):
            (new / name).write_text(text)


def texts(folder):
    return {file.read_text() for file in folder.iterdir()}


@pytest.fixture
def small_disk():
    """Files of 1000 bytes at most, as on a disk that is full after them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_on_a_full_disk_stays_as_it_was(tmp_path, small_disk):
    atomic.write_text(tmp_path / "notes.json", "earlier")
    with pytest.raises(OSError, match="large"):
        atomic.write_text(tmp_path / "notes.json", "x" * 5000)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.json"]
    assert (tmp_path / "notes.json").read_text() == "earlier"


def test_a_folder_on_a_full_disk_stays_as_it_was(tmp_path, small_disk):
    write_folder(tmp_path / "results", "earlier")
    with pytest.raises(OSError, match="large"):
        write_folder(tmp_path / "results", "x" * 5000)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert texts(tmp_path / "results") == {"earlier"}


def test_a_disk_that_is_full_only_when_flushed_leaves_the_earlier_file(tmp_path, monkeypatch):
    atomic.write_text(tmp_path / "notes.json", "earlier")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(tmp_path / "notes.json", "later")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]


@pytest.mark.parametrize(("flush", "flushed"), [(True, 1), (False, 0)])
def test_a_file_is_flushed_before_it_is_renamed(flush, flushed, tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(os, "fsync", lambda _: names.extend(p.name for p in tmp_path.iterdir()))
    atomic.write_text(tmp_path / "notes.json", "text", flush=flush)
    assert len(names) == flushed
    assert all(name.startswith(".new-") for name in names)


def test_ctrl_c_in_the_middle_leaves_nothing_new(tmp_path):
    def interrupted(write, target):
        with write(target) as new:
            (new if write is atomic.atomic_file else new / "a.txt").write_text("half")
            raise KeyboardInterrupt

    for write in (atomic.atomic_file, atomic.atomic_folder):
        with pytest.raises(KeyboardInterrupt):
            interrupted(write, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_without_a_mark(tmp_path):
    """What another program put there meanwhile stays; an empty folder gives way."""
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", "new", mark=None)
    assert texts(tmp_path / "empty") == {"new"}
    with pytest.raises(OSError, match="not empty"):
        write_folder(tmp_path / "empty", "newer", mark=None)
    assert texts(tmp_path / "empty") == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_files_and_folders_have_the_usual_permissions(tmp_path):
    """Others may read them, as far as the umask allows: not those of `tempfile`."""
    before = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "file", "text")
        write_folder(tmp_path / "folder", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_of_concurrent_writers_of_a_file_one_wins(tmp_path):
    def write(number):
        atomic.write_text(tmp_path / "notes.json", f"{number:04}" * 5000)
        return (tmp_path / "notes.json").read_text()

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(write, range(100)))
    assert all(text == text[:4] * 5000 for text in seen)  # never half of two
    assert [path.name for path in tmp_path.iterdir()] == ["notes.json"]


def test_of_concurrent_writers_of_a_folder_one_wins(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write_folder(tmp_path / "results", str(n)), range(100)))
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert len(list((tmp_path / "results").iterdir())) == 3
    assert len(texts(tmp_path / "results")) == 1


def test_a_folder_that_is_being_replaced_is_never_refused(tmp_path):
    """Between two renames it is not there, and what was listed may be another's, half removed."""
    stop = threading.Event()

    def replace():
        while not stop.is_set():
            write_folder(tmp_path / "results", "text")

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(replace) for _ in range(3)]
        try:
            for _ in range(3000):
                atomic.check_output_folder(tmp_path / "results", "mark.json")
        finally:
            stop.set()
    assert [writer.result() for writer in writers] == [None] * 3


KILLED = """
import sys, time
from pathlib import Path
from vit_keras.io import atomic
with atomic.atomic_file(Path(sys.argv[1]), shared=sys.argv[2] == "shared") as new:
    new.write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("shared", "left"), [("shared", 2), ("locked", 1)])
def test_a_killed_writer_leaves_the_earlier_file(shared, left, tmp_path):
    """What it had written is hidden; under a lock the next writer takes that name again."""
    target = tmp_path / "notes.json"
    atomic.write_text(target, "earlier")
    process = subprocess.Popen([sys.executable, "-c", KILLED, target, shared], stdout=-1)
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.communicate()
    assert target.read_text() == "earlier"
    (half,) = set(tmp_path.iterdir()) - {target}
    assert half.name.startswith(".new-")
    atomic.write_text(target, "later", shared=shared == "shared")
    assert target.read_text() == "later"
    assert len(list(tmp_path.iterdir())) == left


def test_a_reader_never_sees_half_a_file(tmp_path):
    target, until = tmp_path / "progress.json", time.monotonic() + 0.5

    def write(letter):
        while time.monotonic() < until:
            atomic.write_text(target, letter * 10_000, flush=False)

    atomic.write_text(target, "a" * 10_000)
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, letter) for letter in "ab"]
        while time.monotonic() < until:
            text = target.read_text()
            assert text == text[0] * 10_000
    assert all(writer.result() is None for writer in writers)
