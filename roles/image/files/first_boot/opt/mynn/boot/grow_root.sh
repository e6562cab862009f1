#!/bin/sh
# Grow the root file system to the size of the card: `grow_root.sh [MOUNT-POINT]`. It may run any number of times, also
# after a power cut anywhere in it: the partition's new end is one sector that is written at once, and a file system
# that was growing has its journal. The card's size is remembered: a later boot only compares two numbers.
set -eu

mounted=${1:-/}
stamp=${mounted%/}/var/lib/mynn-pi/grown

# From the mounted file system to its partition and the partition's disk, whatever they are called.
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
if [ $((sectors - start - size)) -ge 2048 ]; then   # a MiB, to which sfdisk rounds
    echo ', +' | sfdisk --quiet --force --no-reread --no-tell-kernel --wipe never -N "$number" "/dev/${disk##*/}"
fi
# Also after a cut between the two: the kernel has read the new table then, and partx finds nothing to do.
partx --update --nr "$number" "/dev/${disk##*/}"
resize2fs "/dev/${partition##*/}"

mkdir -p "${stamp%/*}"
echo "$sectors" >"$stamp.new"
sync "$stamp.new"
mv "$stamp.new" "$stamp"
