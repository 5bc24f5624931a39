"""Tables of text, whatever is written in them."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equally many cells, a line each, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def on_a_line(name: str) -> str:
    """A name as it is, or with what cannot be printed written out: files may be called anything."""
    return name if name.isprintable() else ascii(name)
