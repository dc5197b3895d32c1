package wire

import (
	"cmp"
	"slices"
)

// ranked is one value that stands in the server's own order.
type ranked struct {
	list     *List
	text     []byte
	item     int
	position int // its index in the text that is made
}

// appendRanked writes values that stand in the server's own order, each with its
// index made anew. Of one piece it keeps that order. Of several, which were
// answered apart, it makes one order by score where each is in such an order, so
// that the whole is as the server would have answered it; else one follows the
// other. Among equal scores the earlier piece comes first.
func appendRanked(dst []byte, list int, pieces []Piece) []byte {
	var all []ranked
	byScore := len(pieces) > 1
	for _, p := range pieces {
		l := &p.Message.Lists[list]
		from := len(all)
		for item := p.From; item < p.To; item++ {
			all = append(all, ranked{list: l, text: p.Message.Text, item: item, position: len(all)})
		}
		slices.SortFunc(all[from:], func(a, b ranked) int { return cmp.Compare(l.Rank[a.item], l.Rank[b.item]) })
		byScore = byScore && l.Score != nil
	}
	if byScore {
		slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(b.list.Score[b.item], a.list.Score[a.item]) })
	}
	for n, r := range all {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = r.list.appendIndexed(dst, r.text, r.item, r.position)
	}
	return dst
}
