//go:build tools

// Package tools pins istiod: importing it is what keeps it in go.mod.
package tools

import _ "istio.io/istio/pilot/cmd/pilot-discovery"
