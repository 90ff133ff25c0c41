"""HTTP: probes, metrics and the API. Knows the estate's views, never sources or the nameserver."""
