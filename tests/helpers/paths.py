"""Paths of the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAVED_MODELS = ROOT / "saved_models"
SCRIPTS = ROOT / "scripts"
