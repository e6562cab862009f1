#!/bin/sh
# Load the USB Ethernet gadget: the Pi appears as a network card of the computer at the other end of the cable. Both MAC
# addresses derive from the serial number, so they are unique and stay the same; new ones would look like a new card
# at each boot. (02 and 06 mark locally administered addresses.)
set -eu
tail=$(tr -cd 0-9a-f <"${MYNN_ROOT:-}/proc/device-tree/serial-number" | tail -c 6 | sed 's/../:&/g')
exec modprobe g_ether "dev_addr=02:6d:79$tail" "host_addr=06:6d:79$tail"
