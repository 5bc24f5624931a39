"""What Streamlit runs for each page that is open: `streamlit run pages/app.py -- <root>`."""

import hmac
import os
import sys
import time
from pathlib import Path

import streamlit as st

# Tables keep within a small window: one that is moved sideways cannot be by the keyboard.
STYLE = """<style>
[data-testid=stMarkdownContainer] table { max-width: 100% }
@media (max-width: 640px) {
  [data-testid=stMarkdownContainer] :is(td, th) {
    padding: 0.2rem; font-size: 0.75rem; overflow-wrap: anywhere }
  /* Without epochs, parameters and data, which the run's own panel has. */
  .st-key-table_of_runs :is(td, th):nth-child(n + 5):nth-child(-n + 7) { display: none }
  .st-key-table_of_runs :is(td, th):not(:nth-child(2), :last-child) { overflow-wrap: break-word }
}
</style>"""
PASSWORD = "VIT_KERAS_STUDIO_PASSWORD"


def main(root: str) -> None:
    st.set_page_config("vit_keras studio", layout="wide")
    st.html(STYLE)
    if not _is_let_in():
        return
    st.navigation(_pages(root)).run()


def _pages(root: str) -> list:
    """One file for each page, with a `show`, imported when the page is opened and has its title."""

    def training() -> None:
        st.title("Training")
        from vit_keras.studio.jobs.queue import Jobs
        from vit_keras.studio.pages import training as pages_training

        pages_training.show(Jobs(root))

    def inference() -> None:
        st.title("Inference")
        from vit_keras.studio.pages import inference as pages_inference

        pages_inference.show(Path(root).absolute())

    def runs() -> None:
        st.title("Runs")
        from vit_keras.studio.pages import runs as pages_runs

        pages_runs.show(Path(root).absolute())

    def data() -> None:
        st.title("Data")
        from vit_keras.studio.pages import data as pages_data

        pages_data.show(Path(root).absolute())

    return [
        st.Page(training, title="Training", url_path="training", default=True),
        st.Page(inference, title="Inference", url_path="inference"),
        st.Page(runs, title="Runs", url_path="runs"),
        st.Page(data, title="Data", url_path="data"),
    ]


def _is_let_in() -> bool:
    """Whether no password is asked for, or it was given."""
    password = os.environ.get(PASSWORD)
    if not password or st.session_state.get("is_let_in"):
        return True
    st.title("vit_keras studio")
    given = st.text_input("Password", type="password", key="password")
    if not given:
        return False
    if hmac.compare_digest(given.encode(), password.encode()):
        st.session_state["is_let_in"] = True
        st.rerun()
    time.sleep(1)  # against guessing
    st.error("This is not the password that the studio was started with.")
    return False


if __name__ == "__main__":
    main(sys.argv[1])
