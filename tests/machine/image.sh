#!/bin/sh
# The disk of a gateway, $2, from the Debian in $1: the program installed as README.md says, not yet configured.
# The wheels are fetched here, by their hashes, because the machine has no network but the bench's.
set -eu

base=$1
disk=$2
root=$(mktemp -d "$disk.XXXXXX")
trap 'rm -rf "$root"' EXIT

cp -a "$base/." "$root"
mkdir -p "$root/root/fluss-gateway"
.venv/bin/python -m pip --disable-pip-version-check download -qq --require-hashes --only-binary :all: --no-deps \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_17_x86_64 --dest "$root/root/wheels" --requirement requirements/gateway.txt
.venv/bin/python -m pip --disable-pip-version-check wheel -qq --no-deps --no-build-isolation \
    --wheel-dir "$root/root/wheels" .
cp -R requirements systemd "$root/root/fluss-gateway"

chroot "$root" sh -eu <<'END'
cd /root/fluss-gateway
python3 -m venv /opt/fluss-gateway
pip="/opt/fluss-gateway/bin/pip --disable-pip-version-check install -qq --no-index --find-links /root/wheels"
$pip --require-hashes -r requirements/gateway.txt
$pip --no-deps fluss-gateway
rm -r /root/wheels
END

rm -f "$disk"
truncate -s 3G "$disk"
mkfs.ext4 -q -d "$root" "$disk"
cp "$root"/boot/vmlinuz-* "$(dirname "$disk")/vmlinuz"
cp "$root"/boot/initrd.img-* "$(dirname "$disk")/initrd.img"
