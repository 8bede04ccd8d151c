#!/bin/sh
# A Debian 12 that boots, in the folder $1: systemd, Python, a kernel for virtual machines, and the bench's way in.
# Needs root, debootstrap and a network; some minutes.
set -eu

base=$1
guest=$(dirname "$0")/guest

rm -rf "$base"
debootstrap --variant=minbase \
    --include=systemd-sysv,udev,dbus,kmod,e2fsprogs,linux-image-cloud-amd64,initramfs-tools,python3,python3-venv \
    bookworm "$base" http://deb.debian.org/debian

echo gateway > "$base/etc/hostname"
echo '/dev/vda / ext4 errors=remount-ro 0 1' > "$base/etc/fstab"
# The host as the machine sees it, under the name that the shipped configuration has for its broker
printf '127.0.0.1 localhost\n10.0.2.2 mqtt.example.net\n' > "$base/etc/hosts"
printf '[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' > "$base/etc/systemd/network/eth0.network"

install -m 0644 "$guest/bench.socket" "$guest/bench@.service" "$base/etc/systemd/system/"
systemctl --root="$base" enable systemd-networkd.service bench.socket
systemctl --root="$base" mask serial-getty@ttyS0.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer
chroot "$base" update-initramfs -u
rm -rf "$base/var/cache/apt" "$base/var/lib/apt/lists"
touch "$base/.ready"
