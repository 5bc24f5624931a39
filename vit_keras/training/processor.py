"""The processor: its name, and whether it multiplies bfloat16 in hardware."""

import functools
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Of x86 (AVX-512 BF16, AMX) and of Arm. Without them bfloat16 is emulated, and slower than float32.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def name() -> str:
    """The model as Linux has it; elsewhere the architecture."""
    return _fields().get("model name") or platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Whether products of bfloat16 are computed in hardware; False where Linux does not tell."""
    fields = _fields()
    flags = f"{fields.get('flags', '')} {fields.get('Features', '')}"
    return bool(BFLOAT16 & set(flags.split()))


@functools.cache
def _fields() -> dict[str, str]:
    """The lines `name : value` of the first core."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
