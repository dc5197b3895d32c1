package wire

import (
	"cmp"
	"slices"
)

// ranked is a piece's values in the order in which they are written.
type ranked struct {
	piece Piece
	list  *List
	items []int // what is left of them
	base  int   // the index of the piece's first item in the text that is made
}

// appendRanked writes values that stand in the server's own order, each with its
// index made anew. Of one piece it keeps that order. Of several, which were
// answered apart, it makes one order by score where each is in such an order, so
// that the whole is as the server would have answered it; else one follows the
// other. Among equal scores the earlier piece comes first.
func appendRanked(dst []byte, list int, pieces []Piece) []byte {
	left := make([]ranked, 0, len(pieces))
	byScore, base := true, 0
	for _, p := range pieces {
		l := &p.Message.Lists[list]
		r := ranked{piece: p, list: l, items: make([]int, p.Len()), base: base}
		for i := range r.items {
			r.items[i] = p.From + i
		}
		slices.SortFunc(r.items, func(a, b int) int { return cmp.Compare(l.Rank[a], l.Rank[b]) })
		left = append(left, r)
		byScore = byScore && l.Score != nil
		base += p.Len()
	}
	for n := range base {
		if n > 0 {
			dst = append(dst, ',')
		}
		next := &left[0]
		for i := range left[1:] {
			if other := &left[i+1]; byScore && other.score() > next.score() {
				next = other
			}
		}
		item := next.items[0]
		dst = next.list.appendIndexed(dst, next.piece.Message.Text, item, next.base+item-next.piece.From)
		if next.items = next.items[1:]; len(next.items) == 0 {
			i := slices.IndexFunc(left, func(r ranked) bool { return len(r.items) == 0 })
			left = slices.Delete(left, i, i+1)
		}
	}
	return dst
}

// score is the next value's.
func (r *ranked) score() float64 { return r.list.Score[r.items[0]] }
