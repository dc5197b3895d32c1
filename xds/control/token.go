package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// TokenRequest asks for a token that counts once.
type TokenRequest struct {
	// Node and Cluster are the sidecar's --node-id and --node-cluster.
	Node    string `json:"node"`
	Cluster string `json:"node_cluster,omitempty"`
	// Life is how long it may wait for its sidecar, in seconds; default 1 h.
	Life float64 `json:"life_seconds,omitempty"`
}

// Token is what goes into a sidecar's --xds-token-file.
type Token struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// DefaultTokenLife is for a token of which nothing else is said.
const DefaultTokenLife = time.Hour

// errNoTokens says that tokens are not taken.
var errNoTokens = errors.New("fridayd takes no tokens: it runs without --ca and without --tokens")

// token makes one. Who it was made for is in the log, the token itself is not.
func (a Admin) token(r *http.Request) (any, error) {
	if a.Tokens == nil {
		return nil, errNoTokens
	}
	q := TokenRequest{Life: DefaultTokenLife.Seconds()}
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, errors.Join(errOrder, err)
	}
	token, expires, err := a.Tokens.Make(q.Cluster, q.Node, time.Duration(q.Life*float64(time.Second)))
	if err != nil {
		return nil, err
	}
	a.Nodes.log.Info("a token was made", zap.String("by", by(r)), zap.String(fieldNode, q.Node), zap.String("node_cluster", q.Cluster), zap.Time("until", expires))
	return Token{token, expires}, nil
}

// roots are what sidecars are to trust, in PEM: for --xds-ca.
func (a Admin) roots(w http.ResponseWriter, _ *http.Request) {
	if a.Nodes.gate == nil {
		text(w, http.StatusNotFound, "fridayd has no certificate authority: it runs without --ca and without --ca-cert\n")
		return
	}
	text(w, http.StatusOK, string(a.Nodes.gate.Authority.Roots()))
}
