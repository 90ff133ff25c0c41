//go:build tools

// Package tools pins MOSN: importing it is what keeps it in go.mod.
package tools

import _ "mosn.io/mosn/cmd/mosn/main"
