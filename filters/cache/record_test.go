package cache

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
)

func anEntry(body string) *entry {
	resp := proxy.NewResponse()
	resp.Header.SetContentType("application/json")
	resp.Header.Add("x-model", "m")
	resp.Header.Add("X-Model", "n")
	return &entry{
		head: copyHead(&resp.Header), body: []byte(body), model: "m", version: `"1"`,
		stored: time.UnixMilli(1764129600123), age: 3 * time.Second, fresh: time.Hour, took: 5 * time.Millisecond,
	}
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	for _, body := range []string{"", "{}", strings.Repeat("0.123,", 1000)} {
		e := anEntry(body)
		text := appendRecord([]byte("before"), e)[len("before"):]
		got, err := parseRecord(text)
		require.NoError(t, err)
		require.Equal(t, e.head.String(), got.head.String())
		require.Equal(t, string(e.body), string(got.body))
		require.True(t, e.stored.Equal(got.stored))
		require.Equal(t, []any{e.model, e.version, e.age, e.fresh, e.took}, []any{got.model, got.version, got.age, got.fresh, got.took})
		if len(body) > 1000 {
			require.Less(t, len(text), len(body)/2)
		}
		for i := range text {
			_, err := parseRecord(text[:i])
			require.ErrorIs(t, err, errRecord, "cut at %d", i)
			other := bytes.Clone(text)
			other[i] ^= 1
			_, err = parseRecord(other)
			require.ErrorIs(t, err, errRecord, "changed at %d", i)
		}
	}
}

// FuzzRecord throws anything at the reader of what others may have written, with a sum
// that is right, so that it gets beyond it.
func FuzzRecord(f *testing.F) {
	for _, body := range []string{"{}", strings.Repeat("0.123,", 100)} {
		text := appendRecord(nil, anEntry(body))
		f.Add(text[0], text[9:])
	}
	f.Fuzz(func(t *testing.T, form byte, rest []byte) {
		e, err := parseRecord(seal(nil, form, rest))
		if err != nil {
			return
		}
		require.True(t, e.age >= 0 && e.fresh >= 0 && e.took >= 0)
		again, err := parseRecord(appendRecord(nil, e))
		require.NoError(t, err)
		require.Equal(t, string(e.body), string(again.body))
	})
}

// FuzzEntries throws anything at the reader of what was kept across a restart.
func FuzzEntries(f *testing.F) {
	f.Add([]byte(diskForm))
	record := appendRecord(nil, anEntry("{}"))
	f.Add(append(append([]byte(diskForm), make([]byte, 32+3)...), append([]byte{byte(len(record))}, record...)...))
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = readEntries(bytes.NewReader(text), func(_ key, e *entry) bool {
			require.NotNil(t, e.head)
			return true
		})
	})
}

func FuzzVersion(f *testing.F) {
	f.Add([]byte(`{"model_version":"1"}`), false)
	f.Add([]byte("data: {\"model\":\"m\"}\n\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, events bool) {
		require.LessOrEqual(t, len(versionOf(text, events)), len(text))
	})
}
