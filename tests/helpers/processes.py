"""Run the scripts in separate processes, as a user starts them."""

import os
import subprocess
import sys

from helpers.paths import SCRIPTS

SCRIPT = str(SCRIPTS / "train_scratch.py")
FINETUNE = str(SCRIPTS / "finetune_hub.py")
SMALL = ("data.limit=400", "model.depth=1", "train.batch_size=32")


def script(*overrides, path=SCRIPT, **environment):
    return subprocess.run(
        [sys.executable, path, *overrides],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
