"""The worker process of the studio's pages: it imports Keras and keeps a model or a data set open.

`python -m vit_keras.studio.worker.server` answers each line of JSON on its standard input by one
on its standard output. It ends when its input is closed, so it never outlives the studio.

    {"task": "predict", "arguments": {...}}    -> {"result": ...} or {"error": "one line"}
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from vit_keras import backend
from vit_keras.errors import SettingError
from vit_keras.text import first_line

Task = Callable[..., Any]


def main() -> None:
    # Output of libraries goes to standard error, so that it cannot come between two responses.
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    backend.import_keras()
    tasks = _tasks()
    for line in sys.stdin:
        request = json.loads(line)
        response = respond(tasks, request["task"], request["arguments"])
        print(json.dumps(response), file=responses, flush=True)


def _tasks() -> dict[str, Task]:
    """Name -> task. Imported here, because they import Keras."""
    from vit_keras.studio.worker.data_tasks import DataTasks
    from vit_keras.studio.worker.model_tasks import ModelTasks

    model, data = ModelTasks(), DataTasks()
    return {
        "open": model.open,
        "predict": model.predict,
        "overlay": model.overlay,
        "summary": data.summary,
        "augment": data.augment,
    }


def respond(tasks: dict[str, Task], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The response to a request: the task's result or its error; no error ends the process."""
    try:
        return {"result": tasks[name](**arguments)}
    except SettingError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "out of memory; choose smaller images or another run"}
    except OSError as error:
        file = error.filename or "a file"
        return {"error": f"{file}: {error.strerror or error}; check this file"}
    except Exception as error:
        traceback.print_exc()
        return {
            "error": f"{type(error).__name__}: {first_line(error)}; see the terminal that the "
            "studio was started in"
        }


if __name__ == "__main__":
    main()
