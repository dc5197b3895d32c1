package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/fridaymesh/friday/bench/standin"
)

// Predict asks /v1/models/{model}:predict for the predictions of Items rows.
type Predict struct{ Items int }

var _ Workload = Predict{}

// Path is KServe V1's.
func (Predict) Path() string { return "/v1/models/" + Model + ":predict" }

// AppendBody appends the rows.
func (w Predict) AppendBody(dst []byte, n uint64) []byte {
	dst = append(dst, `{"instances":[`...)
	dst = list(dst, w.Items, func(dst []byte, j int) []byte {
		return append(appendRow(append(dst, '['), n, j), ']')
	})
	return append(dst, `]}`...)
}

// Check compares every prediction, digit by digit.
func (w Predict) Check(n uint64, body []byte) error {
	var answer struct{ Predictions []json.Number }
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	return checkNumbers(body, answer.Predictions, w.Items, func(j int) int64 {
		return standin.Prediction(Model, append(appendRow([]byte{'['}, n, j), ']'))
	})
}

// Infer asks /v2/models/{model}/infer for the checksums of Items rows.
type Infer struct{ Items int }

var _ Workload = Infer{}

// Path is the Open Inference Protocol's.
func (Infer) Path() string { return "/v2/models/" + Model + "/infer" }

// AppendBody appends one tensor of all rows, and an id.
func (w Infer) AppendBody(dst []byte, n uint64) []byte {
	dst = append(dst, `{"id":"r`...)
	dst = strconv.AppendUint(dst, n, 10)
	dst = append(dst, `","inputs":[{"name":"input","shape":[`...)
	dst = strconv.AppendInt(dst, int64(w.Items), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, width, 10)
	dst = append(dst, `],"datatype":"FP64","data":[`...)
	dst = list(dst, w.Items, func(dst []byte, j int) []byte { return appendRow(dst, n, j) })
	return append(dst, `]}]}`...)
}

// Check compares id, shape and every checksum.
func (w Infer) Check(n uint64, body []byte) error {
	var answer struct {
		ID      string
		Outputs []struct {
			Name  string
			Shape []int
			Data  []json.Number
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	if len(answer.Outputs) != 1 || answer.ID != "r"+strconv.FormatUint(n, 10) ||
		answer.Outputs[0].Name != standin.SumOutput || !slices.Equal(answer.Outputs[0].Shape, []int{w.Items, 1}) {
		return fmt.Errorf("id, output's name or shape are not what is due: %s", shown(body))
	}
	return checkNumbers(body, answer.Outputs[0].Data, w.Items, func(j int) int64 {
		sum := standin.NewRowSum(Model)
		sum.Input("input")
		for v := range bytes.SplitSeq(appendRow(nil, n, j), []byte{','}) {
			sum.Value(v)
		}
		return sum.Sum()
	})
}

func checkNumbers(body []byte, got []json.Number, items int, due func(j int) int64) error {
	if len(got) != items {
		return fmt.Errorf("%d predictions where %d are due: %s", len(got), items, shown(body))
	}
	for j, v := range got {
		if want := strconv.FormatInt(due(j), 10); v.String() != want {
			return fmt.Errorf("prediction %d is %s where %s is due", j, v, want)
		}
	}
	return nil
}

// shown is the beginning of an answer, for an error's text.
func shown(body []byte) string {
	if len(body) > 300 {
		return string(body[:300]) + "…"
	}
	return string(body)
}
