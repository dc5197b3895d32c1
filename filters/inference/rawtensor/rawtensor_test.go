package rawtensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/rawtensor"
)

func TestRows(t *testing.T) {
	t.Parallel()
	const before, behind = "12345", "xyz"
	tests := []struct {
		name, datatype string
		rows, row      int
		raw            string
		ok             bool
		want           []string
	}{
		{"fixed", "FP32", 2, 2, "aaaabbbbccccdddd", true, []string{"aaaabbbb", "ccccdddd"}},
		{"one byte", "BOOL", 3, 1, "abc", true, []string{"a", "b", "c"}},
		{"two bytes", "BF16", 2, 1, "aabb", true, []string{"aa", "bb"}},
		{"eight bytes", "INT64", 1, 2, "aaaaaaaabbbbbbbb", true, []string{"aaaaaaaabbbbbbbb"}},
		{"texts", "BYTES", 2, 2, "\x01\x00\x00\x00a\x00\x00\x00\x00\x02\x00\x00\x00bc\x00\x00\x00\x00", true, []string{
			"\x01\x00\x00\x00a\x00\x00\x00\x00", "\x02\x00\x00\x00bc\x00\x00\x00\x00",
		}},

		{name: "too short", datatype: "FP32", rows: 2, row: 2, raw: "aaaabbbbcccc"},
		{name: "too long", datatype: "FP32", rows: 1, row: 1, raw: "aaaabbbb"},
		{name: "no whole element", datatype: "FP32", rows: 1, row: 1, raw: "aaa"},
		{name: "no whole row", datatype: "INT8", rows: 2, row: 2, raw: "abc"},
		{name: "none", datatype: "FP64", rows: 1, row: 1},
		{name: "an unknown type", datatype: "INT4", rows: 1, row: 1, raw: "a"},
		{name: "in lower case", datatype: "fp32", rows: 1, row: 1, raw: "aaaa"},
		{name: "rows beyond belief", datatype: "INT8", rows: 1 << 16, row: 1 << 40, raw: "a"},
		{name: "texts beyond belief", datatype: "BYTES", rows: 1 << 16, row: 1 << 40, raw: "\x00\x00\x00\x00"},
		{name: "a text cut short", datatype: "BYTES", rows: 1, row: 1, raw: "\x02\x00\x00\x00a"},
		{name: "a length cut short", datatype: "BYTES", rows: 1, row: 2, raw: "\x00\x00\x00\x00\x00\x00\x00\x00"[:7]},
		{name: "a length over all", datatype: "BYTES", rows: 1, row: 1, raw: "\xff\xff\xff\xffa"},
		{name: "one text less", datatype: "BYTES", rows: 2, row: 1, raw: "\x04\x00\x00\x00\x00\x00\x00\x00"},
		{name: "one text more", datatype: "BYTES", rows: 1, row: 1, raw: "\x00\x00\x00\x00\x00\x00\x00\x00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := []byte(before + test.raw + behind)
			raw := jsonspan.Span{Start: len(before), End: len(before) + len(test.raw)}
			items, ok := rawtensor.Rows(text, raw, test.datatype, test.rows, test.row)
			require.Equal(t, test.ok, ok)
			if !ok {
				return
			}
			var got []string
			for _, item := range items {
				got = append(got, string(item.Of(text)))
			}
			require.Equal(t, test.want, got)
		})
	}
}

// FuzzRows: rows that are found stand one behind the other and are the whole.
func FuzzRows(f *testing.F) {
	f.Add([]byte("aaaabbbb"), "FP32", uint16(2), uint16(1))
	f.Add([]byte("\x01\x00\x00\x00a\x00\x00\x00\x00"), "BYTES", uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, raw []byte, datatype string, rows, row uint16) {
		if rows == 0 || row == 0 {
			return
		}
		items, ok := rawtensor.Rows(raw, jsonspan.Span{End: len(raw)}, datatype, int(rows), int(row))
		if !ok {
			return
		}
		require.Len(t, items, int(rows))
		at := 0
		for _, item := range items {
			require.Equal(t, at, item.Start)
			at = item.End
		}
		require.Len(t, raw, at)
	})
}
