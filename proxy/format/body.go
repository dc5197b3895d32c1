package format

// BodyFormat is how the text of Friday's own answers is made: exactly one of Text and
// JSON.
type BodyFormat struct {
	Text *Formatter
	JSON *JSON
	// ContentType is text/plain or application/json where empty.
	ContentType string
}

// Make makes the body and its type.
func (b *BodyFormat) Make(facts *Facts) (body []byte, contentType string) {
	if b.JSON != nil {
		body, contentType = b.JSON.Append(nil, facts), "application/json"
	} else {
		body, contentType = b.Text.Append(nil, facts), "text/plain"
	}
	if b.ContentType != "" {
		contentType = b.ContentType
	}
	return body, contentType
}
