"""Seconds in words. Nothing here imports Keras."""


def duration(seconds: float) -> str:
    """90 -> `1 min 30 s`: two units at most."""
    whole = max(1, round(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h")]
    parts += [(whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
