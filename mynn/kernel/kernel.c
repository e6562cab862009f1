/* Compiled kernel for training and queries: the same steps as network.py, in the same order, only faster.

   Four fifths of a digit's pixels are background. Write an example as x = paper * 1 + ink, where `ink` is zero on the
   background. Then a training step adds to the weights of hidden node j

       step_j * x  =  (step_j * paper) * 1  +  step_j * ink

   and the first term is one number for the whole row. The weights W, (hidden, inputs), are therefore stored as

       W = V + shift * 1          V: a column changes only if its pixel has ink;  shift: one number per hidden node

   The weighted sums skip the background, too. With rows_j, the sum of V's row j, kept up to date,

       W x  =  V ink  +  paper * rows  +  shift * sum(x)

   V is transposed in memory: all weights of one pixel are contiguous.

   This file includes itself twice, to compile for double and for float. It does not use Python: __init__.py calls it
   by ctypes. */

#ifndef REAL

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BOOK, GRADIENT, CROSS_ENTROPY }; /* network.py's RULES, in their order */

#define UP_TO(multiple, n) (((n) + (multiple) - 1) / (multiple) * (multiple))

#define FOUR 4  /* pixels with ink are processed four at a time */
#define EIGHT 8 /* pixels to search for ink at a time: most eights are all paper */

/* LINE: hidden nodes processed at a time. On a PC, a cache line of 64 bytes, which also fills the largest registers;
   on a Pi Zero, enough independent sums that none waits for the one before it. */
#ifdef __x86_64__
#define LINE (64 / (int)sizeof(REAL))
#else
#define LINE 4
#endif

#define INLINE static inline __attribute__((always_inline)) /* keeps what the compiler knows about `wide` */

/* Marker: setup.py defines its name from a checksum of the sources. See _built.py. */
void MYNN_SOURCES(void) {}

/* x86-64 microarchitecture level of this processor, if setup.py builds a library for it (3 or 4); else 0. */
int mynn_level(void) {
#if defined(__x86_64__) && __GNUC__ >= 12
    return __builtin_cpu_supports("x86-64-v4") ? 4 : __builtin_cpu_supports("x86-64-v3") ? 3 : 0;
#else
    return 0;
#endif
}

/* A PC and a Pi Zero, on which blocks.c was measured, train with it if they can: see blocks_serve. */
#ifdef __arm__
#define PI_ZERO
#endif
#if defined PI_ZERO || defined __x86_64__
#define BLOCKS
#endif

#define NAME(name) name##_double
#define REAL double
#define BITS int64_t /* layout of a double: sign, exponent + BIAS, fraction of 52 bits */
#define BIAS 1023
#define FRACTION 52
#define FARTHEST 700 /* a double can hold e to the power of this and of its negative */
#define TERMS 13     /* further terms of the series for e are below the precision */
#include "kernel.c"
#undef NAME
#undef REAL
#undef BITS
#undef BIAS
#undef FRACTION
#undef FARTHEST
#undef TERMS
#define NAME(name) name##_float
#define REAL float
#define BITS int32_t
#define BIAS 127
#define FRACTION 23
#define FARTHEST 80
#define TERMS 7
#include "kernel.c"

#else

typedef struct {
    int inputs, hidden, outputs;
    int wide;      /* `hidden`, padded to whole lines with nodes whose signals and weights stay 0 */
    REAL *v;       /* (inputs, wide): V transposed */
    REAL *who;     /* (outputs, wide) */
    REAL *rows;    /* (wide,) row sums of V */
    REAL *shift;   /* (wide,) */
    REAL *signals; /* (wide,) outputs of the hidden nodes */
    REAL *steps;   /* (wide,) */
    REAL *results; /* (outputs,) */
    REAL *ink;     /* (up to inputs, padded to fours with zeros) the nonzero values of x - paper */
    int *where;    /* their pixels */
    int *eights;   /* (up to inputs / 8,) first pixels of eights that are not all paper */
} NAME(Work);

/* Allocate the working memory of a network, with its weights in it; w.v is null if there is not enough memory. */
INLINE NAME(Work) NAME(begin)(const REAL *wih, const REAL *who, int inputs, int hidden, int outputs) {
    size_t wide = UP_TO(LINE, hidden), most = UP_TO(FOUR, inputs);
    size_t numbers = (inputs + outputs + 4) * wide + outputs + most;
    size_t bytes = numbers * sizeof(REAL) + (most + inputs / EIGHT) * sizeof(int);
    NAME(Work) w = {.inputs = inputs, .hidden = hidden, .outputs = outputs, .wide = (int)wide};
    w.v = aligned_alloc(64, UP_TO(64, bytes)); /* aligned to cache lines */
    if (!w.v) return w;
    w.who = w.v + inputs * wide;
    w.rows = w.who + outputs * wide;
    w.shift = w.rows + wide;
    w.signals = w.shift + wide;
    w.steps = w.signals + wide;
    w.results = w.steps + wide;
    w.ink = w.results + outputs;
    w.where = (int *)(w.ink + most);
    w.eights = w.where + most;
    memset(w.v, 0, (inputs + outputs + 4) * wide * sizeof(REAL));
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < hidden; j++) w.rows[j] += w.v[i * wide + j] = wih[(size_t)j * inputs + i];
    for (int k = 0; k < outputs; k++) memcpy(w.who + k * wide, who + (size_t)k * hidden, hidden * sizeof(REAL));
    return w;
}

/* to += factor * from: both are `wide` long, and they do not overlap. */
INLINE void NAME(add)(REAL *restrict to, REAL factor, const REAL *restrict from, int wide) {
    for (int j = 0; j < wide; j += LINE) {
        REAL line[LINE];
        for (int n = 0; n < LINE; n++) line[n] = to[j + n] + factor * from[j + n];
        for (int n = 0; n < LINE; n++) to[j + n] = line[n];
    }
}

/* sums += ink * V, for four pixels. */
INLINE void NAME(add_four)(REAL *restrict sums, const REAL *ink, const REAL *v, const int *where, int wide) {
    const REAL *v0 = v + (size_t)where[0] * wide, *v1 = v + (size_t)where[1] * wide;
    const REAL *v2 = v + (size_t)where[2] * wide, *v3 = v + (size_t)where[3] * wide;
    const REAL ink0 = ink[0], ink1 = ink[1], ink2 = ink[2], ink3 = ink[3];
    for (int j = 0; j < wide; j += LINE) {
        REAL line[LINE];
        for (int n = 0; n < LINE; n++) line[n] = sums[j + n] + ink0 * v0[j + n];
        for (int n = 0; n < LINE; n++) line[n] += ink1 * v1[j + n];
        for (int n = 0; n < LINE; n++) line[n] += ink2 * v2[j + n];
        for (int n = 0; n < LINE; n++) line[n] += ink3 * v3[j + n];
        for (int n = 0; n < LINE; n++) sums[j + n] = line[n];
    }
}

/* Dot product of the hidden nodes' signals and the weights of one output. */
INLINE REAL NAME(sum)(const REAL *signals, const REAL *weights, int wide) {
    REAL part[LINE] = {0};
    for (int j = 0; j < wide; j += LINE)
        for (int n = 0; n < LINE; n++) part[n] += weights[j + n] * signals[j + n];
    for (int half = LINE / 2; half; half /= 2)
        for (int n = 0; n < half; n++) part[n] += part[n + half];
    return *part;
}

/* Sigmoid, 1 / (1 + e^-sum), right but for the last digit or two. With -sum = n * ln 2 + r, n an integer and r small,
   e^-sum = 2^n * e^r. 2^n is written directly into the bits of a number; e^r is the series 1 + r + r^2 / 2 + r^3 / 6...
   The library's exp() would take longer than all the rest on a Pi Zero, since Debian for it does not use its
   floating-point unit, and on a PC it could not be vectorized. */
INLINE REAL NAME(sigmoid)(REAL sum) {
    static const REAL factors[] = {1, 1, 1 / 2., 1 / 6., 1 / 24., 1 / 120., 1 / 720., 1 / 5040., 1 / 40320., 1 / 362880.,
                                   1 / 3628800., 1 / 39916800., 1 / 479001600., 1 / 6227020800.};
    REAL x = -sum;
    x = x < -FARTHEST ? -FARTHEST : x;
    x = x > FARTHEST ? FARTHEST : x;
    int n = (int)(x * (REAL)1.4426950408889634 + (REAL)1100.5) - 1100; /* x / ln 2, to the nearest */
    REAL r = x - n * (REAL)0.693359375 + n * (REAL)2.1219444005469058e-4; /* ln 2 in two parts: the first is exact */
    REAL power = factors[TERMS];
    for (int term = TERMS - 1; term >= 0; term--) power = power * r + factors[term];
    BITS bits = (BITS)(n + BIAS) << FRACTION;
    REAL two_to_n;
    memcpy(&two_to_n, &bits, sizeof bits);
    return 1 / (1 + power * two_to_n);
}

/* Return what is most of a row of inputs, if anything is: its paper. That is found by Boyer and Moore's vote
   (doi:10.1007/978-94-011-3488-0_5) on some thirty of them. Results are right with any paper; this has least ink. */
INLINE REAL NAME(paper_of)(const REAL *inputs, int count) {
    REAL most = *inputs;
    for (int i = 0, ahead = 0; i < count; i += count / 32 + 1) {
        most = ahead ? most : inputs[i];
        ahead += inputs[i] == most ? 1 : -1;
    }
    return most;
}

/* Convert pixels 0..255 (by `table`) or, if pixels is null, inputs to ink. Returns the number of pixels with ink, in
   *sum the sum of ink, and in *on the paper. No branch depends on a single pixel, since the processor could not
   predict it. */
INLINE int NAME(take)(NAME(Work) *w, const unsigned char *pixels, const REAL *inputs, const REAL *table, REAL *sum,
                      REAL *on) {
    const REAL paper = *on = pixels ? *table : NAME(paper_of)(inputs, w->inputs);
    REAL all = 0;
    int count = 0, eights = 0, i = 0;
    if (pixels) {
        for (; i + EIGHT <= w->inputs; i += EIGHT) {
            uint64_t eight;
            memcpy(&eight, pixels + i, EIGHT);
            w->eights[eights] = i;
            eights += eight != 0;
        }
        for (int k = 0; k < eights; k++)
            for (int pixel = w->eights[k]; pixel < w->eights[k] + EIGHT; pixel++) {
                w->where[count] = pixel;
                count += pixels[pixel] != 0;
            }
    }
    for (; i < w->inputs; i++) {
        w->where[count] = i;
        count += pixels ? pixels[i] != 0 : inputs[i] != paper;
    }
    for (int k = 0; k < count; k++) {
        i = w->where[k];
        all += w->ink[k] = (pixels ? table[pixels[i]] : inputs[i]) - paper;
    }
    for (; count % FOUR; count++) { /* pad with pixel 0 and ink 0, which has no effect */
        w->where[count] = 0;
        w->ink[count] = 0;
    }
    *sum = all;
    return count;
}

/* Query: compute the hidden nodes' signals and the results from ink. */
INLINE void NAME(ask)(NAME(Work) *w, int count, REAL paper, REAL sum) {
    REAL all = sum + paper * w->inputs;
    for (int j = 0; j < w->wide; j++) w->signals[j] = paper * w->rows[j] + all * w->shift[j];
    for (int k = 0; k < count; k += FOUR) NAME(add_four)(w->signals, w->ink + k, w->v, w->where + k, w->wide);
    for (int j = 0; j < w->wide; j++) w->signals[j] = NAME(sigmoid)(w->signals[j]);
    for (int j = w->hidden; j < w->wide; j++) w->signals[j] = 0;
    for (int k = 0; k < w->outputs; k++) w->results[k] = NAME(sum)(w->signals, w->who + (size_t)k * w->wide, w->wide);
    for (int k = 0; k < w->outputs; k++) w->results[k] = NAME(sigmoid)(w->results[k]);
}

/* Train on each example: see mynn_train. */
INLINE void NAME(train)(NAME(Work) w, REAL rate, int rule, const unsigned char *pixels, long apart,
                        const REAL *signals, const REAL *table, const unsigned char *labels, long count) {
    const int wide = w.wide;
    for (long n = 0; n < count; n++) {
        const unsigned char *these = pixels ? pixels + n * apart : 0;
        REAL sum, paper;
        int inked = NAME(take)(&w, these, pixels ? 0 : signals + n * w.inputs, table, &sum, &paper);
        NAME(ask)(&w, inked, paper, sum);

        /* Use each output's weights for the error signal before they change. */
        memset(w.steps, 0, wide * sizeof(REAL));
        for (int k = 0; k < w.outputs; k++) {
            REAL output = w.results[k], error = (k == labels[n] ? (REAL)0.99 : (REAL)0.01) - output;
            REAL slope = output * (1 - output);
            NAME(add)(w.steps, rule == GRADIENT ? error * slope : error, w.who + (size_t)k * wide, wide);
            NAME(add)(w.who + (size_t)k * wide, rate * error * (rule == CROSS_ENTROPY ? 1 : slope), w.signals, wide);
        }
        for (int j = 0; j < wide; j++) {
            REAL step = rate * w.steps[j] * w.signals[j] * (1 - w.signals[j]);
            w.steps[j] = step;
            w.shift[j] += paper * step;
            w.rows[j] += sum * step;
        }
        /* In reverse: the last rows were read most recently, and are still in the cache. */
        for (int k = inked; k-- > 0;) NAME(add)(w.v + (size_t)w.where[k] * wide, w.ink[k], w.steps, wide);
    }
}

#ifdef BLOCKS
#include "blocks.c"
#endif

/* Train on `count` examples, one by one. Returns 0, or -1 if there is not enough memory.

   wih, who: as in network.py, changed in place. rule: as above. pixels: (count, inputs), null to use signals; apart:
   bytes from one row of pixels to the next. signals: (count, inputs), inputs. table: (256,), pixel to input; *table is
   the paper of pixels. labels: (count,), each below `outputs`. */
int NAME(mynn_train)(REAL *wih, REAL *who, int inputs, int hidden, int outputs,
                      const unsigned char *pixels, long apart, const REAL *signals, const REAL *table, long count,
                      const unsigned char *labels, REAL rate, int rule) {
#ifdef BLOCKS
    if (NAME(blocks_serve)(pixels, inputs, table))
        return NAME(train_blocks)(wih, who, inputs, hidden, outputs, pixels, apart, table, count, labels, rate, rule);
#endif
    NAME(Work) w = NAME(begin)(wih, who, inputs, hidden, outputs);
    if (!w.v) return -1;
    NAME(train)(w, rate, rule, pixels, apart, signals, table, labels, count);
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < hidden; j++) wih[(size_t)j * inputs + i] = w.v[(size_t)i * w.wide + j] + w.shift[j];
    for (int k = 0; k < outputs; k++)
        memcpy(who + (size_t)k * hidden, w.who + (size_t)k * w.wide, hidden * sizeof(REAL));
    free(w.v);
    return 0;
}

/* Query `count` examples; writes results (count, outputs). Parameters and return value as in mynn_train. */
int NAME(mynn_query)(const REAL *wih, const REAL *who, int inputs, int hidden, int outputs,
                      const unsigned char *pixels, long apart, const REAL *signals, const REAL *table, long count,
                      REAL *results) {
    NAME(Work) w = NAME(begin)(wih, who, inputs, hidden, outputs);
    if (!w.v) return -1;
    for (long n = 0; n < count; n++) {
        const unsigned char *these = pixels ? pixels + n * apart : 0;
        REAL sum, paper;
        int inked = NAME(take)(&w, these, pixels ? 0 : signals + n * inputs, table, &sum, &paper);
        NAME(ask)(&w, inked, paper, sum);
        memcpy(results + n * outputs, w.results, outputs * sizeof(REAL));
    }
    free(w.v);
    return 0;
}

#endif
