#!/bin/sh
# The disk of a gateway, $2, from the Debian in $1: the program installed as README.md says, not yet configured.
# The wheels are fetched here, by their hashes, because the machine has no network but the bench's.
set -eu

base=$1
disk=$2
root=$(mktemp -d "$disk.XXXXXX")
trap 'rm -rf "$root"' EXIT

cp -a "$base/." "$root"
mkdir -p "$root/usr/src/fluss-gateway"
.venv/bin/python -m pip --disable-pip-version-check download -qq --require-hashes --only-binary :all: --no-deps \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_17_x86_64 --dest "$root/usr/src/wheels" --requirement requirements/gateway.txt
.venv/bin/python -m pip --disable-pip-version-check wheel -qq --no-deps --no-build-isolation \
    --wheel-dir "$root/usr/src/wheels" .
cp -R requirements systemd "$root/usr/src/fluss-gateway"

chroot "$root" sh -eu <<'END'
cd /usr/src/fluss-gateway
python3 -m venv /opt/fluss-gateway
pip="/opt/fluss-gateway/bin/pip --disable-pip-version-check install -qq --no-index --find-links /usr/src/wheels"
$pip --require-hashes -r requirements/gateway.txt
$pip --no-deps fluss-gateway
rm -r /usr/src/wheels
END

rm -f "$disk"
truncate -s 3G "$disk"
mkfs.ext4 -q -d "$root" "$disk"
cp "$root"/boot/vmlinuz-* "$(dirname "$disk")/vmlinuz"
cp "$root"/boot/initrd.img-* "$(dirname "$disk")/initrd.img"
