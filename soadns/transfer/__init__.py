"""Zones for other name servers: AXFR, IXFR and NOTIFY (RFC 5936, 1995, 1996), for secondaries to scale with."""
