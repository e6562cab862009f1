/* What a processor can do at most with the weights of pixels with ink. To train on an example, what reaches the hidden
   nodes is gathered from the weights of each of its pixels with ink, and a step is added to the same weights. Nothing
   else is done.

   REAL is the kind of numbers, VECTOR the bytes of a register, STRIP the registers in a row of a strip, TILE how many
   registers hold sums in `one_by_one`. */

typedef REAL Vector __attribute__((vector_size(VECTOR)));

enum { BLOCK = 8, AHEAD = 4, LANES = VECTOR / (int)sizeof(REAL) };

/* v (inputs, wide) on a whole line of the cache. Of each of `count` examples, where[] has the rows that have ink, whose
   number, a multiple of AHEAD, is in inked[], and ink[] how much. sums (BLOCK, wide). */
void one_by_one(REAL *v, long wide, long inputs, const int *where, const REAL *ink, const int *inked, long count,
                REAL *sums) {
    const long vectors = wide / LANES;
    (void)inputs;
    for (long n = 0; n < count; where += inked[n], ink += inked[n], n++) {
        for (long first = 0; first < vectors; first += TILE) {
            Vector all[TILE] = {0};
            for (int k = 0; k < inked[n]; k++) {
                const Vector *row = (const Vector *)(v + where[k] * wide) + first;
                for (int t = 0; t < TILE; t++) all[t] += ink[k] * row[t];
            }
            for (int t = 0; t < TILE; t++) ((Vector *)sums)[first + t] = all[t];
        }
        for (long first = 0; first < vectors; first += TILE) {
            Vector step[TILE];
            for (int t = 0; t < TILE; t++) step[t] = ((Vector *)sums)[first + t] * (REAL)1e-6;
            for (int k = inked[n]; k-- > 0;) {
                Vector *row = (Vector *)(v + where[k] * wide) + first;
                for (int t = 0; t < TILE; t++) row[t] += ink[k] * step[t];
            }
        }
    }
}

typedef struct {
    const int *where, *inked;
    const REAL *ink;
} Digits;

/* Of one strip of V, rows of so many vectors: add the steps of a block, then gather the sums of the next. */
static inline __attribute__((always_inline)) void visit(REAL *strip, int vectors, long wide, Digits old, int before,
                                                        Digits new, REAL *sums) {
    const int row = vectors * LANES;
    for (int m = 0; m < before; old.where += old.inked[m], old.ink += old.inked[m], m++) {
        Vector step[STRIP];
        for (int t = 0; t < vectors; t++) step[t] = ((Vector *)(sums + m * wide))[t] * (REAL)1e-6;
        for (int k = 0; k < old.inked[m]; k += AHEAD) {
            Vector *to[AHEAD], moved[AHEAD][STRIP];
            for (int a = 0; a < AHEAD; a++) {
                to[a] = (Vector *)(strip + old.where[k + a] * row);
                for (int t = 0; t < vectors; t++) moved[a][t] = to[a][t] + old.ink[k + a] * step[t];
            }
            for (int a = 0; a < AHEAD; a++)
                for (int t = 0; t < vectors; t++) to[a][t] = moved[a][t];
        }
    }
    for (int m = 0; m < BLOCK; new.where += new.inked[m], new.ink += new.inked[m], m++) {
        Vector sum[AHEAD][STRIP] = {0};
        for (int k = 0; k < new.inked[m]; k += AHEAD)
            for (int a = 0; a < AHEAD; a++) {
                const Vector *from = (const Vector *)(strip + new.where[k + a] * row);
                for (int t = 0; t < vectors; t++) sum[a][t] += new.ink[k + a] * from[t];
            }
        for (int t = 0; t < vectors; t++)
            ((Vector *)(sums + m * wide))[t] = sum[0][t] + sum[1][t] + sum[2][t] + sum[3][t];
    }
}

/* The same for blocks of eight examples, with V strip by strip, as in mynn/kernel/blocks.c. */
void by_blocks(REAL *v, long wide, long inputs, const int *where, const REAL *ink, const int *inked, long count,
               REAL *sums) {
    enum { ROW = STRIP * LANES };
    Digits old = {where, inked, ink}, new = old;
    for (long n = 0; n < count; n += BLOCK) {
        long j = 0;
        for (; wide - j >= ROW; j += ROW) visit(v + j * inputs, STRIP, wide, old, n ? BLOCK : 0, new, sums + j);
        if (j < wide) visit(v + j * inputs, STRIP / 2, wide, old, n ? BLOCK : 0, new, sums + j);
        old = new;
        for (int m = 0; m < BLOCK; m++) new.where += new.inked[m], new.ink += new.inked[m];
        new.inked += BLOCK;
    }
}
