"""HTTP: probes, metrics and the JSON API."""
