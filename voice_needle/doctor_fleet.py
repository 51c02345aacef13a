"""The doctor's look at the fleet: one session with its broker, and in plain words why there is none."""

from __future__ import annotations

import queue
import ssl
from typing import Any
from urllib.parse import urlsplit

from voice_needle.config import Fleet
from voice_needle.doctor import FAIL, OK, WARN, Finding

LIMIT_S = 8.0


def examine(settings: Fleet) -> Finding:
    """Connect as the device would. Errors: ConfigError for a URL or certificates that are none."""
    from voice_needle.fleet import connection, identity

    address = settings.broker.rpartition("@")[2].removeprefix("mqtts://").removeprefix("mqtt://")
    client = connection(settings, "")
    ended: queue.Queue[object] = queue.Queue()
    client.on_connect = lambda _c, _u, _f, reason, _p: ended.put(reason)
    url = urlsplit(settings.broker)
    try:
        client.connect(url.hostname or "", url.port or (8883 if url.scheme == "mqtts" else 1883), keepalive=10)
        tls: Any = client.socket()
        secret = tls.version() if isinstance(tls, ssl.SSLSocket) else None
        client.loop_start()
        reason: Any = ended.get(timeout=LIMIT_S)
    except ssl.SSLCertVerificationError as error:
        return _untrusted(address, error)
    except (OSError, queue.Empty) as error:
        return _silent(address, settings, error)
    finally:
        client.disconnect()
        client.loop_stop()
    if reason.is_failure:
        return Finding("fleet", FAIL, f"{address} refuses this device: {reason}", "fleet: {broker: mqtts://USER:PASSWORD@HOST}")
    what = f"{address} knows this device as {settings.name or identity()}"
    if secret is None:
        return Finding("fleet", WARN, f"{what}; whoever listens on the way can read along", "fleet: {broker: mqtts://HOST}")
    return Finding("fleet", OK, f"{what}; {secret}")


def _untrusted(address: str, error: ssl.SSLCertVerificationError) -> Finding:
    mismatch = error.verify_code in (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
    fix = "put the host name that its certificate has into fleet.broker" if mismatch else "fleet: {ca: FILE} with the authority's certificate"
    return Finding("fleet", FAIL, f"{address} is not who it should be: {error.verify_message}", fix)


def _silent(address: str, settings: Fleet, error: Exception) -> Finding:
    """In TLS 1.3 a broker that does not want our certificate just closes the connection."""
    if isinstance(error, (queue.Empty, ssl.SSLError, ConnectionResetError)) and settings.broker.startswith("mqtts"):
        return Finding("fleet", FAIL, f"{address} closes the connection: it does not take this device's certificate", "fleet: {certificate: FILE, key: FILE}, signed for this broker")
    return Finding("fleet", FAIL, f"{address} does not answer ({error})", f"ping {address.partition(':')[0]}")
