"""What survives a restart: the snapshot, when it is written, and another replica's where there is none."""
