package inference

import (
	"slices"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// SplitExact is Split with the token count of each of the calls' items, as the
// server's own tokenizer gave them (see [Tokenizer]). They are believed only where
// they sum to the prompt's tokens in the answer, so that a tokenizer that counts
// special tokens or prefixes otherwise does no harm; else the usage is shared out as
// Split does. It says whether each call is told exactly what its own prompt costs;
// where all items are token ids, that needs no counts.
//
// REQUIRES: the calls that Merge got, and nil, or one count, not negative, for each item.
func SplitExact(calls []*Call, answer []byte, counts []int) (answers [][]byte, exact bool, err error) {
	if counts == nil {
		return split(calls, answer, nil)
	}
	tokens := make([]int, len(calls))
	for i, c := range calls {
		for _, n := range counts[:c.Items] {
			tokens[i] += n
		}
		counts = counts[c.Items:]
	}
	return split(calls, answer, tokens)
}

// shareUsage returns each call's token counts, nil where the answer has none, and
// whether tokens, the calls' exact counts, told them.
func shareUsage(answer *wire.Message, calls []*Call, tokens []int) (shares [][]int64, exact bool) {
	items, weights := make([]int, len(calls)), make([]int, len(calls))
	for i, c := range calls {
		items[i], weights[i] = c.Items, c.message.Weight(c.from, c.to)
	}
	ids := !slices.ContainsFunc(calls, func(c *Call) bool { return c.message.Weights == nil })
	switch {
	case tokens != nil && fits(answer, tokens):
		weights, exact = tokens, true
	case ids:
		exact = fits(answer, weights)
	}
	return answer.ShareUsage(items, weights), exact
}

// fits says whether tokens sum to what the answer says that all prompts cost.
func fits(answer *wire.Message, tokens []int) bool {
	var sum int64
	for _, n := range tokens {
		sum += int64(n)
	}
	total := int64(-1)
	for i, count := range answer.Counts {
		if count.Deep {
			continue
		}
		switch string(count.Name) {
		case "prompt_tokens":
			return answer.Usage[i] == sum
		case "total_tokens":
			total = answer.Usage[i]
		}
	}
	return total == sum
}
