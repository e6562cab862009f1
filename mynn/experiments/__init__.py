"""Many trainings, compared: sweeps, the ladder of the blog's figures, the record, and how quick each way is."""
