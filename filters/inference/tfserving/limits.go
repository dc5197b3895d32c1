package tfserving

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

var (
	_ wire.Limiter = Rows{}
	_ wire.Limiter = Columns{}
)

// Questions asks for the model's metadata.
func (Rows) Questions(target wire.Target) []wire.Question { return questions(target) }

// Questions asks for the model's metadata.
func (Columns) Questions(target wire.Target) []wire.Question { return questions(target) }

// questions asks as https://www.tensorflow.org/tfx/serving/api_rest#model_metadata_api
// has it.
func questions(target wire.Target) []wire.Question {
	path := "/v1/models/" + url.PathEscape(target.Model)
	if target.Version != "" {
		path += "/" + target.Version
	}
	return []wire.Question{{Path: path + "/metadata", Read: readMetadata}}
}

// signature is one of the functions that a model has.
type signature struct {
	Inputs map[string]struct {
		Shape struct {
			Dims []struct {
				Size string `json:"size"` // an int64, as proto's JSON writes it
			} `json:"dim"`
			Unknown bool `json:"unknown_rank"`
		} `json:"tensor_shape"`
	} `json:"inputs"`
}

// readMetadata reads the model's signatures. As the request's body says which is
// asked for, it is told only where it is the same for all of them.
func readMetadata(body []byte) (wire.Limits, error) {
	var answer struct {
		Metadata struct {
			Def struct {
				Signatures map[string]signature `json:"signature_def"`
			} `json:"signature_def"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return wire.Limits{}, fmt.Errorf("the model's metadata: %w", err)
	}
	signatures := answer.Metadata.Def.Signatures
	if len(signatures) == 0 {
		return wire.Limits{}, errors.New("the model's metadata has no signatures")
	}
	limits := wire.Limits{}
	first := true
	for _, s := range signatures {
		if len(s.Inputs) == 0 {
			continue // an initialiser, which nobody asks for
		}
		batchable := s.batchable()
		if !first && batchable != limits.Batchable {
			return wire.Limits{}, nil
		}
		first, limits.Batchable = false, batchable
	}
	if limits.Batchable == wire.BatchableNo {
		limits.MaxItems = 1
	}
	return limits, nil
}

// batchable says whether every input's first dimension is variable.
func (s signature) batchable() wire.Batchable {
	all := wire.BatchableYes
	for _, input := range s.Inputs {
		dims := input.Shape.Dims
		switch {
		case input.Shape.Unknown:
			return wire.BatchableUnknown
		case len(dims) == 0 || dims[0].Size != "-1":
			all = wire.BatchableNo
		}
	}
	return all
}
