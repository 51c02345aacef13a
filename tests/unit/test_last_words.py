"""A service that cannot start is heard once a reason, and not by a person at a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from voice_needle import last_words
from voice_needle.config import Config
from voice_needle.errors import NoMicrophone, NoSpeaker, StorageError, VoiceNeedleError
from voice_needle.watchdog import Watchdog


class Ear:
    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self.environment = {"NOTIFY_SOCKET": "/run/x", "RUNTIME_DIRECTORY": str(folder)}

    def fails(self, error: VoiceNeedleError) -> bool:
        return last_words.tell(Config(), error, self.environment, lambda config, text: self.heard.append(text))


@pytest.fixture
def ear(tmp_path: Path) -> Ear:
    return Ear(tmp_path)


def test_each_reason_is_said_once_until_all_was_well(ear: Ear):
    assert [ear.fails(NoMicrophone("no device")) for _ in range(3)] == [True, False, False]
    assert ear.fails(StorageError("full"))
    assert ear.fails(NoMicrophone("no device"))
    Watchdog(environment=ear.environment, send=lambda message: None).progress()  # it listens again
    assert ear.fails(NoMicrophone("no device"))
    assert ear.heard == [NoMicrophone.spoken, StorageError.spoken, NoMicrophone.spoken, NoMicrophone.spoken]


def test_a_terminal_shows_it_instead(ear: Ear):
    ear.environment.pop("NOTIFY_SOCKET")
    assert not ear.fails(NoMicrophone("no device")) and ear.heard == []


def test_without_a_speaker_the_first_fault_is_still_the_one_reported(ear: Ear):
    def mute(config: Config, text: str) -> None:
        raise NoSpeaker("no device")

    assert not last_words.tell(Config(), NoMicrophone("no device"), ear.environment, mute)
