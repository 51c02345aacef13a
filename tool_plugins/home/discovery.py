"""Home Assistant's MQTT discovery: homeassistant/COMPONENT/[NODE/]OBJECT/config announces one entity and its topics.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

from .devices import Device


def is_config(topic: str, prefix: str) -> bool:
    return topic.startswith(f"{prefix}/") and topic.endswith("/config")


def read_config(topic: str, payload: bytes, prefix: str) -> Device | None:
    return None
