"""What computes for the studio's pages: a process that has Keras, and holds a model or data.

`python -m vit_keras.studio.worker`: for each line of JSON on its standard input, one on its
standard output. It ends with its input, so that it never outlives the studio.

    {"task": "predict", "given": {...}}    -> {"result": ...} or {"refused": "what is wrong"}
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
    # Whatever a library prints goes to standard error, and never between two answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    backend.import_keras()
    tasks = _tasks()
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(tasks, asked["task"], asked["given"])), file=answers, flush=True)


def _tasks() -> dict[str, Task]:
    """Every task by its name; their rooms import Keras."""
    from vit_keras.studio.worker.data_tasks import DataTasks
    from vit_keras.studio.worker.model_tasks import ModelTasks

    model, data = ModelTasks(), DataTasks()
    return {
        "open": model.open,
        "predict": model.predict,
        "overlay": model.overlay,
        "look": data.look,
        "augment": data.augment,
    }


def answer(tasks: dict[str, Task], name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a task gives, or in words why it cannot: nothing that is asked ends the process."""
    try:
        return {"result": tasks[name](**given)}
    except SettingError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": "the memory does not suffice; choose smaller images or another run"}
    except OSError as error:
        return {"refused": f"{error.filename or 'a file'}: {error.strerror or error}; look there"}
    except Exception as error:
        traceback.print_exc()
        return {
            "refused": f"{type(error).__name__}: {first_line(error)}; the terminal that the "
            "studio was started in has the rest"
        }


if __name__ == "__main__":
    main()
