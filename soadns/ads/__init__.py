"""The ADS server: sidecars that have no Istio are told routes and clusters as they change."""
