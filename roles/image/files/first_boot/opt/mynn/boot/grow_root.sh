#!/bin/sh
# Grow the root file system to the size of the card: `grow_root.sh [MOUNT-POINT]`. It may run again, also after a power
# cut at any step: the partition's new end is in one sector, written at once, and the file system has its journal. The
# stamp stores the card's size in sectors, so that later boots only compare two numbers.
set -eu

mounted=${1:-/}
stamp=${mounted%/}/var/lib/mynn-pi/grown

# Find the partition of the mounted file system and its disk in sysfs, independent of device names.
partition=$(readlink -f "/sys/dev/block/$(mountpoint -d "$mounted")")
disk=${partition%/*}
if [ ! -e "$partition/partition" ]; then
    echo "The root file system is on no partition, so there is nothing to grow."
    exit 0
fi
read -r sectors <"$disk/size"
if [ "$(cat "$stamp" 2>/dev/null)" = "$sectors" ]; then exit 0; fi

read -r number <"$partition/partition"
read -r start <"$partition/start"
read -r size <"$partition/size"
if [ $((sectors - start - size)) -ge 2048 ]; then   # 1 MiB: sfdisk rounds to that
    echo ', +' | sfdisk --quiet --force --no-reread --no-tell-kernel --wipe never -N "$number" "/dev/${disk##*/}"
fi
# After a power cut since sfdisk, the kernel has already read the new table, and partx does nothing.
partx --update --nr "$number" "/dev/${disk##*/}"
resize2fs "/dev/${partition##*/}"

mkdir -p "${stamp%/*}"
echo "$sectors" >"$stamp.new"
sync "$stamp.new"
mv "$stamp.new" "$stamp"
