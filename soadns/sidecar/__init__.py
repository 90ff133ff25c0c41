"""What sidecars are told: which Service a request is for, by ClusterIP, port, interface, group and version."""
