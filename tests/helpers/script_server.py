"""Scripts in a Python without Keras: one process imports the package, its forks run them.

A process for each script would import NumPy, OpenCV and Hydra again, three hundred times in a run
of the tests. Started by the `script` fixture; reads a request in JSON a line, answers with the
exit status of the script.
"""

import gc
import importlib
import json
import os
import runpy
import sys

from hydra.core.plugins import Plugins

COMMANDS = ("train", "finetune")  # whose modules import most of what the scripts need


def serve():
    # Importing one of these is a traceback.
    sys.modules["keras"] = sys.modules["tensorflow"] = None
    for name in COMMANDS:
        importlib.import_module(f"vit_keras.cli.{name}")
    Plugins.instance()  # Hydra's search for plugins, a quarter of the time of a script
    gc.freeze()  # no collection writes to what the forks share
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(arguments, folder, environment, errors):
    """Run the script `arguments[0]` in `folder`; its standard error goes to the file `errors`."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, os.devnull, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve()
