"""The DNS data plane: wire format, zones, precompiled answers, and the workers that send them."""
