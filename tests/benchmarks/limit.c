/* What a processor can do at most, one example after the other: what reaches the hidden nodes is gathered from the
   weights of each pixel with ink, and a step is added to the same weights. Nothing else is done.

   REAL is the kind of numbers, VECTOR the bytes of a register, TILE how many registers hold sums. */

typedef REAL Vector __attribute__((vector_size(VECTOR)));

/* v (inputs, wide) on a whole line of the cache. Of each of `count` examples, where[] has the rows that have ink, whose
   number is in inked[], and ink[] how much. sums (wide,). */
void limit(REAL *v, long wide, const int *where, const REAL *ink, const int *inked, long count, REAL *sums) {
    const long vectors = wide * (long)sizeof(REAL) / VECTOR;
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
