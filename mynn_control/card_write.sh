#!/bin/sh
# Copy an image onto a card, and read it back: card_write.sh BMAP IMAGE CARD
set -eu
bmaptool copy --bmap "$1" "$2" "$3"
blockdev --flushbufs "$3"    # so that the card is read, not a cache
echo "Reading it back"
bmaptool copy --bmap "$1" "$3" /dev/null
