"""Run scripts in a Python without Keras: forks of one process that has imported the package.

A process per script would import NumPy, OpenCV and Hydra again, three hundred times in a test run.
Started by the `script` fixture; each line of input is a request in JSON, each line of output the
exit status of a script.
"""

import gc
import importlib
import json
import os
import runpy
import sys

from hydra.core.plugins import Plugins

COMMANDS = ("train", "finetune")  # their modules import most of what the scripts need


def serve():
    # Importing one of these raises an error.
    sys.modules["keras"] = sys.modules["tensorflow"] = None
    for name in COMMANDS:
        importlib.import_module(f"vit_keras.cli.{name}")
    Plugins.instance()  # Hydra's search for plugins, a quarter of the time of a script
    gc.freeze()  # garbage collection must not write to memory shared by the forks
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
