"""Exports of annotation tools as tables: COCO with categories of whole images, and Label Studio.

COCO: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "category_id"}], "categories":
[{"id", "name"}]} (https://cocodataset.org/#format-data). Label Studio: a list of tasks with `data`
and `annotations` (https://labelstud.io/guide/export#JSON). A label is a list of all that an image
has; `table` refuses to choose among several.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from vit_keras.errors import SettingError


class Table(NamedTuple):
    """Columns of equal length, of which one names images and one their labels."""

    path: Path
    columns: dict[str, list[Any]]
    numbers: list[int]  # of the rows, for messages
    unit: str  # that they count: line, row, image or task
    image: str = ""  # its columns, where the format says which
    label: str = ""
    folder: str = ""  # that paths are relative to, within the data set
    split: str = ""  # that all rows are of
    split_folders: Mapping[str, str] = {}  # the folders of splits in `folder`, each with its split

    def place(self, index: int) -> str:
        """Where a row is: `labels.csv, line 3`."""
        return f"{self.path.name}, {self.unit} {self.numbers[index]}"


def find_table(content: Any, path: Path) -> Table | None:
    """The table of an export; None for other JSON.

    Raises:
        SettingError: it is an export, and damaged.
    """
    try:
        if isinstance(content, dict) and {"images", "annotations"} <= {*content}:
            return _coco(content, path)
        if isinstance(content, list) and content and all(map(_is_task, content)):
            return _label_studio(content, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingError(
            f"{path} looks like an export of annotations, and lacks {error}; export it again"
        ) from None
    return None


def _coco(content: dict[str, Any], path: Path) -> Table:
    if "categories" not in content:
        raise SettingError(f"{path} is of COCO and has no categories; give their names there")
    names = {one["id"]: str(one["name"]) for one in content["categories"]}
    labels = defaultdict(list)
    for one in content["annotations"]:
        labels[one["image_id"]].append(names[one["category_id"]])
    images = content["images"]
    columns = {
        "file_name": [image["file_name"] for image in images],
        "category": [list(dict.fromkeys(labels[image["id"]])) for image in images],
    }
    return Table(path, columns, list(range(1, len(images) + 1)), "image", "file_name", "category")


def _is_task(task: Any) -> bool:
    is_known = isinstance(task, dict) and isinstance(task.get("data"), dict)
    return is_known and ("annotations" in task or "completions" in task)


def _label_studio(tasks: list[dict[str, Any]], path: Path) -> Table:
    columns: dict[str, list[Any]] = {
        name: [task["data"].get(name) for task in tasks]
        for name in dict.fromkeys(name for task in tasks for name in task["data"])
    }
    choices = [_choices(task) for task in tasks]
    questions = dict.fromkeys(name for task in choices for name in task)
    if not questions:
        raise SettingError(
            f"{path} is of Label Studio and has no annotation of the type choices; label the "
            "images as a whole, by <Choices>"
        )
    columns |= {name: [task.get(name) for task in choices] for name in questions}
    label = next(iter(questions)) if len(questions) == 1 else ""
    return Table(path, columns, [task.get("id", 0) for task in tasks], "task", label=label)


def _choices(task: dict[str, Any]) -> dict[str, list[str]]:
    """Question -> the labels that the annotators of a task chose, each once."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for annotation in task.get("annotations") or task.get("completions") or ():
        if annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or ():
            if result.get("type") == "choices":
                labels = map(str, result["value"]["choices"])
                found[str(result.get("from_name", "choice"))].update(dict.fromkeys(labels))
    return {name: list(labels) for name, labels in found.items()}


def file_paths(text: str) -> list[str]:
    """The paths that a file may be at, by how a table names it; the likeliest first.

    Label Studio names `/data/local-files/?d=photos/a.png`, and uploads by `/data/upload/1/a.png`,
    which it exports to `images/`. Windows separates folders by `\\`.
    """
    if text.startswith("/data/local-files/"):
        return parse_qs(urlsplit(text).query).get("d", [text])
    if text.startswith("/data/upload/"):
        name = text.rpartition("/")[2]
        return [text.removeprefix("/data/"), f"images/{name}", name]
    return [text, text.replace("\\", "/")] if "\\" in text else [text]
