"""Text for terminals and messages: durations, tables, names and errors on one line."""

import re
import time
import unicodedata
from collections.abc import Sequence


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def format_duration(seconds: float) -> str:
    """90 -> `1 min 30 s`: the two largest units."""
    rounded = max(1, round(seconds))
    parts = [(rounded // 86400, "d"), (rounded // 3600 % 24, "h")]
    parts += [(rounded // 60 % 60, "min"), (rounded % 60, "s")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def now() -> str:
    """The time, with that of the zone: 2026-11-29T19:20:00+0000."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def counted(count: int, text: str) -> str:
    """1, `file[s] [is|are] odd` -> `1 file is odd`; 2 -> `2 files are odd`.

    Brackets hold what is singular and what is plural, or only the plural's ending.
    """

    def choose(match: re.Match) -> str:
        singular, _, plural = match[1].rpartition("|")
        return singular if count == 1 else plural

    return f"{count:,} " + re.sub(r"\[([^]]*)\]", choose, text)


def abbreviated_list(names: list[str]) -> str:
    """The first five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(one_line, names[:5])) + more


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """One line per row, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def one_line(name: str) -> str:
    """The name, escaped if it holds a line break or anything else that cannot be printed."""
    return name if name.isprintable() else ascii(name)


def last_error(printed: str) -> str:
    """The last `error: ` line of a command's output, or the last line of a traceback."""
    lines = [line for line in printed.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    return lines[-1] if lines and "Traceback (most recent call last)" in printed else ""


def folder_name(name: str, most: int = 100) -> str:
    """A name as that of a folder, short and for any file system: `Meine erste KI!` loses its `!`.

    Letters of every script stay, `.` and `-` within the name too; the rest becomes `_`.
    """
    text = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name)).strip("._-")
    return text.encode()[:most].decode(errors="ignore") or "run"
