"""A step that nobody waits for any more ends, but not in the middle of what must not be left half-done."""

from __future__ import annotations

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import (
    Interrupted,
    Interruption,
)


@pytest.fixture
def interruption(monkeypatch: pytest.MonkeyPatch) -> Interruption:
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("signal.setitimer", lambda *_words: None)
    return Interruption()


def test_a_step_ends_at_once(interruption: Interruption) -> None:
    with pytest.raises(Interrupted):
        interruption.arrive(15, None)


def test_what_is_held_off_is_finished(interruption: Interruption) -> None:
    done = []
    with pytest.raises(Interrupted), interruption.held_off():
        interruption.arrive(15, None)
        done.append("finished")
    assert done == ["finished"]


def test_what_has_begun_is_finished_and_written_down(interruption: Interruption) -> None:
    done = []
    with pytest.raises(Interrupted), interruption.step():
        interruption.hold()
        with interruption.held_off():
            interruption.arrive(15, None)
        done.append("written down")
    assert done == ["written down"]
    # and the next step is one that can be ended
    with pytest.raises(Interrupted), interruption.step():
        interruption.arrive(15, None)
        done.append("not reached")
    assert done == ["written down"]
