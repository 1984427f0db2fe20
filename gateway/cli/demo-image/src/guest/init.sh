#!/bin/busybox sh
# The guest's first process. It greets as soon as the power button works, and then becomes busybox's init, which runs
# /etc/rc and keeps the shells.
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do insmod /lib/modules/$module 2>/dev/null; done </lib/modules/stage0

# Power buttons: the device is opened here, so that an event from now on waits for its reader; a daemon like acpid
# would open it some time after the greeting, and a button pressed before that would be lost.
for event in /sys/class/input/event*; do
    read -r name 2>/dev/null <$event/device/name || continue
    [ "$name" = 'Power Button' ] || continue
    exec 3</dev/input/${event##*/}
    /etc/power-button <&3 >/dev/null 2>&1 &
    exec 3<&-
done

cat /etc/greeting
[ -c /dev/tty1 ] && cat /etc/greeting >/dev/tty1
exec init
