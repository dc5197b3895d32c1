package questions_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/oip"
	"github.com/fridaymesh/friday/bench/questions"
	"github.com/fridaymesh/friday/bench/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDifference(t *testing.T) {
	const reference = `{"id":"q1","n":7,"list":[1.5,-2.0,null,true],"inner":{"big":12345678.9,"zero":0.0},"usage":{"t":3}}`
	for got, due := range map[string]string{
		reference: "",
		strings.Replace(reference, "1.5", "1.5000009", 1):          "",
		strings.Replace(reference, "1.5", "1.500002", 1):           "list[0]: 1.500002 where the server itself says 1.5",
		strings.Replace(reference, "12345678.9", "12345679.9", 1):  "",
		strings.Replace(reference, "12345678.9", "12345699.9", 1):  "inner.big: 12345699.9",
		strings.Replace(reference, "-2.0", "-2", 1):                "",
		strings.Replace(reference, `"zero":0.0`, `"zero":9e-7`, 1): "",
		strings.Replace(reference, `"n":7`, `"n":8`, 1):            "n: 8 where the server itself says 7",
		strings.Replace(reference, `"n":7`, `"n":"7"`, 1):          `n: 7 where`,
		strings.Replace(reference, "q1", "q2", 1):                  "id: q2 where the server itself says q1",
		strings.Replace(reference, "null,", "", 1):                 "list: 3 elements where the server itself gives 4",
		strings.Replace(reference, "null", "false", 1):             "list[2]: false",
		strings.Replace(reference, `"n":7,`, "", 1):                "n: is missing",
		strings.Replace(reference, `"n":7`, `"n":7,"x":1`, 1):      "x: is not in the server's own answer",
		strings.Replace(reference, `"t":3`, `"t":4`, 1):            "usage.t: 4",
		`[]`: "the answer: [] where",
		`3`:  "the answer: 3 where",
	} {
		a, err := oip.DecodeJSON([]byte(reference))
		require.NoError(t, err)
		b, err := oip.DecodeJSON([]byte(got))
		require.NoError(t, err)
		c := questions.Comparison{Tolerance: questions.Tolerance}
		d := c.Difference(a, b)
		require.Equal(t, due == "", d == "", "%s: %s", got, d)
		require.Contains(t, d, due)
	}
	a, _ := oip.DecodeJSON([]byte(reference))
	b, _ := oip.DecodeJSON([]byte(strings.Replace(reference, `"t":3`, `"t":4`, 1)))
	c := questions.Comparison{Ignored: []string{"usage"}}
	require.Empty(t, c.Difference(a, b))
	delete(b.(map[string]any), "usage")
	require.Equal(t, "usage: is missing", c.Difference(a, b))

	require.NotEmpty(t, c.Difference([]any{json.Number("1.25")}, []any{json.Number("1.5")}))
	require.InDelta(t, .25/1.5, c.Largest, 1e-9)
}

// server answers what respond makes of the question.
func server(t *testing.T, respond http.HandlerFunc) load.Target {
	t.Helper()
	srv := httptest.NewServer(respond)
	t.Cleanup(srv.Close)
	return load.Target{Address: srv.Listener.Addr().String()}
}

func ask(t *testing.T, target load.Target, l load.Workload, requests uint64) *load.Result {
	t.Helper()
	r, err := load.Run(t.Context(), load.Options{Target: target, Workload: l, Concurrency: 2, Requests: requests})
	require.NoError(t, err)
	return r
}

func TestListAgainstTheStandIn(t *testing.T) {
	s, err := standin.New(standin.Config{})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	target := load.Target{Address: ln.Addr().String()}
	texts, err := questions.Texts("standin", questions.Sentences(9))
	require.NoError(t, err)
	rows, err := questions.Rows(questions.FormJSON, "standin", "x", "", questions.RandomRows(9, 4))
	require.NoError(t, err)
	for _, l := range []*questions.List{texts, rows} {
		require.NoError(t, l.Learn(t.Context(), target))
		asker := l.Asker()
		r := ask(t, target, asker, 40)
		require.True(t, r.Clean(), r.Trouble())
		require.Zero(t, asker.Estimates())
		require.Zero(t, asker.Largest())
	}
}

func TestWrongAnswersAreFound(t *testing.T) {
	var spoiled atomic.Bool
	usage := `"usage":{"prompt_tokens":3}`
	target := server(t, func(w http.ResponseWriter, _ *http.Request) {
		number, tokens := "0.25", usage
		if spoiled.Load() {
			number = "0.26"
		}
		_, _ = w.Write([]byte(`{"data":[{"embedding":[` + number + `]}],` + tokens + `}`))
	})
	l, err := questions.Texts("m", []string{"a", "b"})
	require.NoError(t, err)
	require.NoError(t, l.Learn(t.Context(), target))
	spoiled.Store(true)
	asker := l.Asker()
	r := ask(t, target, asker, 4)
	require.Equal(t, uint64(4), r.Wrong)
	require.InDelta(t, .01, asker.Largest(), 1e-9)
	l.Tolerance = .02
	require.True(t, ask(t, target, l.Asker(), 4).Clean())
	require.Contains(t, r.Sample, "data[0].embedding[0]: 0.26 where the server itself says 0.25")
}

func TestEstimatesAreCounted(t *testing.T) {
	var n atomic.Int64
	target := server(t, func(w http.ResponseWriter, _ *http.Request) {
		usage := "3"
		if n.Add(1) > 2 {
			usage = "4"
		}
		_, _ = w.Write([]byte(`{"data":[],"usage":{"prompt_tokens":` + usage + `}}`))
	})
	l, err := questions.Texts("m", []string{"a", "b"})
	require.NoError(t, err)
	require.NoError(t, l.Learn(t.Context(), target))
	asker := l.Asker()
	r := ask(t, target, asker, 5)
	require.True(t, r.Clean(), r.Trouble())
	require.Equal(t, uint64(5), asker.Estimates())
}

func TestBinaryQuestions(t *testing.T) {
	head := `{"outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"parameters":{"binary_data_size":4}}]}`
	target := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/octet-stream" || r.Header.Get(oip.Header) == "" || r.URL.Path != "/v2/models/m/infer" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set(oip.Header, strconv.Itoa(len(head)))
		_, _ = w.Write([]byte(head + "1234"))
	})
	l, err := questions.Rows(questions.FormBinary, "m", "x", "y", questions.RandomRows(2, 3))
	require.NoError(t, err)
	require.NoError(t, l.Learn(t.Context(), target))
	r := ask(t, target, l.Asker(), 4)
	require.True(t, r.Clean(), r.Trouble())
}

func TestServersThatDoNotAnswer(t *testing.T) {
	l, err := questions.Rows(questions.FormJSON, "m", "x", "", questions.RandomRows(2, 3))
	require.NoError(t, err)
	target := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	require.ErrorContains(t, l.Learn(t.Context(), target), "2 failed (418)")
	target = server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{")) })
	require.ErrorContains(t, l.Learn(t.Context(), target), "2 wrong")
	_, err = questions.Rows("xml", "m", "x", "", nil)
	require.EqualError(t, err, `form "xml" is none of json, binary, grpc`)
}

func TestQuestionsAreTheSameEveryTime(t *testing.T) {
	rows, texts := questions.RandomRows(3, 4), questions.Sentences(20)
	require.Equal(t, rows, questions.RandomRows(3, 4))
	require.Equal(t, texts, questions.Sentences(20))
	for _, s := range questions.Sentences(200) {
		require.Contains(t, s, " ")
	}
}

func FuzzDifference(f *testing.F) {
	f.Add(`{"a":[1,2.5,{"b":null}]}`, `{"a":[1,2.5,{"b":1e999}]}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := oip.DecodeJSON([]byte(a))
		if err != nil {
			return
		}
		c := questions.Comparison{Tolerance: questions.Tolerance}
		require.Empty(t, c.Difference(x, x))
		y, err := oip.DecodeJSON([]byte(b))
		if err != nil {
			return
		}
		require.Equal(t, c.Difference(x, y) == "", c.Difference(y, x) == "")
	})
}
