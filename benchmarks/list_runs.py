"""Listing 2,000 runs: the code of an earlier commit, and ours with and without its cache.

    python benchmarks/list_runs.py                  # beside commit 9b1b862, which had no cache

Copies of the released digits run, each with other settings and figures. `first` reads each run,
`process` is a new process that finds what another has kept, `again` is the same process. With
`--smoke`, 20 runs and without the earlier commit.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import argument_parser, parse_arguments

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "saved_models" / "digits"
EARLIER = "9b1b862"
LEFT_OUT = ("README.md", "evaluation", "export")
# Prints the seconds of a first and of a second listing, and a digest of what was found.
LIST = """
import json, sys, time
from vit_keras.runs.listing import list_runs, rank
seconds = []
for _ in range(2):
    began = time.perf_counter()
    ranked = rank(list_runs(sys.argv[1]))
    seconds.append(time.perf_counter() - began)
found = []
for place, run in ((one.place, one.run) for one in ranked):
    found.append([place, run.name, run.state, run.metrics, repr(run.config)])
print(json.dumps({"seconds": seconds, "found": found}))
"""


def make_runs(folder, count):
    """Copies of a small run, with hard links to the files that are equal."""
    shared = [file for file in RUN.iterdir() if file.name not in (*LEFT_OUT, "metrics.json")]
    metrics = json.loads((RUN / "metrics.json").read_text())
    first = folder / "run0000"
    for number in range(count):
        run = folder / f"run{number:04}"
        run.mkdir(parents=True)
        for file in shared:
            if number and file.name != "config.yaml":
                os.link(first / file.name, run / file.name)
            else:
                shutil.copyfile(file, run / file.name)
        text = (RUN / "config.yaml").read_text()
        (run / "config.yaml").write_text(text.replace("seed: 0", f"seed: {number}"))
        figures = {**metrics, "best_val_accuracy": 0.5 + number / (2 * count)}
        (run / "metrics.json").write_text(json.dumps(figures))
    return folder


def listed(code, folder, cache):
    """What a new process with the package in `code` finds, and in how many seconds."""
    environment = {**os.environ, "PYTHONPATH": str(code), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", LIST, str(folder)]
    done = subprocess.run(
        command, env=environment, cwd=folder, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def earlier_code(folder):
    """The package of an earlier commit."""
    archive = subprocess.run(
        ["git", "archive", EARLIER, "vit_keras"], cwd=ROOT, check=True, capture_output=True
    )
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    settings = parse_arguments(parser)
    count = 20 if settings.smoke else settings.runs
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs, cache = make_runs(folder / "runs", count), folder / "cache"
        time.sleep(2.5)  # a file that was written just now is read again
        ours = [listed(ROOT, runs, cache) for _ in range(2)]
        rows = {
            "ours, first": ours[0]["seconds"][0],
            "ours, process": ours[1]["seconds"][0],
            "ours, again": ours[1]["seconds"][1],
        }
        assert ours[0]["found"] == ours[1]["found"]
        assert len(ours[0]["found"]) == count
        if not settings.smoke:
            before = listed(earlier_code(folder / "earlier"), runs, cache)
            assert before["found"] == ours[0]["found"]
            rows = {f"{EARLIER}, first": before["seconds"][0], **rows}
        slowest = next(iter(rows.values()))
        for name, seconds in rows.items():
            print(f"{name:16} {seconds:8.3f} s for {count} runs, {slowest / seconds:6.1f} x")


if __name__ == "__main__":
    main()
