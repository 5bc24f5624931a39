"""The app that Streamlit runs for each open page: `streamlit run pages/app.py -- <root> ...`.

After the folder of the runs come those in which images can be chosen by a dialog.
"""

import hmac
import os
import sys
import time
from pathlib import Path

import streamlit as st

import vit_keras
from vit_keras.studio.components import browse, job_notice, kept_file, kept_values, navigation

# Tables fit into a small window: the keyboard cannot scroll them sideways.
STYLE = """<style>
/* The title begins at the top, beside the first page of the sidebar. */
[data-testid=stMainBlockContainer] { padding-top: 3.5rem }
[data-testid=stMarkdownContainer] table { max-width: 100% }
@media (max-width: 640px) {
  [data-testid=stMarkdownContainer] :is(td, th) {
    padding: 0.2rem; font-size: 0.75rem; overflow-wrap: anywhere }
}
/* Streamlit's red is hard to read on a dark page. */
[data-testid=stSliderThumbValue], [data-testid=stSliderThumbValue] *,
[data-testid=stTab][aria-selected=true], [data-testid=stTab][aria-selected=true] * {
  color: CanvasText }
</style>"""
SHOWN = "shown_page"  # session key: the title of the page that was drawn last
PASSWORD = "VIT_KERAS_STUDIO_PASSWORD"


def main(root: str, *browsed: str) -> None:
    st.set_page_config(job_notice.title(), layout="wide")
    st.html(STYLE)
    if not _is_logged_in():
        return
    st.session_state[browse.ROOTS] = browsed
    kept_file.restore(Path(root))
    pages = _pages(root)
    navigation.remember(pages)
    page = st.navigation(pages)
    st.session_state[navigation.JUST_OPENED] = st.session_state.get(SHOWN) != page.title
    if navigation.is_just_opened():
        # A control of the page before would pass its key on, and not its value.
        st.session_state[SHOWN] = page.title
        kept_values.redraw()
        job_notice.leave_page()
        st.set_page_config(job_notice.title(), layout="wide")
    with st.sidebar:
        st.caption(f"vit_keras studio {vit_keras.__version__}")
    try:
        page.run()
    finally:  # also where the page was left, or is drawn again
        kept_file.store(Path(root))
    with st.sidebar:  # after the page, which says what training it shows
        job_notice.show(root)


def _pages(root: str) -> list:
    """The pages. Each module is imported only when its page is opened, after its title is shown."""

    def show_start() -> None:
        # Without an address, as of a program that reads the app, the form is what is asked for.
        is_named = bool(st.query_params) or not st.context.url
        is_first = not (is_named or any(Path(root).glob("[!.]*")))
        navigation.open_page("data" if is_first else "training", **st.query_params.to_dict())

    def show_training() -> None:
        _show_title("Training", "Train a model on the chosen images, and follow it.")
        from vit_keras.studio.jobs.queue import Jobs
        from vit_keras.studio.pages import training

        training.show(Jobs(root))

    def show_inference() -> None:
        _show_title("Inference", "Try a model on images, evaluate it on labelled ones, export it.")
        from vit_keras.studio.pages import inference

        inference.show(Path(root).absolute())

    def show_runs() -> None:
        _show_title("Runs", "All trained models: compare, describe, download and delete them.")
        from vit_keras.studio.pages import runs

        runs.show(Path(root).absolute())

    def show_data() -> None:
        _show_title("Data", "Choose images, look at what is in them, and go on to train on them.")
        from vit_keras.studio.pages import data

        data.show(Path(root).absolute())

    def show_labels() -> None:
        _show_title("Labels", "Find images whose label may be wrong, and decide on each.")
        from vit_keras.studio.pages import labels

        labels.show(Path(root).absolute(), training)

    training = st.Page(show_training, title="Training", url_path="training")
    return [
        # Each page has an address of its own, which is there whatever was trained.
        st.Page(show_start, title="Start", default=True, visibility="hidden"),
        st.Page(show_data, title="Data", url_path="data"),
        training,
        st.Page(show_inference, title="Inference", url_path="inference"),
        st.Page(show_labels, title="Labels", url_path="labels"),
        st.Page(show_runs, title="Runs", url_path="runs"),
    ]


def _show_title(title: str, purpose: str) -> None:
    st.title(title)
    st.write(purpose)


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
    main(*sys.argv[1:])
