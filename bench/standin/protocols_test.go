package standin_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
)

// raws are the elements at a member of an answer; an empty name is the answer
// itself.
func raws(t *testing.T, text, member string) []json.RawMessage {
	t.Helper()
	if member == "" {
		return decode[[]json.RawMessage](t, text)
	}
	return decode[[]json.RawMessage](t, string(decode[map[string]json.RawMessage](t, text)[member]))
}

// In every protocol the answer to many items is, item by item, that to each alone.
func TestABatchIsTheSumOfItsItems(t *testing.T) {
	address, s := serve(t, free)
	c := dial(t, address)
	items := []string{`"one"`, `"two words"`, `"\u00fc"`, `"one"`}
	list := strings.Join(items, ",")
	for _, tc := range []struct{ path, many, one, member string }{
		{"/embed", `{"inputs":[%s]}`, `{"inputs":%s}`, ""},
		{"/v1/models/m:explain", `{"instances":[%s]}`, `{"instances":[%s]}`, "explanations"},
		{"/v1/models/m:predict", `{"inputs":[%s]}`, `{"inputs":[%s]}`, "outputs"},
	} {
		status, text := c.post(tc.path, fmt.Sprintf(tc.many, list))
		require.Equal(t, 200, status, text)
		all := raws(t, text, tc.member)
		require.Len(t, all, len(items), tc.path)
		for i, item := range items {
			_, text := c.post(tc.path, fmt.Sprintf(tc.one, item))
			require.Equal(t, string(all[i]), string(raws(t, text, tc.member)[0]), tc.path)
		}
		require.NotEqual(t, all[0], all[1])
	}
	require.Equal(t, uint64(3), s.Stats().Batches[4])
}

func TestCompletions(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	type answer struct {
		Choices []struct {
			Text     string
			Index    int
			Logprobs *struct{ Tokens []string }
		}
		Usage map[string]int
	}
	_, text := c.post("/v1/completions", `{"model":"m","prompt":["a b","c"],"n":2,"max_tokens":3,"echo":true,"logprobs":1}`)
	got := decode[answer](t, text)
	require.Len(t, got.Choices, 4)
	for at, choice := range got.Choices {
		prompt := []string{"a b", "c"}[at/2]
		require.Equal(t, at, choice.Index, "i·n+j")
		require.Equal(t, prompt+standin.Completion("m", []byte(prompt), at%2, 3), choice.Text)
		require.Equal(t, strings.TrimPrefix(choice.Text, prompt), strings.Join(choice.Logprobs.Tokens, ""))
	}
	require.Equal(t, map[string]int{"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}, got.Usage)
	_, text = c.post("/v1/completions", `{"model":"m","prompt":[1,2],"max_tokens":2,"stream":true}`)
	require.True(t, strings.HasPrefix(text, `data: {"id":"cmpl-`) && strings.HasSuffix(text, "data: [DONE]\n\n"), text)
	for body, says := range map[string]string{
		`{"model":"m"}`: "prompt: is missing", `{"prompt":"a"}`: "model: is missing", `{"model":"m","prompt":"a","n":0}`: "n: 0 is no number",
		`{"model":"m","prompt":[["a"]]}`: "is no token id", `{"model":"m","prompt":["a","poison"]}`: "prompt 1 is poisoned",
	} {
		status, text := c.post("/v1/completions", body)
		require.Equal(t, 400, status)
		require.Contains(t, text, says)
	}
}

func TestRerank(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	documents := []string{"a", "b b", "c", "d"}
	type result struct {
		Index     int
		Relevance float64 `json:"relevance_score"`
		Score     float64
		Document  *struct{ Text string }
		Text      *string
	}
	check := func(results []result, n int) {
		t.Helper()
		require.Len(t, results, n)
		require.True(t, slices.IsSortedFunc(results, func(a, b result) int { return -int(math.Copysign(1, a.Relevance+a.Score-b.Relevance-b.Score)) }))
		for _, r := range results {
			require.InDelta(t, standin.Relevance("m", []byte("q q"), []byte(documents[r.Index])), r.Relevance+r.Score, 0)
		}
	}
	type answer struct {
		Results []result
		Usage   map[string]int
		Meta    json.RawMessage
	}
	_, text := c.post("/v1/rerank", `{"model":"m","query":"q q","documents":["a",{"text":"b b"},"c","d"],"return_documents":true}`)
	got := decode[answer](t, text)
	check(got.Results, 4)
	require.Equal(t, documents[got.Results[0].Index], got.Results[0].Document.Text)
	require.Equal(t, map[string]int{"total_tokens": 4*2 + 5}, got.Usage)
	_, text = c.post("/v2/rerank", `{"model":"m","query":"q q","documents":["a","b b","c","d"],"top_n":2}`)
	got = decode[answer](t, text)
	check(got.Results, 2)
	require.Contains(t, string(got.Meta), `"search_units":1`)
	_, text = c.post("/rerank", `{"query":"q","texts":["a","b b"],"return_text":true}`)
	tei := decode[[]result](t, text)
	require.Len(t, tei, 2)
	require.Equal(t, documents[tei[0].Index], *tei[0].Text)
	require.GreaterOrEqual(t, tei[0].Score, tei[1].Score)
	for body, says := range map[string]string{
		`{"model":"m","query":"q"}`: "documents: is missing", `{"model":"m","documents":["a"]}`: "query: is missing",
		`{"query":"q","documents":["a"]}`: "model: is missing", `{"model":"m","query":"q","documents":[1]}`: "document 0 has no text",
		`{"model":"m","query":"q","documents":["a"],"top_n":0}`: "top_n",
	} {
		status, text := c.post("/v1/rerank", body)
		require.Equal(t, 400, status)
		require.Contains(t, text, says)
	}
}

func TestScore(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	type answer struct {
		Data []struct {
			Index int
			Score float64
		}
		Usage map[string]int
	}
	_, text := c.post("/score", `{"model":"m","text_1":"q","text_2":["a","b"]}`)
	one := decode[answer](t, text)
	_, text = c.post("/v1/score", `{"model":"m","text_1":["q","r"],"text_2":["a","b"]}`)
	two := decode[answer](t, text)
	require.Equal(t, one.Data[0], two.Data[0])
	require.NotEqual(t, one.Data[1], two.Data[1])
	require.InDelta(t, standin.Relevance("m", []byte("q"), []byte("b")), one.Data[1].Score, 0)
	require.Equal(t, 4, one.Usage["total_tokens"])
	status, text := c.post("/score", `{"model":"m","text_1":["q","r"],"text_2":["a","b","c"]}`)
	require.Equal(t, 400, status)
	require.Contains(t, text, "different numbers")
}

func TestClassify(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	_, one := c.post("/predict", `{"inputs":"a"}`)
	_, pair := c.post("/predict", `{"inputs":["a","b"]}`)
	_, many := c.post("/predict", `{"inputs":[["a"], ["a", "b"]]}`)
	all := raws(t, many, "")
	require.Equal(t, []string{one, pair}, []string{string(all[0]), string(all[1])})
	for _, bad := range []string{`{"inputs":["a","b","c"]}`, `{"inputs":[]}`, `{"inputs":[["a"],"b"]}`, `{}`, `{"inputs":1}`} {
		status, text := c.post("/predict", bad)
		require.Equal(t, 422, status, bad)
		require.Contains(t, text, `"error_type":"Validation"`)
	}
}

func TestTokenizersCountAsUsageDoes(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	_, text := c.post("/tokenize", `{"model":"m","prompt":"a b c"}`)
	require.Contains(t, text, `"count":3`)
	_, text = c.post("/tokenize", `{"content":"a b"}`)
	require.Equal(t, `{"tokens":[100,101]}`, text)
	_, text = c.post("/tokenize", `{"inputs":["a b","c"]}`)
	lists := decode[[][]json.RawMessage](t, text)
	require.Len(t, lists[0], 2)
	require.Len(t, lists[1], 1)
	status, _ := c.post("/tokenize", `{}`)
	require.Equal(t, 400, status)
}

func TestColumns(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	type answer struct{ Outputs map[string][]int64 }
	ask := func(a, b string) map[string][]int64 {
		_, text := c.post("/v1/models/m/versions/2:predict", `{"inputs":{"a":`+a+`,"b":`+b+`}}`)
		return decode[answer](t, text).Outputs
	}
	two := ask(`[[1,2],[3,4.0]]`, `["x","y"]`)
	require.Len(t, two["sum"], 2)
	require.Equal(t, two["sum"][1], ask(`[[3,4.0]]`, `["y"]`)["sum"][0])
	require.Equal(t, two["half"][1], two["sum"][1]/2)
	require.NotEqual(t, two["sum"][1], ask(`[[3,4]]`, `["y"]`)["sum"][0])
	for _, bad := range []string{`{"inputs":{"a":[1,2],"b":[1]}}`, `{"inputs":{}}`, `{"inputs":[]}`, `{"inputs":{"a":[-666]}}`} {
		status, _ := c.post("/v1/models/m:predict", bad)
		require.Equal(t, 400, status, bad)
	}
}

func TestBinaryTensors(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	ask := func(length int, body string) (*http.Response, string) {
		c.send("/v2/models/m/infer", standin.HeaderLength+": "+strconv.Itoa(length), body)
		resp, err := http.ReadResponse(c.br, nil)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		var b strings.Builder
		_, err = c.br.Discard(0)
		require.NoError(t, err)
		buf := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				return resp, b.String()
			}
		}
	}
	rows := func(values ...float64) string {
		var raw []byte
		for _, v := range values {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
		return string(raw)
	}
	head := func(n int) string {
		return fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"a","shape":[%d,2],"datatype":"FP64","parameters":{"binary_data_size":%d}}]}`, n, 16*n)
	}
	resp, text := ask(len(head(2)), head(2)+rows(1, 2, 3, 4))
	require.Equal(t, 200, resp.StatusCode, text)
	require.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"))
	n, err := strconv.Atoi(resp.Header.Get(standin.HeaderLength))
	require.NoError(t, err)
	require.Contains(t, text[:n], `"shape":[2,1],"parameters":{"binary_data_size":16}`)
	_, one := ask(len(head(1)), head(1)+rows(3, 4))
	require.Equal(t, text[n+8:], one[len(one)-8:])
	sum := standin.NewRowSum("m")
	sum.Input("a")
	sum.Value([]byte(rows(3)))
	sum.Value([]byte(rows(4)))
	require.Equal(t, uint64(sum.Sum()), binary.LittleEndian.Uint64([]byte(one[len(one)-8:]))) // #nosec G115 -- 63 bits

	for _, bad := range []struct {
		length int
		body   string
		says   string
	}{
		{len(head(1)), head(1) + rows(1), "is more than the 8 bytes there are"},
		{len(head(1)), head(1) + rows(1, 2, 3), "8 bytes are left"},
		{len(head(1)) + 1, head(1), "Inference-Header-Content-Length"},
		{len(head(1)) - 1, head(1) + rows(1, 2), "not valid JSON"},
		{len(head(1)), head(1) + rows(1, -666), "row 0 is poisoned: -666"},
	} {
		resp, text := ask(bad.length, bad.body)
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, text, bad.says)
	}
}

func TestOddModels(t *testing.T) {
	address, s := serve(t, free)
	c := dial(t, address)
	ask := func(model, input string) (*http.Response, string) {
		c.send("/v1/embeddings", "", `{"model":"`+model+`","input":`+input+`}`)
		resp, err := http.ReadResponse(c.br, nil)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body := make([]byte, resp.ContentLength)
		for n := 0; n < len(body); {
			k, err := resp.Body.Read(body[n:])
			n += k
			if err != nil && n < len(body) {
				require.NoError(t, err)
			}
		}
		return resp, string(body)
	}
	_, text := ask("miscount-2", `["a","b","c"]`)
	require.Len(t, decode[embeddings](t, text).Data, 2)
	_, text = ask("miscount", `"a"`)
	require.Len(t, decode[embeddings](t, text).Data, 1)
	_, text = ask("shapeless", `["a","b"]`)
	require.Contains(t, text, `{"result":`)
	_, text = ask("nocount", `"a"`)
	require.NotContains(t, text, "usage")
	_, text = ask("reversed", `["a","b"]`)
	require.Equal(t, 1, decode[embeddings](t, text).Data[0].Index)
	resp, _ := ask("cookie", `"a"`)
	require.Len(t, resp.Cookies(), 1)
	resp, text = ask("gzip", `"a"`)
	require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
	require.True(t, strings.HasPrefix(text, "\x1f\x8b"))
	resp, _ = ask("single", `["a","b"]`)
	require.Equal(t, 400, resp.StatusCode)
	for model, status := range map[string]int{"limited": 429, "unavailable": 503} {
		resp, _ = ask(model, `"a"`)
		require.Equal(t, status, resp.StatusCode)
		require.Equal(t, "7", resp.Header.Get("Retry-After"))
	}
	resp, _ = ask("m", `"poison422"`)
	require.Equal(t, 422, resp.StatusCode)
	require.Equal(t, "0", resp.Header.Get(standin.PoisonHeader))
	require.Equal(t, "m", func() string { r, _ := ask("m", `"a"`); return r.Header.Get("X-Standin-Model") }())

	c.send("/v1/embeddings", "", `{"model":"m","input":"hangforever"}`)
	eventually(t, s, "hung", func(st standin.Stats) bool { return st.Hung == 1 })
	require.NoError(t, c.nc.Close())
	eventually(t, s, "gone", func(st standin.Stats) bool { return st.Hung == 0 && st.Cancelled == 1 })
}

func TestCredentialsAndMethods(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	for _, tc := range []struct {
		request, has string
	}{
		{"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: " + standin.Expired + "\r\ncontent-length: 0\r\n\r\n", "401 Unauthorized"},
		{"POST /embed HTTP/1.1\r\nhost: x\r\nauthorization: " + standin.Forbidden + "\r\ncontent-length: 0\r\n\r\n", "403 Forbidden"},
		{"GET /embed HTTP/1.1\r\nhost: x\r\n\r\n", "405 Method Not Allowed"},
		{"POST //embed HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", "404 Not Found"},
		{"POST /%65mbed HTTP/1.1\r\nhost: x\r\ncontent-length: 14\r\n\r\n{\"inputs\":\"a\"}", "200 OK"},
		{"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-encoding: br\r\ncontent-length: 0\r\n\r\n", "415 Unsupported Media Type"},
		{"GET /info HTTP/1.1\r\nhost: x\r\n\r\n", "200 OK"},
	} {
		_, err := c.nc.Write([]byte(tc.request))
		require.NoError(t, err)
		resp, err := http.ReadResponse(c.br, nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, tc.has, resp.Status, tc.request)
	}
}

func TestTheCostChangesWhileItRuns(t *testing.T) {
	address, s := serve(t, standin.Config{Fixed: time.Hour, Accelerators: 3})
	c := dial(t, address)
	status, text := c.post("/cost?fixed=2ms&per_item=1ms&accelerators=1", "")
	require.Equal(t, 200, status, text)
	require.Equal(t, `{"accelerators":1,"fixed":"2ms","per_item":"1ms"}`, text)
	require.Equal(t, standin.Cost{Accelerators: 1, Fixed: 2 * time.Millisecond, PerItem: time.Millisecond}, s.Cost())
	took := func(calls int) time.Duration {
		conns := make([]*caller, calls)
		for i := range conns {
			conns[i] = dial(t, address)
		}
		start := time.Now()
		for _, c := range conns {
			c.send("/v1/embeddings", "", oneText)
		}
		for _, c := range conns {
			status, _ := c.receive()
			require.Equal(t, 200, status)
		}
		return time.Since(start)
	}
	require.GreaterOrEqual(t, took(5), 15*time.Millisecond, "one after the other")
	require.NoError(t, s.SetCost(standin.Cost{Accelerators: 4, Fixed: 20 * time.Millisecond}))
	require.GreaterOrEqual(t, took(8), 40*time.Millisecond, "four at a time")
	for _, bad := range []string{"?fixed=x", "?fixed=-1s", "?accelerators=0", "?what=1", "?accelerators=x"} {
		status, _ := c.post("/cost"+bad, "")
		require.Equal(t, 400, status, bad)
	}
}
