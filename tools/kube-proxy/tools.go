//go:build tools

// Package tools pins kube-proxy: importing it is what keeps it in go.mod.
package tools

import _ "k8s.io/kubernetes/cmd/kube-proxy"
