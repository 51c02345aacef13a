# Runs inside the emulated appliance, as root, from boot-test.service; each line goes to the serial console.
unit=voice-needle.service
out() { echo "BOOT-TEST $*" >/dev/console; }
check() { # check NAME COMMAND...
    name=$1
    shift
    if "$@" >/tmp/check.log 2>&1; then out "ok   $name ($(cut -d. -f1 /proc/uptime) s)"; else out "FAIL $name: $(tail -n 3 /tmp/check.log | tr '\n' ' ')"; fi
}
until_true() { # until_true SECONDS COMMAND...
    end=$(($(cut -d. -f1 /proc/uptime) + $1))
    shift
    until "$@"; do
        [ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ] || return 1
        sleep 1
    done
}
active() { [ "$(systemctl show -P StatusText $unit)" = Listening ]; }
no_network() { [ "$(ls /sys/class/net)" = lo ]; }
read_only() { ! touch /usr/probe; }
limits() { systemctl show -P MemoryMax $unit | grep -qx $((900 * 1048576)) && [ "$(cat /etc/hostname)" = boot-test ]; }
said() { # as fast as possible: emulation is too slow for a conversation at the speed of sound
    cd /tmp && runuser -u voice-needle -- env HOME=/var/lib/voice-needle XDG_CONFIG_HOME=/etc XDG_DATA_HOME=/var/lib \
        XDG_CACHE_HOME=/var/cache /opt/voice-needle/bin/voice-needle run --input /opt/timer.wav --output /tmp/answer.wav || return 1
    [ "$(stat -c %s /tmp/answer.wav)" -gt 50000 ] && called
}
called() {
    /opt/voice-needle/bin/python - <<'PY'
import sqlite3, sys
db = sqlite3.connect("file:/var/lib/voice-needle/ledger.db?mode=ro", uri=True)
rows = db.execute("select tool, arguments, kind from calls join outcomes on call = calls.id").fetchall()
print(rows)
sys.exit(not any("timer" in tool and kind == "ok" for tool, _, kind in rows))
PY
}
healed() {
    before=$(systemctl show -P NRestarts $unit)
    kill -9 "$(systemctl show -P MainPID $unit)"
    until_true 400 sh -c "[ \$(systemctl show -P NRestarts $unit) -gt $before ]" && until_true 400 active
}
out "booted: $(uname -m), $(nproc) cores, systemd at $(cut -d. -f1 /proc/uptime) s"
check "no network device" no_network
check "the root is read-only" read_only
systemctl stop $unit # one thing at a time: emulation has two slow cores
check "a WAV goes through the whole path, and the call is in the ledger" said
systemctl start --no-block $unit
check "the service listens" until_true 800 active
check "the boot file was applied, the board's limits hold" limits
out "memory: $(($(systemctl show -P MemoryCurrent $unit) / 1048576)) MB of the service; $(called 2>/dev/null | head -c 300)"
check "kill -9 is healed" healed
journalctl -b -u voice-needle-setup.service -u $unit -o cat --no-pager | tail -n 25 | while read -r line; do out "journal $line"; done
out done
systemctl poweroff --force
