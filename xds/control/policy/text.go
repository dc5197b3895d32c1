package policy

import (
	"bytes"
	"slices"

	"go.yaml.in/yaml/v3"
)

// documentText is the document whose root stands in data, as it was written: from
// the marker before it to the one after. A line that begins with --- or ... is a
// marker wherever it stands in YAML, also within quotes. Where the lines do not
// lead to the document (YAML knows line breaks that this does not), it is written
// anew.
func documentText(data []byte, root *yaml.Node) string {
	lines := slices.Collect(bytes.Lines(data))
	if n := root.Line - 1; n < len(lines) {
		first, last := n, n+1
		for first > 0 && !isMarker(lines[first]) {
			first--
		}
		if first < n && isMarker(lines[first]) {
			first++
		}
		for last < len(lines) && !isMarker(lines[last]) {
			last++
		}
		text := bytes.Join(lines[first:last], nil)
		var doc yaml.Node
		if yaml.Unmarshal(text, &doc) == nil && len(doc.Content) == 1 && sameNode(doc.Content[0], root) {
			return string(text)
		}
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return string(data)
	}
	return string(text)
}

func isMarker(line []byte) bool {
	line = bytes.TrimRight(line, "\r\n")
	for _, m := range []string{"---", "..."} {
		if rest, ok := bytes.CutPrefix(line, []byte(m)); ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t') {
			return true
		}
	}
	return false
}

// sameNode says whether two values are equal, aliases by their anchors' names.
func sameNode(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.ShortTag() == b.ShortTag() && a.Anchor == b.Anchor &&
		slices.EqualFunc(a.Content, b.Content, sameNode)
}
