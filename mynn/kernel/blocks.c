/* Training by blocks (cache blocking): the steps of kernel.c, with one pass over the weights V per eight examples.

   Training is bound by memory: V is some twenty times as large as the L1 cache of a Pi Zero (16 KB), and seven times
   that of a PC (48 KB) or more; each example reads V twice, to query and to learn. Here V stays unchanged during a
   block of eight examples. The changes by the examples n before example m in the block are computed without V,

       V_now ink_m  =  V ink_m  +  the sum over n of  (ink_n . ink_m) * step_n

   since each has added step_n * ink_n. The steps of a block are added to V together, in the pass that queries the next
   block. This pass goes by strips of hidden nodes, so narrow that a strip's weights for the pixels of these sixteen
   digits, about a third of all pixels, stay in the cache.

   Results equal those of kernel.c, but for the last digits. kernel.c includes this file, once for each REAL. */

#ifndef BLOCK
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#define BLOCK 8
#define SIXTEEN 16

/* REGISTER: bytes added by one instruction. ROW_BITS: a row of a strip has 2^ROW_BITS bytes; the last strip may be half
   as wide. ASK_AHEAD, MOVE_AHEAD: pixels processed together, so that no sum waits for the one before it. */
#ifdef PI_ZERO
#define REGISTER (int)sizeof(REAL) /* bytes */
#define ROW_BITS 5                 /* a cache line, 32 bytes */
#define ASK_AHEAD 1
#define MOVE_AHEAD (sizeof(REAL) == 8 ? 2 : 1) /* for floats, registers suffice for one pixel only */
#else
#if defined __AVX512F__
#define REGISTER 64
#elif defined __AVX__
#define REGISTER 32
#else
#define REGISTER 16
#endif
#define ROW_BITS 7 /* two cache lines, for which a pixel's ink and place are found once */
#define ASK_AHEAD (REGISTER / 16)
#define MOVE_AHEAD (REGISTER / 16)
#endif
#define NODES ((1 << ROW_BITS) / (int)sizeof(REAL)) /* in a strip */
#define VECTORS(bits) ((1 << (bits)) / REGISTER)

/* A pixel with ink, in one word, to load at once: its index, and 8 times its value, which is the offset of its ink in
   the table `inks`, in bytes. */
typedef uint32_t Spot;
#define SPOT(pixel, value) (((Spot)(pixel) << 21) + ((Spot)(value) << 3))
#define VALUE(spot) ((int16_t)((spot) & 0xffff))
#define PIXEL(spot) ((spot) >> 21)
#define ROW(strip, spot, bits) ((void *)((char *)(strip) + ((spot) >> (21 - (bits)))))
#define INK(inks, spot) (*(const REAL *)((const char *)(inks) + ((spot) & 0xffff)))
#define MOST_INPUTS 2040 /* a Spot's 11 bits index them and a padding row; 8 * 255 * 255 * inputs fits 32 bits */

typedef struct {
    int inked, count; /* number of spots with ink; the same, padded to fours with spots of the unused row of V */
    int sum;          /* of all values */
    Spot *spots;
} Digit;

#ifdef __AVX512F__
/* Write the spots of those of sixteen pixels that have ink, then zeros. Returns the number with ink. */
static inline int find_sixteen(Spot *spots, const unsigned char *pixels, int pixel) {
    const __m512i each = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i places = _mm512_slli_epi32(_mm512_add_epi32(each, _mm512_set1_epi32(pixel)), 21);
    const __m512i values = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(pixels + pixel)));
    const __m512i all = _mm512_add_epi32(places, _mm512_slli_epi32(values, 3));
    const __mmask16 inked = _mm512_test_epi32_mask(values, values);
    _mm512_storeu_si512(spots, _mm512_maskz_compress_epi32(inked, all));
    return __builtin_popcount(inked);
}
#endif

/* Convert pixels to spots, without branches on a pixel or on eight, as in kernel.c. Needs room for 16 spots more. */
static void find_spots(Digit *digit, const unsigned char *pixels, int inputs) {
    Spot *restrict spots = digit->spots;
    int i = 0, sum = 0;
    size_t count = 0;
#ifdef __AVX512F__
    for (; i + SIXTEEN <= inputs; i += SIXTEEN) count += find_sixteen(spots + count, pixels, i);
#else
    int eights[MOST_INPUTS / EIGHT];
    size_t found = 0;
    for (; i + EIGHT <= inputs; i += EIGHT) {
        uint64_t eight;
        memcpy(&eight, pixels + i, EIGHT);
        eights[found] = i;
        found += eight != 0;
    }
    for (size_t k = 0; k < found; k++) {
        const unsigned char *eight = pixels + eights[k];
        const Spot first = SPOT(eights[k], 0);
        for (int n = 0; n < EIGHT; n++) {
            spots[count] = first + SPOT(n, eight[n]);
            count += eight[n] != 0;
        }
    }
#endif
    for (; i < inputs; i++) {
        spots[count] = SPOT(i, pixels[i]);
        count += pixels[i] != 0;
    }
    for (size_t k = 0; k < count; k++) sum += VALUE(spots[k]);
    digit->sum = sum / 8;
    digit->inked = (int)count;
    while (count % FOUR) spots[count++] = SPOT(inputs, 0);
    digit->count = (int)count;
}

/* alike[n] = the dot product of the values of digits m and n, for each digit n before m in the block. */
static void compare(const Digit *digit, int m, const unsigned char *pixels, long apart, int inputs, int32_t *alike) {
#ifndef PI_ZERO
    int16_t values[MOST_INPUTS]; /* all of them: a PC processes so many at once that skipping some gains nothing */
    (void)digit;
    for (int i = 0; i < inputs; i++) values[i] = pixels[m * apart + i];
    for (int n = 0; n < m; n++, pixels += apart) {
        int32_t sum = 0;
        for (int i = 0; i < inputs; i++) sum += values[i] * (int16_t)pixels[i];
        alike[n] = sum;
    }
#else
    (void)inputs;
    for (int n = 0; n < m; n++, pixels += apart) {
        const Spot *spots = digit->spots;
        int32_t sum = 0; /* eightfold */
        int k = 0;
        for (; k + FOUR <= digit->inked; k += FOUR) {
            Spot a = spots[k], b = spots[k + 1], c = spots[k + 2], d = spots[k + 3];
            sum += VALUE(a) * (int16_t)pixels[PIXEL(a)];
            sum += VALUE(b) * (int16_t)pixels[PIXEL(b)];
            sum += VALUE(c) * (int16_t)pixels[PIXEL(c)];
            sum += VALUE(d) * (int16_t)pixels[PIXEL(d)];
        }
        for (; k < digit->inked; k++) sum += VALUE(spots[k]) * (int16_t)pixels[PIXEL(spots[k])];
        alike[n] = sum / 8;
    }
#endif
}
#endif

#ifdef PI_ZERO
typedef REAL NAME(Vector);
#else
typedef REAL NAME(Vector) __attribute__((vector_size(REGISTER), may_alias));
#endif

typedef struct {
    int inputs, hidden, outputs;
    int wide;      /* `hidden`, padded to whole lines as in kernel.c */
    void *memory;  /* the allocation that holds all arrays below */
    REAL *inks;    /* (256, 8 bytes each) value of a pixel to ink */
    REAL *v;       /* (wide / NODES, inputs + 1, NODES) V, strip by strip; its last row is for padding spots */
    REAL *who;     /* (outputs, wide) */
    REAL *rows;    /* (wide,) this and the next two are as in kernel.c */
    REAL *shift;   /* (wide,) */
    REAL *signals; /* (wide,) */
    REAL *sums;    /* (BLOCK, wide) V ink, with V as before the block */
    REAL *steps;   /* (BLOCK, wide) */
    REAL *results; /* (outputs,) this and the next two are padded to whole lines */
    REAL *errors;  /* (outputs,) error signal sent back */
    REAL *moves;   /* (outputs,) change of a weight per unit of signal */
    Digit digits[2][BLOCK]; /* two buffers: this block and the one before, in turn */
} NAME(Blocks);

/* Whether this method works: examples must be pixels, and their inputs evenly spaced, as those of mnist.py. Then each
   product of two inks is an integer times one common factor. */
INLINE int NAME(blocks_serve)(const unsigned char *pixels, int inputs, const REAL *table) {
    const REAL unit = (table[255] - table[0]) / 255, least = sizeof(REAL) == 4 ? (REAL)5e-7 : (REAL)1e-15;
    int evenly = 1;
    for (int i = 0; i < 256; i++) {
        REAL apart = table[i] - table[0] - i * unit;
        evenly &= apart <= least && apart >= -least;
    }
    return pixels && inputs <= MOST_INPUTS && evenly;
}

/* Copy the weights to the hidden nodes from wih to V or, if `back`, from V to wih. */
INLINE void NAME(carry)(const NAME(Blocks) *b, REAL *wih, int back) {
    for (int j = 0; j < b->wide; j += NODES) {
        const int width = b->wide - j < NODES ? b->wide - j : NODES;
        REAL *row = b->v + (size_t)j * (b->inputs + 1);
        for (int i = 0; i < b->inputs; i++, row += width)
            for (int n = 0; n < width && j + n < b->hidden; n++) {
                REAL *weight = wih + (size_t)(j + n) * b->inputs + i;
                if (back) *weight = row[n] + b->shift[j + n];
                else b->rows[j + n] += row[n] = *weight;
            }
    }
}

/* Allocate the working memory of a network, with its weights in it; b.memory is null if there is not enough. */
INLINE NAME(Blocks) NAME(begin_blocks)(REAL *wih, const REAL *who, int inputs, int hidden, int outputs,
                                       const REAL *table) {
    enum { EACH = 8 / (int)sizeof(REAL) };
    NAME(Blocks) b = {.inputs = inputs, .hidden = hidden, .outputs = outputs, .wide = UP_TO(LINE, hidden)};
    size_t wide = b.wide, spots = UP_TO(FOUR, inputs) + SIXTEEN, most = UP_TO(LINE, outputs);
    size_t numbers = 256 * EACH + (inputs + 1 + outputs + 3 + 2 * BLOCK) * wide + 3 * most;
    b.memory = aligned_alloc(64, UP_TO(64, numbers * sizeof(REAL) + 2 * BLOCK * spots * sizeof(Spot)));
    if (!b.memory) return b;
    memset(b.memory, 0, numbers * sizeof(REAL));
    b.inks = b.memory;
    b.v = b.inks + 256 * EACH;
    b.who = b.v + (inputs + 1) * wide;
    b.rows = b.who + outputs * wide;
    b.shift = b.rows + wide;
    b.signals = b.shift + wide;
    b.sums = b.signals + wide;
    b.steps = b.sums + BLOCK * wide;
    b.results = b.steps + BLOCK * wide;
    b.errors = b.results + most;
    b.moves = b.errors + most;
    for (int n = 0; n < 2 * BLOCK; n++) b.digits[n / BLOCK][n % BLOCK].spots = (Spot *)(b.moves + most) + n * spots;
    for (int i = 0; i < 256; i++) b.inks[i * EACH] = table[i] - table[0];
    NAME(carry)(&b, wih, 0);
    for (int k = 0; k < outputs; k++) memcpy(b.who + k * wide, who + (size_t)k * hidden, hidden * sizeof(REAL));
    return b;
}

/* Query one strip: sums = V ink. */
INLINE void NAME(ask_strip)(const Digit *digit, const REAL *strip, const REAL *inks, REAL *sums, int bits) {
    const int vectors = VECTORS(bits);
    NAME(Vector) all[ASK_AHEAD][VECTORS(ROW_BITS)], *to = (NAME(Vector) *)sums;
    for (int a = 0; a < ASK_AHEAD; a++)
        for (int n = 0; n < vectors; n++) all[a][n] = (NAME(Vector)){0};
    for (int k = 0; k < digit->count; k += ASK_AHEAD)
        for (int a = 0; a < ASK_AHEAD; a++) {
            const Spot spot = digit->spots[k + a];
            const NAME(Vector) *row = ROW(strip, spot, bits);
            const REAL ink = INK(inks, spot);
            for (int n = 0; n < vectors; n++) all[a][n] += ink * row[n];
        }
    for (int n = 0; n < vectors; n++) {
        for (int a = 1; a < ASK_AHEAD; a++) all[0][n] += all[a][n];
        to[n] = all[0][n];
    }
}

/* Update one strip: V += ink * steps, several pixels at a time, so that none waits for the one before it. */
INLINE void NAME(move_strip)(const Digit *digit, REAL *strip, const REAL *inks, const REAL *steps, int bits) {
    const int vectors = VECTORS(bits);
    NAME(Vector) step[VECTORS(ROW_BITS)];
    for (int n = 0; n < vectors; n++) step[n] = ((const NAME(Vector) *)steps)[n];
    for (int k = 0; k < digit->count; k += MOVE_AHEAD) {
        NAME(Vector) *row[MOVE_AHEAD], moved[MOVE_AHEAD][VECTORS(ROW_BITS)];
        for (unsigned a = 0; a < MOVE_AHEAD; a++) {
            const Spot spot = digit->spots[k + a];
            const REAL ink = INK(inks, spot);
            row[a] = ROW(strip, spot, bits);
            for (int n = 0; n < vectors; n++) moved[a][n] = row[a][n] + ink * step[n];
        }
        for (unsigned a = 0; a < MOVE_AHEAD; a++)
            for (int n = 0; n < vectors; n++) row[a][n] = moved[a][n];
    }
}

/* In the strip that begins at hidden node j: add the steps of the old digits to V, then query it for the new ones. */
INLINE void NAME(visit)(NAME(Blocks) *b, int j, int bits, const Digit *old, int before, const Digit *new, int these) {
    REAL *strip = b->v + (size_t)j * (b->inputs + 1), *steps = b->steps + j, *sums = b->sums + j;
    for (int m = 0; m < before; m++) NAME(move_strip)(old + m, strip, b->inks, steps + (size_t)m * b->wide, bits);
    for (int m = 0; m < these; m++) NAME(ask_strip)(new + m, strip, b->inks, sums + (size_t)m * b->wide, bits);
}

/* Compute the hidden nodes' signals for example m of a block: its sums, plus the changes by examples before it. */
INLINE void NAME(reach)(NAME(Blocks) *b, int m, const int32_t *alike, REAL unit, REAL paper, REAL ink) {
    const int wide = b->wide;
    REAL all = ink + paper * b->inputs, *restrict signals = b->signals;
    const REAL *sums = b->sums + (size_t)m * wide;
    for (int j = 0; j < wide; j++) signals[j] = sums[j] + paper * b->rows[j] + all * b->shift[j];
    for (int n = 0; n < m; n++) NAME(add)(signals, alike[n] * (unit * unit), b->steps + (size_t)n * wide, wide);
    for (int j = 0; j < wide; j++) signals[j] = NAME(sigmoid)(signals[j]);
    for (int j = b->hidden; j < wide; j++) signals[j] = 0;
}

/* Train on one example, given the hidden nodes' signals. Writes its step to `steps`, to be added to V later. */
INLINE void NAME(learn)(NAME(Blocks) *b, REAL rate, int rule, REAL paper, REAL ink, int label, REAL *restrict steps) {
    const int wide = b->wide;
    for (int k = 0; k < b->outputs; k++) b->results[k] = NAME(sum)(b->signals, b->who + (size_t)k * wide, wide);
    for (int k = 0; k < UP_TO(LINE, b->outputs); k++) b->results[k] = NAME(sigmoid)(b->results[k]);
    for (int k = 0; k < b->outputs; k++) {
        const REAL output = b->results[k], error = (k == label ? (REAL)0.99 : (REAL)0.01) - output;
        const REAL slope = output * (1 - output);
        b->errors[k] = rule == GRADIENT ? error * slope : error;
        b->moves[k] = rate * error * (rule == CROSS_ENTROPY ? 1 : slope);
    }
    for (int j = 0; j < wide; j += LINE) {
        enum { ALL = LINE * (int)sizeof(REAL) / REGISTER };
        NAME(Vector) signals[ALL], back[ALL], *to = (NAME(Vector) *)(steps + j);
        NAME(Vector) *shift = (NAME(Vector) *)(b->shift + j), *rows = (NAME(Vector) *)(b->rows + j);
        for (int n = 0; n < ALL; n++) signals[n] = ((NAME(Vector) *)(b->signals + j))[n];
        for (int n = 0; n < ALL; n++) back[n] = (NAME(Vector)){0};
        for (int k = 0; k < b->outputs; k++) { /* a weight is used for the error signal before it changes */
            NAME(Vector) *who = (NAME(Vector) *)(b->who + (size_t)k * wide + j), moved[ALL];
            const REAL error = b->errors[k], move = b->moves[k];
            for (int n = 0; n < ALL; n++) back[n] += error * who[n];
            for (int n = 0; n < ALL; n++) moved[n] = who[n] + move * signals[n];
            for (int n = 0; n < ALL; n++) who[n] = moved[n];
        }
        for (int n = 0; n < ALL; n++) {
            const NAME(Vector) step = rate * back[n] * signals[n] * (1 - signals[n]);
            to[n] = step;
            shift[n] += paper * step;
            rows[n] += ink * step;
        }
    }
}

/* Train on all examples. Parameters and return value as in mynn_train. */
INLINE int NAME(train_blocks)(REAL *wih, REAL *who, int inputs, int hidden, int outputs, const unsigned char *pixels,
                              long apart, const REAL *table, long count, const unsigned char *labels, REAL rate, int rule) {
    NAME(Blocks) b = NAME(begin_blocks)(wih, who, inputs, hidden, outputs, table);
    if (!b.memory) return -1;
    const REAL paper = table[0], unit = (table[255] - table[0]) / 255;
    int before = 0;
    for (long first = 0;; first += BLOCK) {
        const int these = first >= count ? 0 : count - first < BLOCK ? (int)(count - first) : BLOCK;
        const unsigned char *block = pixels + first * apart;
        Digit *digits = b.digits[first / BLOCK % 2], *old = b.digits[1 - first / BLOCK % 2];
        for (int m = 0; m < these; m++) find_spots(digits + m, block + m * apart, inputs);
        int j = 0;
        for (; b.wide - j >= NODES; j += NODES) NAME(visit)(&b, j, ROW_BITS, old, before, digits, these);
        if (j < b.wide) NAME(visit)(&b, j, ROW_BITS - 1, old, before, digits, these);
        if (!these) break;
        for (int m = 0; m < these; m++) {
            const REAL ink = digits[m].sum * unit;
            int32_t alike[BLOCK];
            compare(digits + m, m, block, apart, inputs, alike);
            NAME(reach)(&b, m, alike, unit, paper, ink);
            NAME(learn)(&b, rate, rule, paper, ink, labels[first + m], b.steps + (size_t)m * b.wide);
        }
        before = these;
    }
    NAME(carry)(&b, wih, 1);
    for (int k = 0; k < outputs; k++) memcpy(who + (size_t)k * hidden, b.who + (size_t)k * b.wide, hidden * sizeof(REAL));
    free(b.memory);
    return 0;
}
