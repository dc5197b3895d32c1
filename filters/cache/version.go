package cache

import (
	"bytes"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// subject is a model at a server.
type subject struct{ cluster, model string }

// maxVersions bounds of how many models it is remembered which version answers.
const maxVersions = 4096

// A server that tells which version of a model has answered tells when that has changed:
// what another version has answered is not given any more. The version is not part of the
// key, which has to be known before anybody is asked; it is compared.

// learn notes which version has just answered; what is kept of another is outdated.
func (s *state) learn(of subject, version string) {
	if version == "" {
		return
	}
	if was, known := s.versions.Load(of); known {
		if was != version {
			s.versions.Store(of, version)
		}
		return
	}
	if s.versionCount.Add(1) > maxVersions {
		s.versions.Clear()
		s.versionCount.Store(1)
	}
	s.versions.Store(of, version)
}

// outdated says whether e is by a version of its model other than that which has answered
// last.
func (s *state) outdated(e *entry, cluster string) bool {
	if e.version == "" {
		return false
	}
	now, known := s.versions.Load(subject{cluster, e.model})
	return known && now != e.version
}

// versionOf is what a JSON answer, or a stream's first event, says of who has answered:
// the Open Inference Protocol's model_version, OpenAI's model and system_fingerprint.
func versionOf(text []byte, events bool) string {
	if events {
		text = firstData(text)
	}
	s := jsonspan.New(text)
	if !s.Object() {
		return ""
	}
	var version, model, fingerprint []byte
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		value := s.Value().Of(text)
		switch string(span.Of(text)) {
		case "model_version":
			version = value
		case "model":
			model = value
		case "system_fingerprint":
			fingerprint = value
		}
	}
	return string(bytes.Join([][]byte{version, model, fingerprint}, nil))
}

// firstData is the data of a stream's first event.
func firstData(text []byte) []byte {
	for line := range bytes.Lines(text) {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			return bytes.TrimSpace(data)
		}
	}
	return nil
}
