/* Bilinear resampling of digits, as `_resample` in distort.py (a pixel may differ by 1).

   All arithmetic is fixed-point: coordinates in 65,536ths of a pixel, weights in 2,048ths. The result is the same
   on every machine and compiler, and a Pi Zero, without fast floating point, is as quick as it can be. */

#include <stdint.h>
#include <string.h>

enum {
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    EDGE = 2,        /* pixels of background on each side: sources farther out are background, too, and are clamped */
    ROOM = SIDE + 2 * EDGE,
    PLACE = 16,      /* fractional bits of a coordinate */
    SHARE = 11       /* fractional bits of a weight: two weights times a pixel just fit into 32 bits */
};

/* Integer part of a coordinate, counted from the first pixel of the edge. */
static inline int whole(int32_t place) {
    int pixel = place >> PLACE;
    pixel = pixel < -EDGE ? -EDGE : pixel;
    return (pixel > SIDE ? SIDE : pixel) + EDGE;
}

/* Fractional part of a coordinate, as a weight. */
static inline int part(int32_t place) { return place >> (PLACE - SHARE) & ((1 << SHARE) - 1); }

/* Resample pixels, (count, 784). matrices (count, 2, 3): affine maps from a new pixel to its source, down and right.
   fields (some, 784): displacements. which (count, 2): indices of the fields to add to the source, down and right. */
void mynn_resample(const uint8_t *pixels, const int32_t *matrices, const int32_t *fields, const int32_t *which,
                   long count, uint8_t *resampled) {
    uint8_t room[ROOM * ROOM] = {0}; /* a digit with the edge around it */
    for (long n = 0; n < count; n++, pixels += PIXELS, resampled += PIXELS, matrices += 6, which += 2) {
        const int32_t *down = fields + (size_t)which[0] * PIXELS, *right = fields + (size_t)which[1] * PIXELS;
        for (int r = 0; r < SIDE; r++) memcpy(room + (r + EDGE) * ROOM + EDGE, pixels + r * SIDE, SIDE);
        for (int r = 0; r < SIDE; r++) {
            int at[SIDE], below[SIDE], beside[SIDE], row = 2 * r - (SIDE - 1); /* half pixels from the middle */
            for (int c = 0; c < SIDE; c++) {
                int i = r * SIDE + c, column = 2 * c - (SIDE - 1);
                int32_t y = matrices[0] * row + matrices[1] * column + matrices[2] + down[i];
                int32_t x = matrices[3] * row + matrices[4] * column + matrices[5] + right[i];
                at[c] = whole(y) * ROOM + whole(x);
                below[c] = part(y);
                beside[c] = part(x);
            }
            for (int c = 0; c < SIDE; c++) {
                const uint8_t *these = room + at[c];
                int first = these[0] * ((1 << SHARE) - beside[c]) + these[1] * beside[c];
                int second = these[ROOM] * ((1 << SHARE) - beside[c]) + these[ROOM + 1] * beside[c];
                int total = first * ((1 << SHARE) - below[c]) + second * below[c];
                resampled[r * SIDE + c] = (uint8_t)((total + (1 << (2 * SHARE - 1))) >> (2 * SHARE));
            }
        }
    }
}
