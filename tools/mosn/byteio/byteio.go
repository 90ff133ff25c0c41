// Package byteio stands for one of that name that no module proxy serves. MOSN's filter for Seata uses it, which nothing
// here configures: this is as much of it as lets that be compiled.
package byteio

import (
	"encoding/binary"
	"io"
)

// BigEndianWriter writes numbers with their most significant octet first.
type BigEndianWriter struct{ io.Writer }

// WriteUint32 writes four octets.
func (w *BigEndianWriter) WriteUint32(n uint32) (int, error) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return w.Write(b[:])
}

// BigEndianReader reads such numbers.
type BigEndianReader struct{ io.Reader }

// ReadUint32 reads four octets; it says how many there were.
func (r *BigEndianReader) ReadUint32() (uint32, int, error) {
	var b [4]byte
	n, err := io.ReadFull(r.Reader, b[:])
	return binary.BigEndian.Uint32(b[:]), n, err
}
