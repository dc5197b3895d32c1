package questions

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/oip"
)

// Forms are the ways in which tensors are written.
const (
	FormJSON   = "json"
	FormBinary = "binary" // JSON with binary tensors behind it, over HTTP
	FormGRPC   = "grpc"
)

// Rows is a list with a question for each row, of the given model in the given form.
// The output is named where the server must be told that it is to be binary.
func Rows(form, model, input, output string, rows [][]float32) (*List, error) {
	l := &List{Where: oip.Path(model)}
	switch form {
	case FormJSON:
		l.Decode = func(a load.Answer) (any, error) { return oip.DecodeJSON(a.Body) }
	case FormBinary:
		l.Decode = decodeBinary
	case FormGRPC:
		l.Where = oip.Method
		l.Decode = func(a load.Answer) (any, error) { return oip.DecodeMessage(a.Body) }
	default:
		return nil, fmt.Errorf("form %q is none of %s, %s, %s", form, FormJSON, FormBinary, FormGRPC)
	}
	for i, row := range rows {
		r := oip.Request{Model: model, ID: "q" + strconv.Itoa(i), Input: input, Output: output, Width: len(row), Data: row}
		switch form {
		case FormJSON:
			l.Bodies = append(l.Bodies, r.AppendJSON(nil))
		case FormBinary:
			body, length := r.AppendBinary(nil)
			l.Bodies = append(l.Bodies, body)
			// The content-type is that of the official clients.
			l.Headers = append(l.Headers, "content-type: application/octet-stream\r\n"+oip.Header+": "+strconv.Itoa(length)+"\r\n")
		case FormGRPC:
			l.Bodies = append(l.Bodies, r.AppendMessage(nil))
		}
	}
	return l, nil
}

func decodeBinary(a load.Answer) (any, error) {
	length := len(a.Body) // where there is nothing binary in it
	if text := a.Header.Peek(oip.Header); len(text) > 0 {
		var err error
		if length, err = strconv.Atoi(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", oip.Header, err)
		}
	}
	return oip.DecodeBinary(a.Body, length)
}

// Texts is a list that asks OpenAI's /v1/embeddings for one text at a time.
func Texts(model string, texts []string) (*List, error) {
	l := &List{
		Where:     "/v1/embeddings",
		Decode:    func(a load.Answer) (any, error) { return oip.DecodeJSON(a.Body) },
		Estimated: []string{"usage"},
	}
	for _, text := range texts {
		body, err := json.Marshal(map[string]any{"model": model, "input": text, "encoding_format": "float"})
		if err != nil {
			return nil, fmt.Errorf("question: %w", err)
		}
		l.Bodies = append(l.Bodies, body)
	}
	return l, nil
}

// RandomRows are rows of numbers around 0, the same ones every time.
func RandomRows(count, width int) [][]float32 {
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a repeatable load, not a secret
	rows := make([][]float32, count)
	for i := range rows {
		rows[i] = make([]float32, width)
		for j := range rows[i] {
			rows[i][j] = float32(random.NormFloat64())
		}
	}
	return rows
}

// words are what sentences are made of.
const words = "a model server answers every request of its callers while the others wait for their turn in the queue " +
	"because one call costs nearly as much as many and nobody likes to wait at the door of an idle machine"

// Sentences are texts of 3 to 40 words, a number first, the same ones every time.
func Sentences(count int) []string {
	random := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- a repeatable load, not a secret
	all := strings.Fields(words)
	texts := make([]string, count)
	for i := range texts {
		text := make([]string, 3+random.IntN(38))
		text[0] = strconv.Itoa(i)
		for j := range text[1:] {
			text[1+j] = all[random.IntN(len(all))]
		}
		texts[i] = strings.Join(text, " ")
	}
	return texts
}
