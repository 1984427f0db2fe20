#!/bin/busybox sh
# What busybox's init runs before the shells: host name, drivers, network.

# To the serial port and to the screen.
say() {
    echo "$1"
    [ -c /dev/tty1 ] && echo "$1" >/dev/tty1
}

read -r uptime rest </proc/uptime
tag= product= serial=
read -r tag 2>/dev/null </sys/class/dmi/id/chassis_asset_tag
read -r product 2>/dev/null </sys/class/dmi/id/product_name
read -r serial 2>/dev/null </sys/class/dmi/id/product_serial

# The chassis asset tag: gyre;ip=10.0.0.5/24;gw=10.0.0.1 and perhaps dns=, mtu=, name=
ip= gw= dns= mtu= name=
case "$tag" in
gyre\;*)
    IFS=';'
    for word in ${tag#gyre}; do
        value=${word#*=}
        case "$word" in
        ip=*) ip=$value ;;
        gw=*) gw=$value ;;
        dns=*) dns=$value ;;
        mtu=*) mtu=$value ;;
        name=*) name=$value ;;
        esac
    done
    unset IFS
    ;;
esac

case "$serial" in '' | 'Not Specified' | 'None') serial= ;; esac
case "$product" in 'Standard PC'* | 'Not Specified' | 'None') product= ;; esac
name=${name:-${serial:-$product}}
name=$(printf %s "$name" | tr -c 'A-Za-z0-9.-' '-' | cut -c 1-63 | sed 's/^-*//; s/-*$//')
hostname "${name:-gyre-demo}"
[ -n "$name" ] && >/run/named
say "hostname: $(hostname)"
say "uptime: $uptime s"

while read -r module; do insmod /lib/modules/$module 2>/dev/null; done </lib/modules/stage1
ip link set lo up

# DHCP on every card at once. With a lease udhcpc stays and renews it. Without one it gives up where there is another
# way, and else goes on asking in the background after three seconds.
for path in /sys/class/net/eth*; do
    [ -e $path ] || continue
    card=${path##*/}
    otherwise='-t 3 -b'
    [ $card = eth0 ] && [ -n "$ip" ] && otherwise='-t 2 -n'
    ip link set $card up
    udhcpc -i $card -s /etc/udhcpc -T 1 $otherwise >/dev/null 2>&1 &
done
while read -r module; do insmod /lib/modules/$module 2>/dev/null; done </lib/modules/stage2
busybox --install -s /bin 2>/dev/null
wait

if [ ! -e /run/lease.eth0 ] && [ -n "$ip" ] && [ -e /sys/class/net/eth0 ]; then
    [ -n "$mtu" ] && ip link set eth0 mtu "$mtu"
    ip addr add "$ip" dev eth0
    [ -n "$gw" ] && ip route add default via "$gw"
    [ -n "$dns" ] && echo "nameserver $dns" >/etc/resolv.conf
fi
addresses=$(ip -4 -o addr show scope global | sed 's/.* inet \([^ ]*\) .*/\1/' | tr '\n' ' ')
read -r uptime rest </proc/uptime
addresses=${addresses% }
say "address: ${addresses:-none}"
say "uptime: $uptime s"
>/run/up
