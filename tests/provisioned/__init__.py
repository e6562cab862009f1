"""What a provisioned Pi must be: one file a role, asked over SSH and over the network, of real and virtual Pis alike."""
