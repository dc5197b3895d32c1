package realserver

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/fridaymesh/friday/bench/load"
)

// pixels is how many numbers a digit has: 8 by 8 shades of grey.
const pixels = 64

// Digits are handwritten digits that the model was not trained with, and what
// they are.
type Digits struct {
	Rows   [][]float64 `json:"rows"`
	Labels []int       `json:"labels"`

	requests [][]byte
}

// ReadDigits reads what the training has left.
func ReadDigits(path string) (*Digits, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- our own cache
	if err != nil {
		return nil, fmt.Errorf("digits: %w", err)
	}
	d, err := ParseDigits(text)
	if err != nil {
		return nil, fmt.Errorf("digits: %s: %w", path, err)
	}
	return d, nil
}

// ParseDigits reads digits from JSON: as many "labels" as "rows" of 64 numbers.
func ParseDigits(text []byte) (*Digits, error) {
	d := &Digits{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, err
	}
	if len(d.Rows) == 0 || len(d.Rows) != len(d.Labels) {
		return nil, fmt.Errorf("rows, labels: %d and %d in number", len(d.Rows), len(d.Labels))
	}
	for i, row := range d.Rows {
		if len(row) != pixels {
			return nil, fmt.Errorf("rows[%d]: %d numbers, not %d", i, len(row), pixels)
		}
		data, err := json.Marshal(row)
		if err != nil {
			return nil, fmt.Errorf("rows[%d]: %w", i, err)
		}
		d.requests = append(d.requests, fmt.Appendf(nil,
			`{"inputs":[{"name":"predict","shape":[1,%d],"datatype":"FP32","data":%s}]}`, pixels, data))
	}
	return d, nil
}

// Request is the body that asks what digit i is.
func (d *Digits) Request(i int) []byte { return d.requests[i] }

// none is the answer to a digit that was not asked about.
const none = -1

// Exam asks a server about the digits, one a request, round and round. Every
// answer must have the right form and be the same as the reference's, where there
// is one, and as that to the same digit before; whether it is the right digit is
// for Accuracy to tell.
type Exam struct {
	digits    *Digits
	reference []int64
	answers   []atomic.Int64
}

var _ load.Workload = (*Exam)(nil)

// NewExam makes an exam. reference is Answers of an earlier one, or nil.
func (d *Digits) NewExam(reference []int64) *Exam {
	e := &Exam{digits: d, reference: reference, answers: make([]atomic.Int64, len(d.Rows))}
	for i := range e.answers {
		e.answers[i].Store(none)
	}
	return e
}

// Path is the Open Inference Protocol's.
func (*Exam) Path() string { return "/v2/models/" + DigitsModel + "/infer" }

// AppendBody asks about digit n, beginning again after the last.
func (e *Exam) AppendBody(dst []byte, n uint64) []byte {
	return append(dst, e.digits.Request(e.row(n))...)
}

func (e *Exam) row(n uint64) int { return int(n % uint64(len(e.answers))) } // #nosec G115 -- below a length

// Check looks at the answer's form and compares it with what it should equal.
func (e *Exam) Check(n uint64, body []byte) error {
	var answer struct {
		Model   string `json:"model_name"`
		Outputs []struct {
			Name  string
			Shape []int
			Data  []int64
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w: %.200s", err, body)
	}
	if answer.Model != DigitsModel || len(answer.Outputs) != 1 || answer.Outputs[0].Name != "predict" ||
		!slices.Equal(answer.Outputs[0].Shape, []int{1, 1}) || len(answer.Outputs[0].Data) != 1 {
		return fmt.Errorf("not one prediction in shape [1 1]: %.300s", body)
	}
	got, i := answer.Outputs[0].Data[0], e.row(n)
	if got < 0 || got > 9 {
		return fmt.Errorf("digit %d: %d is no digit", i, got)
	}
	if e.reference != nil && e.reference[i] != none && e.reference[i] != got {
		return fmt.Errorf("digit %d: %d where the server itself says %d", i, got, e.reference[i])
	}
	if before := e.answers[i].Swap(got); before != none && before != got {
		return fmt.Errorf("digit %d: %d where it was %d before", i, got, before)
	}
	return nil
}

// Answers are what the server said, -1 for digits that it was not asked about.
func (e *Exam) Answers() []int64 {
	a := make([]int64, len(e.answers))
	for i := range e.answers {
		a[i] = e.answers[i].Load()
	}
	return a
}

// Asked is how many different digits were answered.
func (e *Exam) Asked() int {
	n := 0
	for i := range e.answers {
		if e.answers[i].Load() != none {
			n++
		}
	}
	return n
}

// Accuracy is the share of right ones among the digits that were answered.
func (e *Exam) Accuracy() float64 {
	right := 0
	for i := range e.answers {
		if e.answers[i].Load() == int64(e.digits.Labels[i]) {
			right++
		}
	}
	return float64(right) / float64(max(1, e.Asked()))
}
