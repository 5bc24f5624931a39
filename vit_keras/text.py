"""Seconds in words. Nothing here imports Keras.

Tables of text, whatever is written in them.
"""

from collections.abc import Sequence


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def format_duration(seconds: float) -> str:
    """90 -> `1 min 30 s`: two units at most."""
    whole = max(1, round(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h")]
    parts += [(whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def ascii_name(path: str) -> str:
    """A path on one line, as a terminal can show it."""
    return path if path.isprintable() else ascii(path)


def abbreviated_list(names: list[str]) -> str:
    """The first five, and how many there are besides."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(ascii_name, names[:5])) + more


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equally many cells, a line each, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def one_line(name: str) -> str:
    """A name as it is, or with what cannot be printed written out: files may be called anything."""
    return name if name.isprintable() else ascii(name)
