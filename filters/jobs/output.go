package jobs

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

// newID is unguessable.
func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: https://pkg.go.dev/crypto/rand#Read
	return prefix + hex.EncodeToString(b[:])
}

// outputLine is a line of an output or an errors file, in OpenAI's form. The text of the
// answer's numbers and the order of its members stay as they are.
func outputLine(j *store.Job, o *store.Output) []byte {
	type failure struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	type response struct {
		StatusCode int             `json:"status_code"`
		RequestID  string          `json:"request_id"`
		Body       json.RawMessage `json:"body"`
	}
	line := struct {
		ID       string    `json:"id"`
		CustomID string    `json:"custom_id"`
		Response *response `json:"response"`
		Error    *failure  `json:"error"`
	}{ID: lineID(j.Seq, o.N), CustomID: o.CustomID}
	switch r := o.Result; {
	case r == nil && j.Outcome == store.Expired:
		line.Error = &failure{"batch_expired", "This request could not be executed before the completion window expired."}
	case r == nil:
		line.Error = &failure{"batch_cancelled", "This request was not executed, since the batch was cancelled."}
	case r.Status == 0:
		line.Error = &failure{r.Code, r.Message}
	default:
		line.Response = &response{StatusCode: r.Status, RequestID: r.RequestID, Body: compact(r.Body)}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil { // what is in it has been made JSON
		return nil
	}
	return out.Bytes()
}

// compact is an answer's body on one line: its JSON, or else a string of its text.
func compact(body []byte) json.RawMessage {
	if len(body) == 0 {
		return json.RawMessage("null")
	}
	var out bytes.Buffer
	if utf8.Valid(body) && json.Compact(&out, body) == nil {
		return out.Bytes()
	}
	text, err := json.Marshal(strings.ToValidUTF8(string(body), "\uFFFD"))
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}
