package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// result is a run of so many right answers in one second, each after p50.
func result(n int, p50 time.Duration) *load.Result {
	r := &load.Result{Requests: uint64(n), Elapsed: time.Second} // #nosec G115 -- positive
	for range n {
		r.Latency.Add(p50)
	}
	return r
}

func digits(t *testing.T) *realserver.Digits {
	t.Helper()
	row := "[0" + strings.Repeat(",1", 63) + "]"
	d, err := realserver.ParseDigits([]byte(`{"rows":[` + row + `,` + row + `],"labels":[1,2]}`))
	require.NoError(t, err)
	return d
}

func answer(v string) []byte {
	return []byte(`{"model_name":"digits-rf","outputs":[{"name":"predict","shape":[1,1],"data":[` + v + `]}]}`)
}

// table is one of two numbers of callers, with digit 1 misread both ways.
func table(t *testing.T) *results {
	t.Helper()
	d := digits(t)
	exam := func() *realserver.Exam {
		e := d.NewExam(nil)
		require.NoError(t, e.Check(0, answer("1")))
		require.NoError(t, e.Check(1, answer("9")))
		return e
	}
	one, many := result(100, 10*time.Millisecond), result(100, 640*time.Millisecond)
	return &results{title: "A server", cells: []cell{
		{callers: 1, result: one, exam: exam()},
		{callers: 1, friday: true, result: result(99, 11*time.Millisecond), exam: exam(), baseline: one, batches: sidecar.Batches{Items: 99, Calls: 99}},
		{callers: 64, result: many, exam: exam()},
		{callers: 64, friday: true, result: result(800, 80*time.Millisecond), exam: exam(), baseline: many, batches: sidecar.Batches{Items: 800, Calls: 50}},
	}}
}

func TestTableAndSentence(t *testing.T) {
	r := table(t)
	require.NoError(t, r.verdict())
	var b bytes.Buffer
	_, err := r.WriteTo(&b)
	require.NoError(t, err)
	require.Equal(t, `A server
  callers  way             requests/s  p50 ms  p99 ms  mean batch  accuracy   gain
  -------  --------------  ----------  ------  ------  ----------  --------  -----
        1  direct                 100    10.0    10.0           –     50.0%
        1  through Friday        99.0    11.0    11.0         1.0     50.0%  0.99×
  -------  --------------  ----------  ------  ------  ----------  --------  -----
       64  direct                 100     640     640           –     50.0%
       64  through Friday         800    80.0    80.0        16.0     50.0%  8.00×
`, b.String())
	require.Equal(t, "With 64 callers at once the same server answers 8.00× as many requests through Friday, "+
		"which sends it 16.0 of them at a time on average; every answer was checked and none differed. "+
		"A single caller waits 11.0 ms instead of 10.0 ms.", r.sentence())
}

func TestVerdict(t *testing.T) {
	r := table(t)
	r.cells[3].result.Wrong = 2
	r.cells[3].result.Sample = "this one"
	require.EqualError(t, r.verdict(), "64 callers, through Friday: 2 wrong, first: this one")

	r = table(t)
	r.cells[1].exam = digits(t).NewExam(nil)
	require.NoError(t, r.cells[1].exam.Check(0, answer("1")))
	require.NoError(t, r.cells[1].exam.Check(1, answer("2")), "right, and yet not what the server says")
	require.EqualError(t, r.verdict(), "1 callers: accuracy 100.0% through Friday, 50.0% without")

	r = table(t)
	r.cells[0].result = &load.Result{}
	require.EqualError(t, r.verdict(), "1 callers, direct: no answers")
}

func TestUsedWrongly(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--concurrency", "1,x"}, 2, `--concurrency: "x" is no number above 0`},
		{[]string{"--rounds", "0"}, 2, "must be above 0"},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--bin", "/does/not/exist"}, 1, "the program friday is not in /does/not/exist"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, tc.code, run(tc.args, &out, &errs), "%v", tc.args)
		require.Contains(t, errs.String(), tc.says)
	}
}
