package batch_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

const lengthHeader = "Inference-Header-Content-Length"

// tensor is a request, or with kind "outputs" an answer, whose raw data, so many rows
// of one INT32, stands behind the JSON; and how long that is.
func tensor(kind, name, id, raw string) (body string, length int) {
	text := fmt.Sprintf(`{"model_name":"m","id":%q,%q:[{"name":%q,"shape":[%d,1],"datatype":"INT32","parameters":{"binary_data_size":%d}}]}`,
		id, kind, name, len(raw)/4, len(raw))
	return text + raw, len(text)
}

// binary is such a request; its header's name is written as the caller likes.
func binary(header, id, raw string) *proxy.Request {
	body, length := tensor("inputs", "x", id, raw)
	return filtertest.Request(inferPath, body, "content-type", "application/octet-stream", header, strconv.Itoa(length))
}

// requireTensor: the answer to binary is of its own length, and says so.
func requireTensor(t *testing.T, id, raw string, r result) {
	t.Helper()
	require.NoError(t, r.err)
	require.Equal(t, 200, r.status)
	require.Equal(t, "application/octet-stream", r.header["content-type"])
	length, err := strconv.Atoi(r.header["inference-header-content-length"])
	require.NoError(t, err)
	if r.req.Trace.BatchSize > 1 {
		require.Equal(t, strconv.Itoa(len(r.body)), r.header["content-length"])
	}
	want, n := tensor("outputs", "echo", id, raw)
	require.JSONEq(t, want[:n], r.body[:length])
	require.Equal(t, raw, r.body[length:])
}

func TestRawTensorsShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		results := d.behind(binary(lengthHeader, "", "plug"),
			binary(lengthHeader, "one", "\x00\xff{}"), binary("inference-header-content-length", "a longer id", "22223333"),
			binary("INFERENCE-HEADER-CONTENT-LENGTH", "", "4444"))
		requireTensor(t, "one", "\x00\xff{}", results[0])
		requireTensor(t, "a longer id", "22223333", results[1])
		requireTensor(t, "", "4444", results[2])
		calls := d.after()
		require.Equal(t, []int{4}, sizes(calls))
		head := calls[0].Header
		require.Equal(t, strconv.Itoa(len(calls[0].Body)), head["content-length"])
		require.Equal(t, strconv.Itoa(len(calls[0].Body)-16), head["inference-header-content-length"])
		require.Equal(t, "application/octet-stream", head["content-type"])
	})
}

// TestWantedOutputsThatAreRaw: the merged call's head says how long its own JSON is,
// also where that asks for raw outputs, as Triton's clients do.
func TestWantedOutputsThatAreRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		wanting := func(id, raw string) *proxy.Request {
			text := fmt.Sprintf(`{"id":%q,"inputs":[{"name":"x","shape":[%d,1],"datatype":"INT32","parameters":{"binary_data_size":%d}}],`+
				`"outputs":[{"name":"echo","parameters":{"binary_data":true}}]}`, id, len(raw)/4, len(raw))
			return filtertest.Request(inferPath, text+raw, "content-type", "application/octet-stream", lengthHeader, strconv.Itoa(len(text)))
		}
		for _, r := range d.behind(wanting("plug", "plug"), wanting("a long id", "1111"), wanting("b", "22223333")) {
			require.Equal(t, 200, r.status)
		}
		calls := d.after()
		require.Equal(t, []int{3}, sizes(calls))
		require.Equal(t, strconv.Itoa(len(calls[0].Body)-12), calls[0].Header["inference-header-content-length"])
	})
}

// TestRawAndJSONApart: nobody's form is changed.
func TestRawAndJSONApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		const text = `{"id":"j","inputs":[{"name":"x","shape":[1,1],"datatype":"INT32","data":[7]}]}`
		results := d.behind(binary(lengthHeader, "", "plug"),
			binary(lengthHeader, "b", "1111"), filtertest.Request(inferPath, text),
			filtertest.Request(inferPath, text, lengthHeader, strconv.Itoa(len(text))))
		requireTensor(t, "b", "1111", results[0])
		require.Contains(t, results[1].body, `"data":[7]`)
		require.NotContains(t, results[1].header, "inference-header-content-length")
		require.Len(t, d.after(), 3)
	})
}

func TestRawTensorsInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_batch_size { value: 2 }", newServer())
		raw := "aaaabbbbccccddddeeee"
		requireTensor(t, "whole", raw, d.behind(binary(lengthHeader, "", "plug"), binary(lengthHeader, "whole", raw))[0])
		require.Equal(t, []int{2, 2, 1}, sizes(d.after()))
		for _, c := range d.after() {
			require.Equal(t, strconv.Itoa(len(c.Body)-4*len(c.Items)), c.Header["inference-header-content-length"])
		}
	})
}

// TestAWrongLengthOfTheAnswer: the head and the body of a merged answer say not the
// same, so each asks alone.
func TestAWrongLengthOfTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if len(c.Items) < 2 {
				return nil, nil //nolint:nilnil // as ever
			}
			body, length := tensor("outputs", "echo", "", "11112222")
			r := filtertest.Answer(200, "application/octet-stream", body)
			r.Header.Set(lengthHeader, strconv.Itoa(length-1))
			return r, nil
		}
		results := d.behind(binary(lengthHeader, "", "plug"), binary(lengthHeader, "a", "1111"), binary(lengthHeader, "b", "2222"))
		requireTensor(t, "a", "1111", results[0])
		requireTensor(t, "b", "2222", results[1])
		require.Equal(t, []int{2, 1, 1}, sizes(d.after()))
	})
}
