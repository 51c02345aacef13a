"""The configuration reports every mistake at once, with its line and the nearest valid key."""

import dataclasses
from pathlib import Path

import pytest

from voice_needle import config
from voice_needle.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def test_every_mistake_is_reported_with_its_line(tmp_path: Path):
    file = write(
        tmp_path,
        "listn: {}\n"
        "listen:\n"
        "  end_silence_ms: 20\n"
        "  vad: webrt\n"
        "  vad: silero\n"
        "speak:\n"
        "  earcons: maybe\n"
        "dispatch: home\n",
    )
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "3", "4", "5", "7", "8"]
    assert "did you mean `listen`" in lines[0]
    assert "at least 100 ms" in lines[1]
    assert "did you mean `webrtc`" in lines[2]
    assert "given twice" in lines[3]
    assert "true or false" in lines[4]
    assert "must be a mapping" in lines[5]
    assert caught.value.fix == f"edit {file}, line 1"


@pytest.mark.parametrize("text", ["listen: [", "- a list", "listen: {end_silence_ms: soon}"])
def test_a_file_that_is_wrong_from_the_ground_up_is_one_clear_error(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match=r"config\.yaml:1: "):
        config.load(write(tmp_path, text))


def test_a_missing_file_says_which(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        config.load(tmp_path / "nowhere.yaml")


def test_off_is_a_word_not_a_boolean(tmp_path: Path):
    assert config.load(write(tmp_path, "listen: {wake: off}\nbarge_in: {mode: off}\n")).barge_in.mode == "off"


def test_layers_profile_over_defaults_and_user_over_profile(tmp_path: Path):
    loaded = config.load(write(tmp_path, "profile: pi-zero-2w\ntranscribe: {partials_ms: 0}\n"))
    assert loaded.profile == "pi-zero-2w"
    assert loaded.transcribe.engine == "sphinx"  # the profile's
    assert loaded.transcribe.partials_ms == 0  # the user's
    assert loaded.budget.memory_mb == 300
    assert loaded.speak == config.Speak(engine="espeak")
    assert loaded.dispatch == config.Dispatch()  # nobody's: the defaults


def test_a_sound_card_sets_devices_and_the_user_still_wins(tmp_path: Path):
    loaded = config.load(write(tmp_path, "profile: pi4\nsound_card: respeaker-2mic\nspeak: {device: hdmi}\n"))
    assert (loaded.listen.device, loaded.speak.device) == ("wm8960", "hdmi")


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean `pi5`"):
        config.load_profile("pi55")


@pytest.mark.parametrize("name", sorted(config.profiles()))
def test_every_shipped_profile_is_valid(name: str):
    profile = config.read_yaml(config.Profile, config.profiles()[name])
    assert profile.name == name
    assert profile.description


def test_every_option_is_documented():
    from voice_needle.cli.devices import describe

    options = list(describe(config.Config))
    assert len(options) > 30
    for each in options:
        assert each["doc"], each["name"]
        if each["name"].endswith(("_ms", "_mb", "_db")):
            assert each["unit"], each["name"]


def test_settings_cannot_be_changed_behind_our_back():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.Config().listen.vad = "silero"  # type: ignore[misc]
