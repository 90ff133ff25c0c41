"""Zones in etcd, as SkyDNS keeps them there: what CoreDNS's plugin ``etcd`` answers from."""
