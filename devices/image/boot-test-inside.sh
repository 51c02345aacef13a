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
said() {
    for attempt in 1 2 3; do
        aplay -q -D plughw:Loopback,1 /opt/timer.wav
        until_true 60 called && return 0
    done
    journalctl -u $unit -n 5 -o cat
    return 1
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
check "the service listens" until_true 800 active
check "the boot file was applied, the board's limits hold" limits
check "a spoken request is in the ledger, done" said
out "memory: $(($(systemctl show -P MemoryCurrent $unit) / 1048576)) MB of the service; $(called 2>/dev/null | head -c 300)"
check "kill -9 is healed" healed
journalctl -b -u voice-needle-setup.service -u $unit -o cat --no-pager | tail -n 25 | while read -r line; do out "journal $line"; done
out done
systemctl poweroff --force
