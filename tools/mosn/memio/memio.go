// Package memio stands for one of that name that no module proxy serves, and of which MOSN uses nothing.
package memio
