package standin

import (
	"encoding/json"
	"strconv"
)

// predict answers KServe V1's POST /v1/models/{model}:predict
// (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol).
func (c *conn) predict(model string, last bool) error {
	body := c.req.Body()
	if !json.Valid(body) {
		return c.run(0, bad("the body is not valid JSON"), true, last, nil)
	}
	var rows [][]byte
	found := false
	for name, v := range fields(body) {
		if name == "instances" && v[0] == '[' {
			found = true
			for e := range elements(v) {
				rows = append(rows, e)
			}
		}
	}
	var f *fault
	switch {
	case !found:
		f = bad(`Expected "instances" to be a list`)
	case len(rows) == 0:
		f = bad("instances: is empty")
	}
	for _, row := range rows {
		if status := poisonRow(row); status != 0 {
			f = &fault{status, "instance is poisoned"}
			break
		}
	}
	return c.run(len(rows), f, true, last, func(dst []byte) []byte {
		dst = append(dst, `{"predictions":[`...)
		for i, row := range rows {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(dst, Prediction(model, row), 10)
		}
		return append(dst, `]}`...)
	})
}

// poisonRow is poison for an instance: a text anywhere in it, or a number of a
// flat list.
func poisonRow(row []byte) int {
	if status := poison(row); status != 0 {
		return status
	}
	for v := range flat(row) {
		if status := poisonValue(v); status != 0 {
			return status
		}
	}
	return 0
}
