package control

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/xds/control/policy"
)

// FuzzCompile: whatever is a policy becomes resources or problems, and always the
// same ones.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(doc("digits", "")))
	f.Add([]byte(doc("digits", "  filters: {batch: {max_batch_size: 2}}\n  routes:\n  - {prefix: /a, filters: {stream: {}}, timeout: 1s}\n")))
	f.Add([]byte(doc("digits", "  filters: {batch: {max_batch_size: 0, group_by_headers: [\"a b\"]}, stream: {heartbeat: 1ms}}\n")))
	c := compiler()
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := policy.Decode("f", data)
		if err != nil {
			return
		}
		for _, p := range list {
			first, err := c.Compile(p)
			second, again := c.Compile(p)
			if err != nil {
				require.EqualError(t, again, err.Error())
				continue
			}
			require.NoError(t, again)
			require.Equal(t, first.Version, second.Version)
			require.True(t, proto.Equal(first.items[listeners][0].resource, second.items[listeners][0].resource))
		}
	})
}

// FuzzFileSet: whatever happens to the files, what is in force is never in
// conflict, and every file is either in force as it is or says why not. Each
// byte changes one file; a byte above 127 also reads the folder.
func FuzzFileSet(f *testing.F) {
	f.Add([]byte{0x00, 0x95, 0x00, 0xaa, 0x3f, 0x80, 0xbf})
	f.Add([]byte{0x80, 0x91, 0x04, 0x95, 0x84, 0x8c, 0xb0})
	f.Add([]byte{0x81, 0x86, 0x8b, 0x82, 0x87, 0x88, 0x84})
	c := compiler()
	f.Fuzz(func(t *testing.T, data []byte) {
		texts := map[string]string{}
		var set fileSet
		for _, b := range data[:min(len(data), 64)] {
			path := string(rune('a' + b&3))
			switch name := b >> 4 & 7; name {
			case 7:
				delete(texts, path)
			case 6:
				texts[path] = "kind: Nothing\n"
			default:
				texts[path] = doc(string(rune('u'+name)), fmt.Sprintf("  port: %d\n", 1+b>>2&3))
			}
			if b < 128 {
				continue
			}
			var list []source
			for _, path := range []string{"a", "b", "c", "d"} {
				if text, ok := texts[path]; ok {
					list = append(list, source{path: path, data: []byte(text)})
				}
			}
			set, _ = set.next(list, c)
			require.Len(t, set, len(list))
			inForce := set.inForce()
			for i, p := range inForce {
				for _, q := range inForce[:i] {
					require.Nil(t, p.Conflict(q.Policy))
				}
			}
			for path, file := range set {
				if len(file.problems()) == 0 {
					require.True(t, same(file.inForce, file.wanted), path)
				}
			}
			// A folder that is read again without a change stays as it is.
			again, changed := set.next(list, c)
			require.Empty(t, changed)
			require.True(t, same(inForce, again.inForce()))
		}
	})
}
