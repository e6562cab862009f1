"""What a provisioned Pi must be: one file per role, for real and virtual Pis."""
