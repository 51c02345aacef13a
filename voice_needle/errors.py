"""Every error a user can meet: one class each, with one spoken sentence and one fix to type.

    VoiceNeedleError
    ├── ConfigError              a configuration file or option is wrong
    │   ├── ManifestError        a plugin.yaml is wrong (file:line, nearest valid key)
    │   └── BudgetError          a choice does not fit the profile's memory
    ├── AudioError
    │   ├── NoMicrophone         no input device at all
    │   ├── NoSpeaker            no output device at all
    │   ├── UnknownDevice        the configured device is not there
    │   ├── DeviceLost           it was there, and was unplugged
    │   └── BadAudioFile         truncated, empty, or not audio
    ├── EngineError
    │   ├── EngineMissing        the extra or program for a chosen engine is not installed
    │   ├── ModelMissing         its model is not on this device
    │   ├── ModelCorrupt         its model is there, but damaged
    │   └── EngineFailed         it died or answered nonsense
    ├── RouteError
    │   └── BadToolSchema        a tool's schema cannot be used
    ├── ToolError                a tool call did not do what was asked
    │   ├── UnknownTool          no such tool (nearest name given)
    │   ├── BadArguments         the arguments break the tool's schema
    │   ├── ToolRefused          policy or the device's own rules forbid it now
    │   ├── ToolTimeout          no answer in time: whether it happened is unknown
    │   ├── ToolUnreachable      the back end (broker, database, bus) is down: it did not happen
    │   ├── ToolUnconfirmed      sent, but the device did not report the new state
    │   └── ToolFailed           the back end said no, or the handler raised
    └── StorageError
        ├── LedgerFull           no room to write the ledger: nothing is executed
        └── LedgerCorrupt        the ledger cannot be read

The command line prints `str(error)`, then `Fix: error.fix`, and exits with 2. The assistant says `error.spoken`.
"""

from __future__ import annotations


class VoiceNeedleError(Exception):
    """Base of the tree.

    what: what happened, one sentence, for a screen. fix: what to type or do. spoken: the same for the ear; without it the
    class's own sentence is said.
    """

    spoken: str = "Something went wrong."
    fix: str = "voice-needle doctor"

    def __init__(self, what: str, *, fix: str | None = None, spoken: str | None = None) -> None:
        super().__init__(what)
        if fix is not None:
            self.fix = fix
        if spoken is not None:
            self.spoken = spoken


class ConfigError(VoiceNeedleError):
    spoken = "My configuration has a mistake."
    fix = "voice-needle doctor"


class ManifestError(ConfigError):
    spoken = "One of my plugins has a mistake in its manifest."
    fix = "voice-needle tools check"


class BudgetError(ConfigError):
    spoken = "That does not fit into the memory of this device."
    fix = "choose a smaller engine, or a larger profile: voice-needle devices"


class AudioError(VoiceNeedleError):
    spoken = "I have a problem with the sound."
    fix = "voice-needle devices"


class NoMicrophone(AudioError):
    spoken = "I cannot find a microphone."
    fix = "plug in a microphone, then: voice-needle devices"


class NoSpeaker(AudioError):
    spoken = "I cannot find a speaker."
    fix = "plug in a speaker, then: voice-needle devices"


class UnknownDevice(AudioError):
    spoken = "The sound device in my configuration is not there."
    fix = "voice-needle devices"


class DeviceLost(AudioError):
    spoken = "My sound device was unplugged."
    fix = "plug it in again; listening goes on by itself"


class BadAudioFile(AudioError):
    spoken = "I cannot read that sound file."
    fix = "give a WAV or FLAC file of 8 to 48 kHz"


class EngineError(VoiceNeedleError):
    spoken = "A part of me does not work."


class EngineMissing(EngineError):
    spoken = "A part of me is not installed."


class ModelMissing(EngineError):
    spoken = "A model of mine is missing."
    fix = "voice-needle models list"


class ModelCorrupt(EngineError):
    spoken = "A model of mine is damaged."
    fix = "voice-needle models verify"


class EngineFailed(EngineError):
    spoken = "A part of me stopped working. I am starting it again."


class RouteError(VoiceNeedleError):
    spoken = "I could not think about that."


class BadToolSchema(RouteError):
    spoken = "One of my tools is described wrongly."
    fix = "voice-needle tools check"


class ToolError(VoiceNeedleError):
    spoken = "That did not work."


class UnknownTool(ToolError):
    spoken = "I do not have that tool."
    fix = "voice-needle tools list"


class BadArguments(ToolError):
    spoken = "I cannot do it with that value."
    fix = "voice-needle tools list"


class ToolRefused(ToolError):
    spoken = "I may not do that now."


class ToolTimeout(ToolError):
    spoken = "It did not answer in time. I do not know whether it happened."


class ToolUnreachable(ToolError):
    spoken = "I could not reach it. Nothing was done."


class ToolUnconfirmed(ToolError):
    spoken = "I sent it, but it did not answer."


class ToolFailed(ToolError):
    spoken = "It did not work."


class StorageError(VoiceNeedleError):
    spoken = "I cannot write to my storage."
    fix = "df -h; free some space, then: voice-needle doctor"


class LedgerFull(StorageError):
    spoken = "My storage is full, so I will not do anything until there is room."


class LedgerCorrupt(StorageError):
    spoken = "My journal is damaged."
    fix = "voice-needle doctor"
