/* Digits distorted: what distort.py's `_resample` does with scipy, but for a pixel's last digit; and what normalise.py
   needs to know of them.

   All of it is whole numbers: places are in 65,536ths of a pixel, shares in 2,048ths. So the same bytes come of it on
   every machine, whatever its compiler does with fractions, and a Pi Zero is as quick with them as it can be. */

#include <stdint.h>
#include <string.h>

enum {
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    EDGE = 2,        /* pixels of background on each side: whatever lies farther out sees nothing else either */
    ROOM = SIDE + 2 * EDGE,
    PLACE = 16,      /* bits behind the point of a place */
    SHARE = 11       /* and of a share; the product of two, times a pixel, has just room in 32 bits */
};

/* The whole pixel at a place, counted from the first one of the edge. */
static inline int whole(int32_t place) {
    int pixel = place >> PLACE;
    pixel = pixel < -EDGE ? -EDGE : pixel;
    return (pixel > SIDE ? SIDE : pixel) + EDGE;
}

/* What is behind the point of a place, as a share. */
static inline int part(int32_t place) { return place >> (PLACE - SHARE) & ((1 << SHARE) - 1); }

/* New pixels for old ones, both (count, 784). matrices (count, 2, 3): where a digit's new pixels come from as a whole,
   down and right. which (count, 2): the fields, (some, 784), that are added to these, down and right. */
void mynn_resample(const uint8_t *pixels, const int32_t *matrices, const int32_t *fields, const int32_t *which,
                   long count, uint8_t *resampled) {
    uint8_t room[ROOM * ROOM] = {0}; /* a digit, and the edge around it */
    for (long n = 0; n < count; n++, pixels += PIXELS, resampled += PIXELS, matrices += 6, which += 2) {
        const int32_t *down = fields + (size_t)which[0] * PIXELS, *right = fields + (size_t)which[1] * PIXELS;
        for (int r = 0; r < SIDE; r++) memcpy(room + (r + EDGE) * ROOM + EDGE, pixels + r * SIDE, SIDE);
        for (int r = 0; r < SIDE; r++) {
            int at[SIDE], below[SIDE], beside[SIDE], row = 2 * r - (SIDE - 1); /* in halves of a pixel from the middle */
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

/* sums (count, 3, 3): each digit's pixels (count, 784) times their row to a, and their column to b, added up; those for
   which a + b is more than 2 stay as they are. From the bottom up, a pixel of row r comes once into `one`, r times
   into `two`, and r * (r - 1) / 2 times into `three`: nothing is multiplied. */
void mynn_moments(const uint8_t *pixels, long count, int32_t *sums) {
    for (long n = 0; n < count; n++, pixels += PIXELS, sums += 9) {
        int32_t one[SIDE] = {0}, two[SIDE] = {0}, three[SIDE] = {0};
        for (int r = SIDE; r-- > 0;)
            for (int c = 0; c < SIDE; c++) {
                three[c] += two[c];
                two[c] += one[c];
                one[c] += pixels[r * SIDE + c];
            }
        for (int c = 0; c < SIDE; c++) {
            sums[0] += one[c];
            sums[1] += one[c] * c;
            sums[2] += one[c] * (c * c);
            sums[3] += two[c];
            sums[4] += two[c] * c;
            sums[6] += 2 * three[c] + two[c];
        }
    }
}
