//go:build tools

// Package tools pins Helm: importing it is what keeps it in go.mod.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
