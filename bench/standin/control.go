package standin

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Cost is what calls cost and how many run at once.
type Cost struct {
	// Accelerators, Fixed and PerItem are as in [Config].
	Accelerators   int
	Fixed, PerItem time.Duration
}

// SetCost changes the cost of every call that begins to run from now on. The
// error says which field makes no sense.
func (s *Server) SetCost(c Cost) error {
	if c.Accelerators < 1 || c.Fixed < 0 || c.PerItem < 0 {
		return fmt.Errorf("standin: %+v: an accelerator at least, and no negative cost", c)
	}
	s.accelerator.set(c)
	return nil
}

// Cost is what calls cost now.
func (s *Server) Cost() Cost { return s.accelerator.cost() }

// recost answers POST /cost?fixed=20ms&per_item=1ms&accelerators=2, each of which
// may be left out, with the cost from now on.
func (c *conn) recost(last bool) error {
	cost := c.Cost()
	args := c.req.URI().QueryArgs()
	var err error
	for name, value := range args.All() {
		switch text := string(value); string(name) {
		case "fixed":
			cost.Fixed, err = time.ParseDuration(text)
		case "per_item":
			cost.PerItem, err = time.ParseDuration(text)
		case "accelerators":
			cost.Accelerators, err = strconv.Atoi(text)
		default:
			err = fmt.Errorf("%s: is unknown", name)
		}
		if err != nil {
			return c.answer(400, plainError(400, err.Error()), last)
		}
	}
	if err := c.SetCost(cost); err != nil {
		return c.answer(400, plainError(400, err.Error()), last)
	}
	body, err := json.Marshal(map[string]any{
		"fixed": cost.Fixed.String(), "per_item": cost.PerItem.String(), "accelerators": cost.Accelerators,
	})
	if err != nil {
		return err
	}
	return c.answer(200, body, last)
}

// Request is what [Config.Observe] is shown: a request as it came, before its
// answer is thought of. Nothing in it is shared.
type Request struct {
	Method, URI string
	// Header is the head's lines after the first.
	Header string
	Body   []byte
}

func (c *conn) observed() Request {
	return Request{
		Method: string(c.req.Header.Method()), URI: string(c.req.Header.RequestURI()),
		Header: string(c.req.Header.RawHeaders()), Body: append([]byte(nil), c.req.Body()...),
	}
}
