"""What a provisioned Pi must be: one file a role, asked of real and virtual Pis alike."""
