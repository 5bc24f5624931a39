"""Run directories written without training, and scripts run in this process."""

import json
import runpy
import shutil
import sys

from helpers.paths import SAVED_MODELS, SCRIPTS
from vit_keras import load_config
from vit_keras.runs import run_dir

RELEASED = SAVED_MODELS / "digits"
HEAD = "epoch,stage,loss,accuracy,val_loss,val_accuracy,learning_rate,images_per_second,seconds\n"


def finished(path, **metrics):
    """A run that has ended, with these figures in the place of its own."""
    shutil.copytree(RELEASED, path)
    kept = json.loads((path / "metrics.json").read_text())
    (path / "metrics.json").write_text(json.dumps({**kept, **metrics}))
    return path


def begun(path, *settings):
    """A run that was killed before its first epoch ended."""
    run_dir.create(load_config(f"run.dir={path}", *settings)).close()
    return path


def stopped(path, epochs, *settings):
    """A run that was stopped after so many epochs: 0.1 more of accuracy in each."""
    begun(path, *settings)
    for name in ("best.keras", "class_mapping.json", "environment.json"):
        shutil.copy(RELEASED / name, path)
    (path / "checkpoint").mkdir()
    for epoch in range(max(1, epochs - 1), epochs + 1):
        shutil.copy(RELEASED / "best.keras", path / "checkpoint" / f"epoch-{epoch:05d}.npz")
    rows = (f"{i},all,1,0.1,1.5,{i / 10},1e-3,100,2\n" for i in range(1, epochs + 1))
    (path / "history.csv").write_text(HEAD + "".join(rows))
    return path


def edited(path, name, edit):
    file = finished(path) / name
    file.write_bytes(edit(file.read_bytes()))


def in_process(name, monkeypatch, capsys):
    """Runs a script of ours in this process; gives (exit status, standard output and error)."""
    main = runpy.run_path(str(SCRIPTS / f"{name}.py"))["main"]

    def start(*words):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return start
