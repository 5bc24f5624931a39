"""The worker process of the studio's pages: it keeps a model or a data set open.

`python -m vit_keras.studio.worker.server` answers each line of JSON on its standard input by one
on its standard output. It ends when its input is closed, so it never outlives the studio.

    {"task": "predict", "arguments": {...}}    -> {"result": ...} or {"error": "one line"}

Keras is imported by the first task that needs it: a run with an ONNX file is predicted before.
"""

import functools
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from vit_keras import backend
from vit_keras.errors import SettingError, is_out_of_memory
from vit_keras.text import first_line

Task = Callable[..., Any]
# Class -> its tasks, methods of the one object of it.
CLASSES = {
    "model_tasks.ModelTasks": ("open", "predict", "tiles", "overlay"),
    "data_tasks.DataTasks": ("summary", "augment"),
}
WITH_KERAS = ("data_tasks.DataTasks",)  # whose module imports it


def main() -> None:
    # Output of libraries goes to standard error, so that it cannot come between two responses.
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    backend.leave_out_unused()
    tasks = {name: task(owner, name) for owner, names in CLASSES.items() for name in names}
    for line in sys.stdin:
        request = json.loads(line)
        response = respond(tasks, request["task"], request["arguments"])
        print(json.dumps(response), file=responses, flush=True)


def task(owner: str, name: str) -> Task:
    """A method of `owner`, whose module is imported when it is first called."""
    return lambda **arguments: getattr(_object_of(owner), name)(**arguments)


@functools.cache
def _object_of(owner: str) -> Any:
    if owner in WITH_KERAS:
        backend.import_keras()
    module, _, kind = owner.partition(".")
    return getattr(importlib.import_module(f"vit_keras.studio.worker.{module}"), kind)()


def respond(tasks: Mapping[str, Task], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The response to a request: the task's result or its error; no error ends the process."""
    try:
        return {"result": tasks[name](**arguments)}
    except SettingError as error:
        return {"error": str(error)}
    except OSError as error:
        file = error.filename or "a file"
        return {"error": f"{file}: {error.strerror or error}; check this file"}
    except Exception as error:
        if is_out_of_memory(error):
            return {"error": "out of memory; choose smaller images or another run"}
        traceback.print_exc()
        return {
            "error": f"{type(error).__name__}: {first_line(error)}; see the terminal that the "
            "studio was started in"
        }


if __name__ == "__main__":
    main()
