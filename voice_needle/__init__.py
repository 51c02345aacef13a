"""voice_needle: an offline voice assistant appliance. Sound in, tool calls, spoken answers; no byte leaves the device."""

import os

# ONNX Runtime 1.29 and later reports to its maker unless told not to before it is loaded, also from the processes we start.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
