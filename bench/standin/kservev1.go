package standin

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// predict answers POST /v1/models/{model}:predict, KServe V1's rows
// (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol)
// and TensorFlow Serving's rows and columns
// (https://www.tensorflow.org/tfx/serving/api_rest#predict_api).
func predict(model string, body []byte) *job {
	return rows(model, body, "predictions", true)
}

// explain answers KServe V1's POST /v1/models/{model}:explain, an explanation for
// each instance.
func explain(model string, body []byte) *job {
	return rows("explain "+model, body, "explanations", false)
}

// rows is a call that holds instances and gets one result each, under a name;
// columns says that inputs by column are taken, too.
func rows(model string, body []byte, results string, columns bool) *job {
	if !json.Valid(body) {
		return refused(plainError, bad("the body is not valid JSON"))
	}
	var list [][]byte
	found := false
	for name, v := range fields(body) {
		if name == "inputs" && columns {
			return columnar(model, v)
		}
		if name == "instances" && v[0] == '[' {
			found = true
			for e := range elements(v) {
				list = append(list, e)
			}
		}
	}
	switch {
	case !found:
		return refused(plainError, bad(`Expected "instances" to be a list`))
	case len(list) == 0:
		return refused(plainError, bad("instances: is empty"))
	}
	j := &job{model: model, items: len(list), form: plainError}
	for i, row := range list {
		j.lookRow("instance", i, row)
	}
	j.answer = func(dst []byte, n int) []byte {
		dst = append(dst, `{"`+results+`":[`...)
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(dst, Prediction(model, list[i]), 10)
		}
		return append(dst, `]}`...)
	}
	return j
}

// lookRow is look for an instance: a text anywhere in it, or a number of a flat
// list.
func (j *job) lookRow(what string, i int, row []byte) {
	j.look(what, i, row)
	j.lookValue(what, i, row)
	for v := range flat(row) {
		j.lookValue(what, i, v)
	}
}

// lookValue is look for one value of item i.
func (j *job) lookValue(what string, i int, v []byte) {
	j.hangs = j.hangs || hangsValue(v)
	if status := poisonValue(v); status != 0 && j.fault == nil {
		j.fault = poisoned(status, what, i, v)
	}
}

// column is one named input of a columnar call.
type column struct{ name, values []byte }

// columnar reads TensorFlow Serving's columns: one list, or an object of lists
// that are equally long. What has names is answered under names.
func columnar(model string, inputs []byte) *job {
	var columns []column
	named := inputs[0] == '{'
	if named {
		for name, v := range fields(inputs) {
			columns = append(columns, column{[]byte(name), v})
		}
		// Members of an object have no order.
		slices.SortStableFunc(columns, func(a, b column) int { return bytes.Compare(a.name, b.name) })
	} else {
		columns = []column{{nil, inputs}}
	}
	j := &job{model: model, form: plainError}
	var sums []RowSum
	for at, col := range columns {
		n := 0
		for v := range elements(col.values) {
			if at == 0 {
				sums = append(sums, NewRowSum(model))
			}
			if n < len(sums) {
				sums[n].Input(string(col.name))
				sums[n].Value(compact(v))
			}
			j.lookRow("row", n, v)
			n++
		}
		if n != len(sums) || n == 0 {
			return refused(plainError, bad("inputs: "+quote(string(col.name))+" has "+strconv.Itoa(n)+" rows"))
		}
	}
	if len(sums) == 0 {
		return refused(plainError, bad("inputs: has no columns"))
	}
	j.items = len(sums)
	j.answer = func(dst []byte, n int) []byte {
		list := func(dst []byte, shift uint) []byte {
			dst = append(dst, '[')
			for i := range n {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = strconv.AppendInt(dst, sums[i].Sum()>>shift, 10)
			}
			return append(dst, ']')
		}
		if !named {
			return append(list(append(dst, `{"outputs":`...), 0), '}')
		}
		dst = list(append(dst, `{"outputs":{"`+SumOutput+`":`...), 0)
		return append(list(append(dst, `,"half":`...), 1), `}}`...)
	}
	return j
}

// predictions answers TorchServe's POST /predictions/{model}
// (https://docs.pytorch.org/serve/inference_api.html): the body, of whatever type,
// is one item.
func predictions(model string, body []byte) *job {
	j := &job{model: model, items: 1, form: torchError}
	j.look("input", 0, body)
	j.answer = func(dst []byte, _ int) []byte {
		dst = strconv.AppendUint(append(dst, `{"prediction":`...), mix(hash([]byte(model), body))>>1, 10)
		return append(dst, '}')
	}
	return j
}
