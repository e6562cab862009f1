/* The compiled kernel: the very steps of network.py, on the same examples in the same order, only quicker.

   Four fifths of a digit's pixels are paper. Write an example as x = paper * 1 + ink, where `ink` is zero on paper.
   Then a training step adds to the weights of hidden node j

       step_j * x  =  (step_j * paper) * 1  +  step_j * ink

   and the first part is one number for the whole row. So the weights W, (hidden, inputs), are kept as

       W = V + shift * 1          V: a column changes only where there is ink;  shift: one number a hidden node

   and what reaches a hidden node needs no paper either: with rows_j, the sum of V's row j, kept up to date,

       W x  =  V ink  +  paper * rows  +  shift * sum(x)

   V lies in memory transposed, so that what belongs to one pixel is together.

   This file is compiled for double and, by including itself, for float. It needs no Python: kernel.py calls it. */

#ifndef REAL

#include <math.h>
#include <string.h>

/* Parse whole lines of `numbers` whole numbers, each 0..255 and the first below `labels`; commas between, a newline at
   the end. Returns how many lines there were, or -1 where anything at all is unusual or there are more than `most`.
   rows: room for most * numbers bytes. */
long mynn_parse(const unsigned char *text, long length, int numbers, int labels, unsigned char *rows, long most) {
    const unsigned char *end = text + length;
    long line = 0;
    for (; text < end; line++) {
        if (line == most) return -1;
        for (int at = 0; at < numbers; at++) {
            unsigned value = 0, digits = 0, digit;
            for (; text < end && (digit = *text - '0') < 10; text++, digits++) value = 10 * value + digit;
            if (digits < 1 || digits > 3 || value > 255 || text == end) return -1;
            if (*text++ != (at == numbers - 1 ? '\n' : ',')) return -1;
            *rows++ = (unsigned char)value;
        }
        if (rows[-numbers] >= labels) return -1;
    }
    return line;
}

enum { BOOK, GRADIENT, CROSS_ENTROPY }; /* network.py's RULES, in their order */

#define TOGETHER 4 /* pixels, or sums, that are worked on at once: enough to keep a processor busy */
#define ROUND(n) (((n) + TOGETHER - 1) / TOGETHER * TOGETHER)

static const unsigned char only_paper[8];
#define EIGHT ((int)sizeof only_paper)

/* One wheel is for every PC: there, each function is made twice, and the better one for this processor is used. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && __GNUC__ >= 12
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline)) /* or the two would share the lesser one's */

#define NAME(name) name##_double
#define REAL double
#define EXP exp
#include "kernel.c"
#undef NAME
#undef REAL
#undef EXP
#define NAME(name) name##_float
#define REAL float
#define EXP expf
#include "kernel.c"

#else

typedef struct {
    int inputs, hidden, outputs;
    REAL *v;       /* (inputs, wide): V transposed; `wide` is `hidden`, filled up with zeros to a multiple */
    REAL *rows;    /* (wide,) the sums of V's rows */
    REAL *shift;   /* (wide,) */
    REAL *signals; /* (wide,) what the hidden nodes send on */
    REAL *steps;   /* (wide,) */
    REAL *ink;     /* (up to inputs, filled up with zeros to a multiple) x - paper, where that is not 0 */
    int *where;    /* which pixels these are */
} NAME(Work);

/* How many bytes of working memory a network needs. */
size_t NAME(mynn_room)(int inputs, int hidden) {
    size_t wide = ROUND(hidden), most = ROUND(inputs);
    return (inputs * wide + 4 * wide + most) * sizeof(REAL) + most * sizeof(int);
}

INLINE NAME(Work) NAME(lay_out)(const REAL *wih, int inputs, int hidden, int outputs, void *room) {
    int wide = ROUND(hidden);
    NAME(Work) w = {.inputs = inputs, .hidden = hidden, .outputs = outputs, .v = room};
    w.rows = w.v + (size_t)inputs * wide;
    w.shift = w.rows + wide;
    w.signals = w.shift + wide;
    w.steps = w.signals + wide;
    w.ink = w.steps + wide;
    w.where = (int *)(w.ink + ROUND(inputs));
    memset(w.v, 0, ((size_t)inputs + 4) * wide * sizeof(REAL));
    for (int j = 0; j < hidden; j++)
        for (int i = 0; i < inputs; i++) {
            REAL weight = wih[(size_t)j * inputs + i];
            w.v[(size_t)i * wide + j] = weight;
            w.rows[j] += weight;
        }
    return w;
}

INLINE REAL NAME(sigmoid)(REAL sum) { return 1 / (1 + EXP(-sum)); }

/* Pixels 0..255, which `table` turns into inputs, or (pixels null) inputs as they are: to ink. Returns how many have
   ink, and the sum of it. */
INLINE int NAME(take)(NAME(Work) *w, const unsigned char *pixels, const REAL *inputs, const REAL *table, REAL paper,
                      REAL *sum) {
    int count = 0;
    REAL part[TOGETHER] = {0};
    for (int i = 0; i < w->inputs; i++) {
        if (pixels && i + EIGHT <= w->inputs && !memcmp(pixels + i, only_paper, EIGHT)) {
            i += EIGHT - 1;
            continue;
        }
        REAL ink = (pixels ? table[pixels[i]] : inputs[i]) - paper;
        w->where[count] = i;
        w->ink[count] = ink;
        count += ink != 0; /* without a branch: whether a pixel has ink is not to be foretold */
    }
    for (; count % TOGETHER; count++) { /* no ink on pixel 0 changes nothing */
        w->where[count] = 0;
        w->ink[count] = 0;
    }
    for (int k = 0; k < count; k += TOGETHER)
        for (int lane = 0; lane < TOGETHER; lane++) part[lane] += w->ink[k + lane];
    *sum = (part[0] + part[1]) + (part[2] + part[3]);
    return count;
}

/* Inputs to the hidden nodes' signals. */
INLINE void NAME(forward)(NAME(Work) *w, int count, REAL paper, REAL sum) {
    int wide = ROUND(w->hidden);
    REAL *restrict sums = w->signals;
    REAL all = sum + paper * w->inputs;
    for (int j = 0; j < wide; j++) sums[j] = paper * w->rows[j] + all * w->shift[j];
    for (int k = 0; k < count; k += TOGETHER) {
        const REAL *restrict v0 = w->v + (size_t)w->where[k] * wide, *restrict v1 = w->v + (size_t)w->where[k + 1] * wide;
        const REAL *restrict v2 = w->v + (size_t)w->where[k + 2] * wide, *restrict v3 = w->v + (size_t)w->where[k + 3] * wide;
        const REAL ink0 = w->ink[k], ink1 = w->ink[k + 1], ink2 = w->ink[k + 2], ink3 = w->ink[k + 3];
        for (int j = 0; j < wide; j++) sums[j] += ink0 * v0[j] + ink1 * v1[j] + (ink2 * v2[j] + ink3 * v3[j]);
    }
    for (int j = 0; j < w->hidden; j++) sums[j] = NAME(sigmoid)(sums[j]);
}

/* The hidden nodes' signals to one output. */
INLINE REAL NAME(output)(const NAME(Work) *w, const REAL *weights) {
    REAL part[TOGETHER] = {0};
    int j = 0;
    for (; j + TOGETHER <= w->hidden; j += TOGETHER)
        for (int lane = 0; lane < TOGETHER; lane++) part[lane] += weights[j + lane] * w->signals[j + lane];
    for (; j < w->hidden; j++) part[0] += weights[j] * w->signals[j];
    return NAME(sigmoid)((part[0] + part[1]) + (part[2] + part[3]));
}

/* Train on `count` examples, one after the other.

   wih, who: as in network.py, changed in place. rule: as above. pixels (count, inputs), with a table of 256 inputs whose first is
   paper; or, pixels null, inputs (count, inputs) with paper = *table. labels (count,): each below `outputs`.
   room: mynn_room bytes. */
FOR_EACH_PROCESSOR void NAME(mynn_train)(REAL *wih, REAL *who, int inputs, int hidden, int outputs, REAL rate, int rule,
                      const unsigned char *pixels, const REAL *signals, const REAL *table, const unsigned char *labels,
                      long count, void *room) {
    NAME(Work) w = NAME(lay_out)(wih, inputs, hidden, outputs, room);
    int wide = ROUND(hidden);
    REAL paper = *table;
    for (long n = 0; n < count; n++) {
        REAL sum;
        int inked = NAME(take)(&w, pixels ? pixels + n * inputs : 0, pixels ? 0 : signals + n * inputs, table, paper, &sum);
        NAME(forward)(&w, inked, paper, sum);

        /* Each output's weights are used for the blame, and only then moved. */
        REAL *restrict blame = w.steps;
        const REAL *restrict sent = w.signals;
        memset(blame, 0, wide * sizeof(REAL));
        for (int k = 0; k < outputs; k++) {
            REAL *restrict weights = who + (size_t)k * hidden;
            REAL output = NAME(output)(&w, weights);
            REAL error = (k == labels[n] ? (REAL)0.99 : (REAL)0.01) - output;
            REAL slope = output * (1 - output), step = rate * error * (rule == CROSS_ENTROPY ? 1 : slope);
            REAL fault = rule == GRADIENT ? error * slope : error;
            for (int j = 0; j < hidden; j++) {
                blame[j] += fault * weights[j];
                weights[j] += step * sent[j];
            }
        }

        REAL *restrict steps = blame;
        for (int j = 0; j < hidden; j++) steps[j] = rate * blame[j] * sent[j] * (1 - sent[j]);
        for (int j = 0; j < hidden; j++) {
            w.shift[j] += paper * steps[j];
            w.rows[j] += sum * steps[j];
        }
        for (int k = 0; k < inked; k++) {
            REAL *restrict v = w.v + (size_t)w.where[k] * wide;
            REAL ink = w.ink[k];
            for (int j = 0; j < wide; j += TOGETHER) { /* one at a time, the Pi Zero would wait for each */
                REAL moved[TOGETHER];
                for (int lane = 0; lane < TOGETHER; lane++) moved[lane] = v[j + lane] + ink * steps[j + lane];
                for (int lane = 0; lane < TOGETHER; lane++) v[j + lane] = moved[lane];
            }
        }
    }
    for (int j = 0; j < hidden; j++)
        for (int i = 0; i < inputs; i++) wih[(size_t)j * inputs + i] = w.v[(size_t)i * wide + j] + w.shift[j];
}

/* The answers to `count` examples: which output is the strongest (the first of them, where some are equal).
   What it is given is as for training; answers (count,). */
FOR_EACH_PROCESSOR void NAME(mynn_answer)(const REAL *wih, const REAL *who, int inputs, int hidden, int outputs,
                       const unsigned char *pixels, const REAL *signals, const REAL *table, unsigned char *answers,
                       long count, void *room) {
    NAME(Work) w = NAME(lay_out)(wih, inputs, hidden, outputs, room);
    for (long n = 0; n < count; n++) {
        REAL sum, best = -1;
        int inked = NAME(take)(&w, pixels ? pixels + n * inputs : 0, pixels ? 0 : signals + n * inputs, table, *table, &sum);
        NAME(forward)(&w, inked, *table, sum);
        for (int k = 0; k < outputs; k++) {
            REAL output = NAME(output)(&w, who + (size_t)k * hidden);
            if (output > best) {
                best = output;
                answers[n] = (unsigned char)k;
            }
        }
    }
}

#endif
