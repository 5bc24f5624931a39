"""The list of runs of the studio: at most some seconds old, or older while a new one is made."""

import time

import pytest

pytest.importorskip("streamlit", reason="needs the extra `studio`")

from helpers.fake_runs import finished
from vit_keras.studio.components import run_list


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with one run, which was listed just now."""
    run_list.forget()
    monkeypatch.setattr(run_list, "AFTER_SECONDS", 0)
    finished(tmp_path / "a")
    assert names(tmp_path) == ["a"]
    return tmp_path


def names(root, **options):
    return sorted(run.name for run, _ in run_list.list_all_runs(str(root), **options).runs)


def test_a_list_is_made_again_when_it_is_old(root, monkeypatch):
    finished(root / "b")
    assert names(root) == ["a"]  # it is not old yet
    monkeypatch.setattr(run_list, "CACHE_SECONDS", 0)
    assert names(root) == ["a", "b"]


def test_an_old_list_is_given_at_once_and_a_new_one_to_the_next(root, monkeypatch):
    monkeypatch.setattr(run_list, "CACHE_SECONDS", 0)
    finished(root / "b")
    assert names(root, may_be_old=True) == ["a"]
    while names(root, may_be_old=True) != ["a", "b"]:
        time.sleep(0.01)


def test_a_list_that_is_too_old_is_not_given(root, monkeypatch):
    monkeypatch.setattr(run_list, "CACHE_SECONDS", 0)
    monkeypatch.setattr(run_list, "OLD_SECONDS", 0)
    finished(root / "b")
    assert names(root, may_be_old=True) == ["a", "b"]


def test_what_was_changed_by_the_page_is_seen_at_once(root):
    finished(root / "b")
    run_list.forget()
    assert names(root, may_be_old=True) == ["a", "b"]


def test_a_list_that_was_begun_before_a_change_is_not_kept(root, monkeypatch):
    run_list.forget()
    listed = run_list.listing.list_runs

    def changed_meanwhile(folder):
        found = listed(folder)
        finished(root / "b")
        run_list.forget()
        return found

    monkeypatch.setattr(run_list.listing, "list_runs", changed_meanwhile)
    assert names(root) == ["a"]
    monkeypatch.setattr(run_list.listing, "list_runs", listed)
    assert names(root) == ["a", "b"]
