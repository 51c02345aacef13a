"""voice_needle: an offline voice assistant appliance. Sound in, tool calls, spoken answers; no byte leaves the device."""

__version__ = "0.1.0"
