"""What operators and sidecars see, as plain data for HTTP and the command line. Pure."""
