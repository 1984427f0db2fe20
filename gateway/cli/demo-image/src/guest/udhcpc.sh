#!/bin/busybox sh
# What udhcpc calls: $1 says what happened, the lease is in the environment.
case "$1" in
bound | renew)
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    ip addr flush dev "$interface" scope global
    ip addr add "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface"
        break
    done
    [ -n "$dns" ] && for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
    [ -n "$hostname" ] && [ ! -e /run/named ] && hostname "$hostname"
    # a lease that came late is told as well
    [ -e /run/up ] && [ ! -e /run/lease.$interface ] && echo "address: $ip/${mask:-24}" >/dev/console
    >/run/lease.$interface
    ;;
deconfig)
    # a lease that ran out; the card stays up to ask again
    if [ -e /run/lease.$interface ]; then
        rm /run/lease.$interface
        ip addr flush dev "$interface" scope global
    fi
    ;;
esac
