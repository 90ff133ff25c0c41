"""What manifests would change, tried on a copy of the running process."""
