"""The app that Streamlit runs for each open page: `streamlit run pages/app.py -- <root>`."""

import hmac
import os
import sys
import time
from pathlib import Path

import streamlit as st

# Tables fit into a small window: the keyboard cannot scroll them sideways.
STYLE = """<style>
[data-testid=stMarkdownContainer] table { max-width: 100% }
@media (max-width: 640px) {
  [data-testid=stMarkdownContainer] :is(td, th) {
    padding: 0.2rem; font-size: 0.75rem; overflow-wrap: anywhere }
  /* Hide epochs, parameters and data, which are shown with the selected run. */
  .st-key-table_of_runs :is(td, th):nth-child(n + 5):nth-child(-n + 7) { display: none }
  .st-key-table_of_runs :is(td, th):not(:nth-child(2), :last-child) { overflow-wrap: break-word }
}
</style>"""
PASSWORD = "VIT_KERAS_STUDIO_PASSWORD"


def main(root: str) -> None:
    st.set_page_config("vit_keras studio", layout="wide")
    st.html(STYLE)
    if not _is_logged_in():
        return
    st.navigation(_pages(root)).run()


def _pages(root: str) -> list:
    """The pages. Each module is imported only when its page is opened, after its title is shown."""

    def show_training() -> None:
        st.title("Training")
        from vit_keras.studio.jobs.queue import Jobs
        from vit_keras.studio.pages import training

        training.show(Jobs(root))

    def show_inference() -> None:
        st.title("Inference")
        from vit_keras.studio.pages import inference

        inference.show(Path(root).absolute())

    def show_runs() -> None:
        st.title("Runs")
        from vit_keras.studio.pages import runs

        runs.show(Path(root).absolute())

    def show_data() -> None:
        st.title("Data")
        from vit_keras.studio.pages import data

        data.show(Path(root).absolute())

    def show_labels() -> None:
        st.title("Labels")
        from vit_keras.studio.pages import labels

        labels.show(Path(root).absolute(), training)

    training = st.Page(show_training, title="Training", url_path="training", default=True)
    return [
        training,
        st.Page(show_inference, title="Inference", url_path="inference"),
        st.Page(show_runs, title="Runs", url_path="runs"),
        st.Page(show_data, title="Data", url_path="data"),
        st.Page(show_labels, title="Labels", url_path="labels"),
    ]


def _is_logged_in() -> bool:
    """Whether the password was entered, or none is set."""
    password = os.environ.get(PASSWORD)
    if not password or st.session_state.get("is_logged_in"):
        return True
    st.title("vit_keras studio")
    typed = st.text_input("Password", type="password", key="password")
    if not typed:
        return False
    if hmac.compare_digest(typed.encode(), password.encode()):
        st.session_state["is_logged_in"] = True
        st.rerun()
    time.sleep(1)  # slows down guessing
    st.error("This is not the password that the studio was started with.")
    return False


if __name__ == "__main__":
    main(sys.argv[1])
