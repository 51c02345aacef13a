# Runs inside the emulated appliance, as root, from boot-test.service, at each of its boots; each line goes to the serial console.
# Boot 1 is the card as it was flashed; it ends with a good update. Boot 2 runs that update; it ends with one that does not start.
# Boot 3 must be slot b again. QUICK=1 leaves out what has nothing to do with the slots.
unit=voice-needle.service
state=/data/boot-test
out() { echo "BOOT-TEST $*" >/dev/console; }
check() { # check NAME COMMAND...
    name=$1
    shift
    if "$@" >/tmp/check.log 2>&1; then
        out "ok   $name ($(cut -d. -f1 /proc/uptime) s)"
    else
        out "FAIL $name: $(tail -n 5 /tmp/check.log | tr '\n' ' ')"
    fi
}
until_true() { # until_true SECONDS COMMAND...
    end=$(($(cut -d. -f1 /proc/uptime) + $1))
    shift
    until "$@"; do
        [ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ] || return 1
        sleep 1
    done
}
slots() { /opt/voice-needle/bin/slots "$@"; }
runs() { [ "$(slots which)" = "$1" ] && [ "$(cat /opt/boot-test/release)" = "$2" ]; }
active() { [ "$(systemctl show -P StatusText $unit)" = Listening ]; }
no_network() { [ "$(ls /sys/class/net)" = lo ]; }
read_only() { ! touch /usr/probe; }
grown() { until_true 300 systemctl is-active -q voice-needle-grow.service && [ "$(df --output=size -m /data | tail -n 1)" -gt 700 ]; }
limits() { systemctl show -P MemoryMax $unit | grep -qx $((900 * 1048576)) && named; }
named() { [ "$(hostname)" = boot-test ]; }
zone() { date +%Z | grep -qE '^CES?T$'; }
pi5() { # what a Raspberry Pi 5 needs of the kernel: south bridge, clocks, pins, Ethernet, USB, the card
    for module in rp1_pci clk_rp1 pinctrl_rp1 macb dwc3 sdhci_brcmstb snd_usb_audio brcmfmac; do modinfo -n $module || return 1; done
}
login() { # login WORDS...: through the real server, on this machine
    ssh -n -i /opt/boot-test/owner -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ConnectTimeout=120 "$@" root@127.0.0.1 'echo in; hostname'
}
ssh_key() { until_true 400 systemctl is-active -q ssh.service && [ "$(login)" = "in
boot-test" ]; }
ssh_without() { ! login -o PubkeyAuthentication=no; }
wifi() { # simulated radios; the other one is an access point with the same key
    modprobe mac80211_hwsim radios=2 || return 1
    printf 'network={\nssid=436166c3a92035\nmode=2\nfrequency=2412\nkey_mgmt=WPA-PSK\npsk="correct horse"\n}\n' >/tmp/ap.conf
    wpa_supplicant -B -i wlan1 -c /tmp/ap.conf || return 1
    until_true 300 joined || { wpa_cli -i wlan0 status; journalctl -b -u wpa_supplicant@wlan0.service -o cat | tail -n 4; return 1; }
}
joined() { wpa_cli -i wlan0 status | grep -qx wpa_state=COMPLETED; }
said() { # as fast as possible: emulation is too slow for a conversation at the speed of sound
    cd /tmp && runuser -u voice-needle -- env HOME=/var/lib/voice-needle XDG_CONFIG_HOME=/etc XDG_DATA_HOME=/var/lib \
        XDG_CACHE_HOME=/var/cache /opt/voice-needle/bin/voice-needle run --input /opt/boot-test/timer.wav --output /tmp/answer.wav || return 1
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
    until_true 900 sh -c "[ \$(systemctl show -P NRestarts $unit) -gt $before ]" && until_true 900 active ||
        { systemctl show -P ActiveState -P SubState -P NRestarts -P StatusText $unit; journalctl -u $unit -o cat -n 6; return 1; }
}
stick() { # stick NAME: copy an update from the stick, as an owner would
    mkdir -p /tmp/stick
    mountpoint -q /tmp/stick || mount -o ro -L vn-stick /tmp/stick || return 1
    rm -f /data/update/*
    cp "/tmp/stick/updates/$1.vnu" /data/update/
}
written() { for each in 2 3; do cut -d' ' -f 1-7 "/sys/class/block/vda$each/stat" | awk '{print $5, $7}'; done; ls -R /boot/firmware; }
refused() { # refused NAME SENTENCE: the real unit says so, and no request to write reached a system partition
    stick "$1" || return 1
    sync
    before=$(written)
    ! systemctl start voice-needle-update.service || return 1
    sync
    [ "$before" = "$(written)" ] || { echo "written: $before / $(written)"; return 1; }
    journalctl -b -u voice-needle-update.service -o cat | tail -n 5 | grep "$2"
}
update() { # does not come back: the machine restarts
    stick "$1" || { out "FAIL no $1 on the stick"; return; }
    systemctl start voice-needle-update.service # the restart may well end this very command with an error
    journalctl -b -u voice-needle-update.service -o cat | grep -qx "slot [ab] is written; trying it" ||
        out "FAIL $(journalctl -b -u voice-needle-update.service -o cat | tail -n 3 | tr '\n' ' ')"
    sleep 600
    out "FAIL it did not restart"
}
kept() { until_true 2400 grep -qx "slot=$1" /boot/firmware/slot.env && [ ! -e /boot/firmware/tried.txt ]; }
told() { until_true 1200 sh -c "journalctl -b -u voice-needle-confirm.service -o cat | grep -x '$1'"; }
end() {
    journalctl -b -u voice-needle-setup.service -u voice-needle-confirm.service -u voice-needle-grow.service -u $unit -o cat --no-pager |
        tail -n 15 | while read -r line; do out "journal $line"; done
    out done
    systemctl poweroff --force
}

boot=$(($(cat $state 2>/dev/null || echo 0) + 1))
echo $boot >$state
out "boot $boot: slot $(slots which), $(uname -mr), $(nproc) cores, systemd at $(cut -d. -f1 /proc/uptime) s"
case $boot in
1)
    check "the card as flashed runs from slot a" runs a 1
    if [ -e /opt/boot-test/quick ]; then
        check "the service listens" until_true 1500 active
        update good
        end
    fi
    check "no network device" no_network
    check "the root is read-only" read_only
    check "the data partition took the room on the card" grown
    check "the kernel has what a Raspberry Pi 5 needs" pi5
    systemctl stop $unit # one thing at a time: emulation has two slow cores
    check "the time zone of the boot file holds" until_true 400 zone
    check "ssh lets the key of the boot file in" ssh_key
    check "ssh lets nobody in without it" ssh_without
    check "a WAV goes through the whole path, and the call is in the ledger" said
    check "a damaged update is refused, nothing written" refused damaged "is damaged"
    check "a stranger's update is refused, nothing written" refused stranger "is not signed by anybody"
    check "Wi-Fi of the boot file joins a WPA2 network" wifi
    modprobe -r mac80211_hwsim
    systemctl start --no-block $unit
    check "the service listens" until_true 1500 active
    check "the boot file was applied, the board's limits hold" limits
    out "memory: $(($(systemctl show -P MemoryCurrent $unit) / 1048576)) MB of the service; $(called 2>/dev/null | head -c 300)"
    update good
    end
    ;;
2)
    check "the update started, in slot b" runs b 2
    check "the name of the boot file holds" until_true 120 named
    check "it listens and stays" kept b
    update empty
    end
    ;;
*)
    check "the update that does not start was left: slot b again" runs b 2
    check "and the journal says so" told "the update empty.vnu did not start; slot b goes on"
    check "the service listens" until_true 1500 active
    check "nothing is tried again" test ! -e /boot/firmware/try.env -a ! -e /boot/firmware/tried.txt -a -e /boot/firmware/failed.txt
    check "kill -9 is healed" healed
    end
    ;;
esac
