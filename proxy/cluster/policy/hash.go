package policy

import "encoding/binary"

// murmurSeed is the seed of libstdc++'s std::hash, with which Envoy's MURMUR_HASH_2
// makes the same ring on every machine.
const murmurSeed = 0xc70f6907

// murmur2 is MurmurHash2 for 64 bits, by Austin Appleby, as libstdc++ has it.
func murmur2(key []byte) uint64 {
	const (
		mul   = 0xc6a4a7935bd1e995
		shift = 47
	)
	h := murmurSeed ^ uint64(len(key))*mul
	for ; len(key) >= 8; key = key[8:] {
		k := binary.LittleEndian.Uint64(key) * mul
		k = (k ^ k>>shift) * mul
		h = (h ^ k) * mul
	}
	if len(key) > 0 {
		var rest [8]byte
		copy(rest[:], key)
		h = (h ^ binary.LittleEndian.Uint64(rest[:])) * mul
	}
	h = (h ^ h>>shift) * mul
	return h ^ h>>shift
}
