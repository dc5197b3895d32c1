package wire

import (
	"errors"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// ReadAnswer reads m's whole text, an object that holds an array of results and may
// hold a usage. All other members are everybody's. It returns what ReadResults does.
func (m *Message) ReadAnswer(how Results) (weights []int, err error) {
	var options Options
	s := jsonspan.New(m.Text)
	if !s.Object() {
		return nil, errors.New("the answer is not an object")
	}
	var key []byte
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(m.Text)
		options.Note(name)
		switch {
		case string(name) == how.Name, how.Or != "" && string(name) == how.Or:
			key = append(append(key, name...), ' ')
			if weights, err = m.ReadResults(&s, how); err != nil {
				return nil, err
			}
		case string(name) == "usage":
			if key, ok = m.ReadUsage(&s, append(key, "usage"...)); !ok {
				return nil, errors.New("usage: not an object of at most 64 counts under different names")
			}
		case how.Bills != "" && string(name) == how.Bills:
			if key, ok = m.readBills(&s, append(key, name...)); !ok {
				return nil, errors.New(how.Bills + ": not an object of counts under different names")
			}
		default:
			s.Value()
		}
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	if !options.Unique() {
		return nil, errors.New("a member's name stands twice")
	}
	if m.Lists == nil {
		return nil, errors.New("the answer has no " + how.Name)
	}
	m.Key = Key(key)
	return weights, nil
}

// readBills reads the counts of the objects "billed_units" and "tokens" of an
// object; what else is in it is everybody's.
func (m *Message) readBills(s *jsonspan.Scanner, key []byte) ([]byte, bool) {
	if !s.Object() {
		return key, s.Value().Len() > 0
	}
	var options Options
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(m.Text)
		options.Note(name)
		if string(name) != "billed_units" && string(name) != "tokens" {
			s.Value()
			continue
		}
		if key, ok = m.ReadUsage(s, append(key, name...)); !ok {
			return key, false
		}
	}
	return key, options.Unique()
}
