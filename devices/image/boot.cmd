# U-Boot's script on the boot partition: which slot starts. A slot on trial (try.env) is tried once, because its name is taken off
# the card before it starts; a slot whose kernel cannot be loaded gives way to the other one. See `slots` for who writes what.
setenv from "${devtype} ${devnum}:${distro_bootpart}"
# Where its memory begins, and its serial lines (two numbers of one driver on one command line would silence both).
setenv high 0
setenv consoles "console=ttyAMA10,115200 console=ttyS1,115200 console=tty0"
if test "${board}" = qemu-arm; then setenv high 4; setenv consoles "console=ttyAMA0"; fi
setenv text 0x${high}3f00000
setenv kernel 0x${high}4000000
setenv ramdisk 0x${high}8000000
setenv slot a
setenv try
if test -e ${from} slot.env; then load ${from} ${text} slot.env; env import -t ${text} ${filesize} slot; fi
if test -e ${from} try.env; then load ${from} ${text} try.env; env import -t ${text} ${filesize} try; fatrm ${from} try.env; fi
if test -e ${from} try.env; then echo "vn: try.env cannot be taken off, so nothing is tried"; setenv try; fi
setenv other b
if test "${slot}" = b; then setenv other a; fi
for each in ${try} ${slot} ${other}; do
    echo "vn: slot ${each}"
    if load ${from} ${kernel} ${each}/vmlinuz; then
        if load ${from} ${ramdisk} ${each}/initrd.img; then
            setenv ramdisk_size ${filesize}
            if load ${from} ${text} ${each}/cmdline.txt; then
                env import -t ${text} ${filesize} bootargs
                setenv bootargs "${consoles} ${bootargs}"
                booti ${kernel} ${ramdisk}:${ramdisk_size} ${fdt_addr}
            fi
        fi
    fi
done
echo "vn: neither slot starts"
sleep 10
reset
