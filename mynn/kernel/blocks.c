/* Training on a Pi Zero: the steps of kernel.c, but the weights V are visited once for eight examples.

   What a Pi Zero waits for is its memory: V is some twenty times as large as its nearest memory (16 KB), and each
   example comes by twice, to be asked and to be learnt from. Let V stay as it was before a block of eight examples.
   What those before example m in its block have changed by then is found without it,

       V_now ink_m  =  V ink_m  +  the sum over these n of  (ink_n . ink_m) * step_n

   since each has added step_n * ink_n. Their steps are added to V together, when the next block's examples are asked:
   strip by strip of as many hidden nodes as a line of memory holds, so that a strip's part of these digits, about a
   third of all pixels, stays near while all sixteen come by.

   The steps are kernel.c's, but for the last digits. kernel.c includes this file, once for each REAL. */

#ifndef BLOCK
#define BLOCK 8
#define STRIP (32 / (int)sizeof(REAL)) /* hidden nodes: what comes from a Pi Zero's memory at once */

/* A pixel with ink, in one word, so that one load brings all that is asked of it: how many bytes of a strip lie before
   its row, and 8 times its value, which is how many bytes of the table of inks lie before its ink. */
typedef uint32_t Spot;
#define SPOT(pixel, value) ((Spot)(pixel) << 21 | (Spot)(value) << 3)
#define VALUE(spot) ((int16_t)((spot) & 0xffff))
#define PIXEL(spot) ((spot) >> 21)
#define ROW(strip, spot) ((REAL *)((char *)(strip) + ((spot) >> 16)))
#define INK(inks, spot) (*(const REAL *)((const char *)(inks) + ((spot) & 0xffff)))
#define MOST_INPUTS 2040 /* that fit into a spot, with one row more; and below, 8 * 255 * 255 of each into 32 bits */

typedef struct {
    int inked, count; /* how many spots have ink; these, filled up to fours with spots of a row that nobody asks */
    int sum;          /* of all values */
    Spot *spots;
} Digit;

/* Pixels to spots. */
static void find_spots(Digit *digit, const unsigned char *pixels, int inputs) {
    Spot *next = digit->spots;
    int i = 0;
    for (; i + FOUR <= inputs; i += FOUR) {
        uint32_t four;
        memcpy(&four, pixels + i, FOUR);
        if (!four) continue;
        for (int pixel = i; pixel < i + FOUR; pixel++) { /* no branch asks for a single one, as in kernel.c */
            const unsigned value = pixels[pixel];
            *next = SPOT(pixel, value);
            next += value != 0;
        }
    }
    for (; i < inputs; i++) {
        *next = SPOT(i, pixels[i]);
        next += pixels[i] != 0;
    }
    digit->inked = (int)(next - digit->spots);
    digit->count = UP_TO(FOUR, digit->inked);
    for (int k = digit->inked; k < digit->count; k++) *next++ = SPOT(inputs, 0);
    digit->sum = 0;
    for (int k = 0; k < digit->inked; k++) digit->sum += VALUE(digit->spots[k]) / 8;
}

/* 8 times the sum of one digit's values times another's. */
static int32_t dot(const Digit *digit, const unsigned char *other) {
    const Spot *spots = digit->spots;
    int32_t sum = 0;
    int k = 0;
    for (; k + FOUR <= digit->inked; k += FOUR) {
        Spot a = spots[k], b = spots[k + 1], c = spots[k + 2], d = spots[k + 3];
        sum += VALUE(a) * (int16_t)other[PIXEL(a)];
        sum += VALUE(b) * (int16_t)other[PIXEL(b)];
        sum += VALUE(c) * (int16_t)other[PIXEL(c)];
        sum += VALUE(d) * (int16_t)other[PIXEL(d)];
    }
    for (; k < digit->inked; k++) sum += VALUE(spots[k]) * (int16_t)other[PIXEL(spots[k])];
    return sum;
}
#endif

typedef struct {
    int inputs, hidden, outputs;
    int wide;      /* `hidden`, filled up as in kernel.c: to whole lines, and to whole strips */
    void *memory;  /* all of what follows */
    REAL *inks;    /* (256, 8 bytes each) what a pixel's value adds to paper */
    REAL *v;       /* (wide / STRIP, inputs + 1, STRIP): V, strip by strip; nobody asks for the last row */
    REAL *who;     /* (outputs, wide) */
    REAL *rows;    /* (wide,) these three are as in kernel.c */
    REAL *shift;   /* (wide,) */
    REAL *signals; /* (wide,) */
    REAL *sums;    /* (BLOCK, wide) V ink, before the block */
    REAL *steps;   /* (BLOCK, wide) */
    REAL *results; /* (outputs,) */
    Digit digits[2][BLOCK]; /* of this block, and of the one before */
} NAME(Blocks);

/* Whether examples can be taken like this: they must be pixels, and all their inputs evenly spaced, as mnist.py's are.
   Then the products of inks are whole numbers, times one factor. */
INLINE int NAME(blocks_serve)(const unsigned char *pixels, int inputs, const REAL *table) {
    const REAL unit = (table[255] - table[0]) / 255, least = sizeof(REAL) == 4 ? (REAL)5e-7 : (REAL)1e-15;
    int evenly = 1;
    for (int i = 0; i < 256; i++) {
        REAL apart = table[i] - table[0] - i * unit;
        evenly &= apart <= least && apart >= -least;
    }
    return pixels && inputs <= MOST_INPUTS && evenly;
}

/* The working memory of a network, with its weights in it; b.memory is null where there is none. */
INLINE NAME(Blocks) NAME(begin_blocks)(const REAL *wih, const REAL *who, int inputs, int hidden, int outputs,
                                       const REAL *table) {
    const int each = 8 / (int)sizeof(REAL);
    NAME(Blocks) b = {.inputs = inputs, .hidden = hidden, .outputs = outputs, .wide = UP_TO(LINE > STRIP ? LINE : STRIP, hidden)};
    size_t wide = b.wide, spots = UP_TO(FOUR, inputs);
    size_t numbers = 256 * each + (inputs + 1 + outputs + 3 + 2 * BLOCK) * wide + outputs;
    b.memory = aligned_alloc(64, UP_TO(64, numbers * sizeof(REAL) + 2 * BLOCK * spots * sizeof(Spot)));
    if (!b.memory) return b;
    memset(b.memory, 0, numbers * sizeof(REAL));
    b.inks = b.memory;
    b.v = b.inks + 256 * each;
    b.who = b.v + (inputs + 1) * wide;
    b.rows = b.who + outputs * wide;
    b.shift = b.rows + wide;
    b.signals = b.shift + wide;
    b.sums = b.signals + wide;
    b.steps = b.sums + BLOCK * wide;
    b.results = b.steps + BLOCK * wide;
    for (int n = 0; n < 2 * BLOCK; n++)
        b.digits[n / BLOCK][n % BLOCK].spots = (Spot *)(b.results + outputs) + n * spots;
    for (int i = 0; i < 256; i++) b.inks[i * each] = table[i] - table[0];
    for (int j = 0; j < hidden; j++) {
        REAL *column = b.v + (size_t)(j / STRIP) * (inputs + 1) * STRIP + j % STRIP;
        for (int i = 0; i < inputs; i++) b.rows[j] += column[i * STRIP] = wih[(size_t)j * inputs + i];
    }
    for (int k = 0; k < outputs; k++) memcpy(b.who + k * wide, who + (size_t)k * hidden, hidden * sizeof(REAL));
    return b;
}

/* sums = V ink, in one strip. */
static void NAME(ask_strip)(const Digit *digit, const REAL *strip, const REAL *inks, REAL *sums) {
    REAL all[STRIP] = {0};
    for (int k = 0; k < digit->count; k++) {
        const Spot spot = digit->spots[k];
        const REAL *row = ROW(strip, spot), ink = INK(inks, spot);
        for (int n = 0; n < STRIP; n++) all[n] += ink * row[n];
    }
    for (int n = 0; n < STRIP; n++) sums[n] = all[n];
}

/* V += ink * steps, in one strip: two pixels at a time, so that it need not wait for one before it begins the next. */
static void NAME(move_strip)(const Digit *digit, REAL *strip, const REAL *inks, const REAL *steps) {
    enum { TWO = sizeof(REAL) == 8 ? 2 : 1 }; /* of floats, one pixel is as much as there are registers for */
    REAL step[STRIP];
    for (int n = 0; n < STRIP; n++) step[n] = steps[n];
    for (int k = 0; k < digit->count; k += TWO) {
        REAL *row[TWO], moved[TWO][STRIP];
        for (int t = 0; t < TWO; t++) {
            const Spot spot = digit->spots[k + t];
            const REAL ink = INK(inks, spot);
            row[t] = ROW(strip, spot);
            for (int n = 0; n < STRIP; n++) moved[t][n] = row[t][n] + ink * step[n];
        }
        for (int t = 0; t < TWO; t++)
            for (int n = 0; n < STRIP; n++) row[t][n] = moved[t][n];
    }
}

/* Every step on one example, whose sums are in `signals`; leaves its step in `steps`. */
INLINE void NAME(learn)(NAME(Blocks) *b, REAL rate, int rule, REAL paper, REAL ink, int label, REAL *restrict steps) {
    const int wide = b->wide;
    REAL *restrict signals = b->signals;
    for (int j = 0; j < wide; j++) signals[j] = NAME(sigmoid)(signals[j]);
    for (int j = b->hidden; j < wide; j++) signals[j] = 0;
    for (int k = 0; k < b->outputs; k++) b->results[k] = NAME(sum)(signals, b->who + (size_t)k * wide, wide);
    for (int k = 0; k < b->outputs; k++) b->results[k] = NAME(sigmoid)(b->results[k]);
    memset(steps, 0, wide * sizeof(REAL));
    for (int k = 0; k < b->outputs; k++) {
        const REAL output = b->results[k], error = (k == label ? (REAL)0.99 : (REAL)0.01) - output;
        const REAL slope = output * (1 - output), signal = rule == GRADIENT ? error * slope : error;
        const REAL step = rate * error * (rule == CROSS_ENTROPY ? 1 : slope);
        REAL *restrict who = b->who + (size_t)k * wide;
        for (int j = 0; j < wide; j += FOUR) { /* as everywhere, a weight is used for the error signal before it moves */
            REAL back[FOUR], moved[FOUR];
            for (int n = 0; n < FOUR; n++) back[n] = steps[j + n] + signal * who[j + n];
            for (int n = 0; n < FOUR; n++) moved[n] = who[j + n] + step * signals[j + n];
            for (int n = 0; n < FOUR; n++) steps[j + n] = back[n];
            for (int n = 0; n < FOUR; n++) who[j + n] = moved[n];
        }
    }
    for (int j = 0; j < wide; j++) {
        const REAL step = rate * steps[j] * signals[j] * (1 - signals[j]);
        steps[j] = step;
        b->shift[j] += paper * step;
        b->rows[j] += ink * step;
    }
}

/* Every step on every example: see mynn_train, whose promises these are. */
INLINE int NAME(train_blocks)(REAL *wih, REAL *who, int inputs, int hidden, int outputs, const unsigned char *pixels,
                              long apart, const REAL *table, long count, const unsigned char *labels, REAL rate, int rule) {
    NAME(Blocks) b = NAME(begin_blocks)(wih, who, inputs, hidden, outputs, table);
    if (!b.memory) return -1;
    const REAL paper = table[0], unit = (table[255] - table[0]) / 255;
    const int wide = b.wide;
    int before = 0;
    for (long first = 0;; first += BLOCK) {
        const int these = first >= count ? 0 : count - first < BLOCK ? (int)(count - first) : BLOCK;
        Digit *digits = b.digits[first / BLOCK % 2], *old = b.digits[1 - first / BLOCK % 2];
        for (int m = 0; m < these; m++) find_spots(digits + m, pixels + (first + m) * apart, inputs);
        for (int j = 0; j < wide; j += STRIP) {
            REAL *strip = b.v + (size_t)j * (inputs + 1);
            for (int m = 0; m < before; m++) NAME(move_strip)(old + m, strip, b.inks, b.steps + (size_t)m * wide + j);
            for (int m = 0; m < these; m++) NAME(ask_strip)(digits + m, strip, b.inks, b.sums + (size_t)m * wide + j);
        }
        if (!these) break;
        for (int m = 0; m < these; m++) {
            const REAL ink = digits[m].sum * unit, all = ink + paper * inputs;
            const REAL *sums = b.sums + (size_t)m * wide;
            for (int j = 0; j < wide; j++) b.signals[j] = sums[j] + paper * b.rows[j] + all * b.shift[j];
            for (int n = 0; n < m; n++) {
                const REAL alike = dot(digits + m, pixels + (first + n) * apart) * (unit * unit / 8);
                NAME(add)(b.signals, alike, b.steps + (size_t)n * wide, wide);
            }
            NAME(learn)(&b, rate, rule, paper, ink, labels[first + m], b.steps + (size_t)m * wide);
        }
        before = these;
    }
    for (int j = 0; j < hidden; j++) {
        const REAL *column = b.v + (size_t)(j / STRIP) * (inputs + 1) * STRIP + j % STRIP;
        for (int i = 0; i < inputs; i++) wih[(size_t)j * inputs + i] = column[i * STRIP] + b.shift[j];
    }
    for (int k = 0; k < outputs; k++) memcpy(who + (size_t)k * hidden, b.who + (size_t)k * wide, hidden * sizeof(REAL));
    free(b.memory);
    return 0;
}
