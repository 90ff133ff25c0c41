// The MOSN that the tests start, pinned, with the dependencies that its own go.mod names. `tools/parts` builds it.
module soadns.io/tools/mosn

go 1.26.0

require mosn.io/mosn v1.2.0

// As MOSN has it: what replaces a module holds for the main module alone.
replace (
	github.com/envoyproxy/go-control-plane => github.com/envoyproxy/go-control-plane v0.10.0
	istio.io/api => istio.io/api v0.0.0-20211103171850-665ed2b92d52
)

// No module proxy serves these.
replace (
	vimagination.zapto.org/byteio => ./byteio
	vimagination.zapto.org/memio => ./memio
)
