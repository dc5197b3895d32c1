package history

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func set(texts ...string) *Version {
	v := &Version{Time: time.Now().UTC(), Origin: "folder"}
	for i, text := range texts {
		v.Policies = append(v.Policies, Policy{Name: fmt.Sprint("p", i), Version: text, File: "a.yaml", Text: text})
	}
	v.Digest = Digest(v.Policies)
	return v
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, skipped, err := Open(dir)
	require.NoError(t, err)
	require.Empty(t, skipped)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "disk": filepath.Join(t.TempDir(), "new", "history")} {
		t.Run(name, func(t *testing.T) {
			s := open(t, dir)
			require.Nil(t, s.Latest())
			for i := range Most + 5 {
				require.NoError(t, s.Add(set(fmt.Sprint(i))))
			}
			require.Len(t, s.Versions(), Most)
			require.Nil(t, s.Find(5))
			require.Equal(t, 6, s.Find(6).Number)
			require.Equal(t, Most+5, s.Latest().Number)
			require.NoError(t, s.SaveState(map[string]int{"a": 1}))
			if dir == "" {
				return
			}
			_, _, err := Open(dir)
			require.ErrorContains(t, err, "another process has it")
			require.NoError(t, s.Close())
			again := open(t, dir)
			require.Equal(t, s.Versions(), again.Versions())
			state := map[string]int{}
			found, err := again.LoadState(&state)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, map[string]int{"a": 1}, state)
			require.NoError(t, again.Add(set("x")))
			require.Equal(t, Most+6, again.Latest().Number)
		})
	}
}

// What is broken is named and left aside, and its number is not given again.
func TestStoreBroken(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, text := range []string{"a", "b", "c"} {
		require.NoError(t, s.Add(set(text)))
	}
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000003.json"), []byte(`{"number": 3, "pol`), 0o600))
	require.NoError(t, os.Rename(filepath.Join(dir, "000001.json"), filepath.Join(dir, "000007.json")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.json"), []byte("{}"), 0o600))
	s, skipped, err := Open(dir)
	require.NoError(t, err)
	defer s.Close()
	require.Len(t, skipped, 2)
	require.ErrorContains(t, skipped[0], "000003.json")
	require.ErrorContains(t, skipped[1], "holds version 1")
	require.Len(t, s.Versions(), 1)
	require.NoError(t, s.Add(set("d")))
	require.Equal(t, 8, s.Latest().Number)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "state.json"), []byte("["), 0o600))
	_, err = s.LoadState(&struct{}{})
	require.ErrorContains(t, err, "state.json")
}

func TestDiff(t *testing.T) {
	lines := func(from, to int, other ...string) string {
		var b strings.Builder
		for i := from; i <= to; i++ {
			text := fmt.Sprint("line ", i)
			for j := 0; j+1 < len(other); j += 2 {
				if text == other[j] {
					text = other[j+1]
				}
			}
			b.WriteString(text + "\n")
		}
		return b.String()
	}
	a, b := set(lines(1, 30), "same", "gone\n"), set(lines(1, 30, "line 3", "three", "line 20", "line 20\nand more"), "same")
	a.Number, b.Number = 1, 2
	b.Policies[0].Weights = map[string]map[string]uint32{"/v1": {"green": 90, "blue": 10}}
	require.Equal(t, `--- p0	version 1, `+a.Policies[0].Version+` of a.yaml
+++ p0	version 2, `+b.Policies[0].Version+` of a.yaml
@@ -1,6 +1,6 @@
 line 1
 line 2
-line 3
+three
 line 4
 line 5
 line 6
@@ -18,6 +18,7 @@
 line 18
 line 19
 line 20
+and more
 line 21
 line 22
 line 23
@@ -28,3 +29,4 @@
 line 28
 line 29
 line 30
+# shifted: p0/v1: blue=10,green=90
--- p2	version 1, gone
 of a.yaml
+++ /dev/null	version 2
@@ -1,1 +0,0 @@
-gone
`, Diff(a, b))
	require.Empty(t, Diff(a, a))
}

// Whatever the texts are, the edits lead from one to the other.
func FuzzEdits(f *testing.F) {
	f.Add("a\nb\nc", "a\nc\nd")
	f.Add("", "a")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := strings.Split(x, "\n"), strings.Split(y, "\n")
		if len(a)*len(b) > 1<<16 {
			return
		}
		var from, to []string
		for _, e := range edits(a, b) {
			if e.kind != '+' {
				from = append(from, e.line)
			}
			if e.kind != '-' {
				to = append(to, e.line)
			}
		}
		require.Equal(t, a, from)
		require.Equal(t, b, to)
	})
}

// FuzzVersion: a file that is no version is named, and nothing else happens.
func FuzzVersion(f *testing.F) {
	good, err := json.Marshal(set("a"))
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(`{"number":1,"policies":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "000001.json"), data, 0o600))
		s, skipped, err := Open(dir)
		require.NoError(t, err)
		defer s.Close()
		require.Equal(t, 1, len(skipped)+len(s.Versions()))
	})
}
