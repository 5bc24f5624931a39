"""Which run a page is about: those that can predict, the best first."""

from pathlib import Path

import streamlit as st

from vit_keras import run_list
from vit_keras.run_state import RunState
from vit_keras.run_tables import figure
from vit_keras.saved_run import MODEL
from vit_keras.studio.plain import plain

SECONDS = 5  # that a list is good for: a page is drawn at every click


@st.cache_data(ttl=SECONDS, show_spinner=False)
def every(root: str) -> list[RunState]:
    """Every run of the studio; none where the folder is not there yet."""
    return run_list.list_runs(root) if Path(root).is_dir() else []


def with_models(root: Path) -> list[RunState]:
    """Those whose model can be opened, by validation accuracy."""
    ranked = run_list.rank(every(str(root)))
    return [one.run for one in ranked if one.run.is_usable and (one.run.path / MODEL).is_file()]


def ask(root: Path) -> RunState | None:
    """A run, that of the page's address first; None where there is none."""
    runs = with_models(root)
    if not runs:
        st.info("No run with a model yet. Train one on the Training page.")
        return None
    known = {run.name: run for run in runs}
    wanted = st.query_params.get("run", "")
    names = list(known)
    if wanted and wanted not in known:
        st.warning(plain(f"{wanted} is not here, or has no model; another run is shown."))
    picked = st.selectbox(
        "Run",
        names,
        index=names.index(wanted) if wanted in known else 0,
        format_func=lambda name: _title(known[name]),
        key=f"run {wanted}",
        help="the best validation accuracy first",
    )
    st.query_params["run"] = picked
    return known[picked]


def _title(run: RunState) -> str:
    reached = figure(run.metrics.get("best_val_accuracy"))
    return f"{run.name} (validation accuracy {reached})" if reached else run.name
