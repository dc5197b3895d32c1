// Package kservev1 reads KServe's V1 protocol, which is TensorFlow Serving's row
// format (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol,
// https://www.tensorflow.org/tfx/serving/api_rest#predict_api).
//
// The item is one instance, of any type. The columnar format ("inputs") does not
// say how many items it holds and is not understood.
package kservev1

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Protocol is the wire.Protocol of this package.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

// Name is "kserve_v1".
func (Protocol) Name() string { return "kserve_v1" }

// Match takes /v1/models/{model}:predict.
func (Protocol) Match(path string) (wire.Target, bool) {
	escaped, ok := strings.CutPrefix(path, "/v1/models/")
	if !ok {
		return wire.Target{}, false
	}
	escaped, ok = strings.CutSuffix(escaped, ":predict")
	if !ok || escaped == "" || strings.Contains(escaped, "/") {
		return wire.Target{}, false
	}
	model, err := url.PathUnescape(escaped)
	if err != nil {
		return wire.Target{}, false
	}
	return wire.Target{Operation: "predict", Model: model, TypeOptional: true}, true
}

// Request reads {"instances": […], …}. Requests go together where all other
// members are equal. Not understood: no instances, the columnar inputs, and an
// unknown member that may be a list over the instances.
func (Protocol) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch name := span.Of(body); string(name) {
		case "inputs":
			return nil
		case "instances":
			options.Note(name)
			if !m.ReadList(&s, wire.MaxItems, "") {
				return nil
			}
		default:
			options.Other(name, s.Value().Of(body))
		}
	}
	if s.End() != nil || m.Items == 0 || options.RunsOver(m.Items) {
		return nil
	}
	key, ok := options.AppendKey(nil)
	if !ok {
		return nil
	}
	m.Key = wire.Key(key)
	return m
}

// Answer reads {"predictions": […], …}, one prediction for each instance.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil, errors.New("the answer is not an object")
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		options.Note(name)
		if string(name) != "predictions" {
			s.Value()
			continue
		}
		if !m.ReadList(&s, items, "") {
			return nil, fmt.Errorf("predictions is not one array of %d elements", items)
		}
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	if !options.Unique() {
		return nil, errors.New("a member's name stands twice")
	}
	if m.Items != items {
		return nil, fmt.Errorf("predictions has %d elements for %d instances", m.Items, items)
	}
	return m, nil
}
