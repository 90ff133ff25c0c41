//go:build tools

// Package tools pins kubectl: importing it is what keeps it in go.mod.
package tools

import _ "k8s.io/kubernetes/cmd/kubectl"
