// The kinds of the Prometheus operator that the tests have, pinned; nothing of it is built.
module soadns.io/tools/monitoring

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
