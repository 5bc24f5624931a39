"""What a split of a folder leaves out, and what is odd about it, as a training reports it."""

from collections import defaultdict
from collections.abc import Iterator

from vit_keras.data.dataset import Finding
from vit_keras.data.duplicates import DETAILS
from vit_keras.data.readers import layout_names
from vit_keras.data.split_folder import MORE, PlannedFile


def split_findings(parts: list[PlannedFile]) -> Iterator[Finding]:
    """The files that are left out but for `--per-class`, similar class names, two labels."""
    for part in parts:
        if not part.split and part.reason != MORE:
            yield Finding(part.problem, part.source, "", part.class_name, part.reason)
    for name, other in layout_names.similar_names(sorted({part.class_name for part in parts})):
        yield Finding("similar_names", name, "", name, "another class", other, "", other)
    copies = defaultdict(list)
    for part in parts:
        if part.split:
            copies[part.sha256].append(part)
    for first, *others in copies.values():
        for part in others:
            if part.class_name != first.class_name:
                detail = DETAILS["two_labels"]
                yield Finding("two_labels", *_place(part), detail, *_place(first))


def _place(part: PlannedFile) -> tuple[str, str, str]:
    return part.source, part.split, part.class_name
