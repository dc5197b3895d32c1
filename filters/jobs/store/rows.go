package store

import "strings"

// What is put in by one statement: so many rows, of so many bytes.
const together, togetherBytes = 64, 256 << 10

// inserter puts rows into a table, many by one statement: each statement is a way to the
// database and back.
type inserter struct {
	t       *tx
	head    string
	columns int
	rows    [][]any
	bytes   int
}

// into begins. What it says so far is only in the table after flush.
func (t *tx) into(table string, columns ...string) *inserter {
	return &inserter{t: t, head: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ", columns: len(columns)}
}

// add puts a row in.
func (i *inserter) add(row ...any) error {
	size := 0
	for _, v := range row {
		switch v := v.(type) {
		case []byte:
			size += len(v)
		case string:
			size += len(v)
		}
	}
	if i.bytes+size > togetherBytes {
		if err := i.flush(); err != nil {
			return err
		}
	}
	i.rows, i.bytes = append(i.rows, row), i.bytes+size
	if len(i.rows) < together {
		return nil
	}
	return i.flush()
}

// flush puts in what is left. There are two statements for a table, so that each is prepared
// once.
func (i *inserter) flush() error {
	row := "(?" + strings.Repeat(", ?", i.columns-1) + ")"
	if len(i.rows) == together {
		args := make([]any, 0, together*i.columns)
		for _, r := range i.rows {
			args = append(args, r...)
		}
		if _, err := i.t.exec(i.head+row+strings.Repeat(", "+row, together-1), args...); err != nil {
			return err
		}
		i.rows = i.rows[:0]
	}
	for _, r := range i.rows {
		if _, err := i.t.exec(i.head+row, r...); err != nil {
			return err
		}
	}
	i.rows, i.bytes = i.rows[:0], 0
	return nil
}
