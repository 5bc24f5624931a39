"""From the data on to a training: what is recommended for them, and other ways."""

from dataclasses import replace
from typing import Any

import streamlit as st

from vit_keras.config.schema import MULTILABEL
from vit_keras.data import registry
from vit_keras.studio.components import navigation, training_choice
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.jobs.command import command_line
from vit_keras.training.recommend import Recommendation, recommend


def show(recipe: str, words: tuple[str, ...], others: tuple[str, ...], summary: Any) -> None:
    """Show the recommendation, and buttons that take it, or go on without it.

    Args:
        recipe: the override of the recipe for training with settings of one's own.
        words: overrides of the data.
        others: of what was chosen besides, such as the augmentation.
        summary: of the data, which were read; by its fingerprint they are looked at again.
    """
    found = _recommended(words, summary["fingerprint"])
    found = replace(found, images=sum(summary["images"].values()))  # without what cannot be read
    with st.container(border=True, key="recommendation"):
        st.markdown(f"**Recommended:** {escape_markdown(found)}")
        with st.container(horizontal=True):
            if st.button("Take the recommendation", type="primary", key="take"):
                training_choice.begin_with(list(found.words))
            if st.button(
                "Train on these",
                key="train_on_these",
                help="opens the Training page with these images, and the augmentation below",
            ):
                training_choice.begin_with(_own_words(recipe, words, others))
            if _can_be_audited(words) and st.button(
                "Find label errors", key="find_label_errors", help="opens the Labels page"
            ):
                navigation.open_page("labels")
        with st.expander("Why this is recommended"):
            for reason in found.reasons:
                st.write(escape_markdown(reason))
            st.code(command_line(found.command, found.words), language=None, wrap_lines=True)


def show_at_end(recipe: str, words: tuple[str, ...], others: tuple[str, ...]) -> None:
    """A button below the augmentation that goes on with it; arguments as of `show`."""
    st.divider()
    if st.button("Next: train with this augmentation", key="next_training"):
        training_choice.begin_with(_own_words(recipe, words, others))


@st.cache_data(max_entries=32, show_spinner=False)  # a folder would be listed at every click
def _recommended(words: tuple[str, ...], fingerprint: str) -> Recommendation:
    return recommend(words)


def _own_words(recipe: str, words: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    return [recipe, *words, *others]


def _can_be_audited(words: tuple[str, ...]) -> bool:
    """Whether the Labels page takes them: files with one label each."""
    is_of_files = any(f"data={name}" in words for name in registry.OF_FILES)
    return is_of_files and f"task={MULTILABEL}" not in words
