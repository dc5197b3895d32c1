package samesite

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Guard keeps out of an operators' door what other sites have a browser do there, which the
// loopback address does not: the browser is on this side of it.
//
//   - A site whose name is made to resolve to this address (DNS rebinding) is of the same
//     origin as the door as far as a browser can tell, and could read and do everything. It
//     has to send its name as Host. So on a loopback address only names that cannot be
//     anybody's are taken: localhost, those below it, and addresses.
//   - A site that has a browser fetch from here learns nothing, but could have it work, such as
//     at a profile, or change something. Only links may be followed, which Sec-Fetch-Site and
//     -Mode tell; browsers without these send Origin with what changes something.
func Guard(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if atLoopback(r) && !ownName(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "Host "+strconv.Quote(r.Host)+" is not known here: ask for localhost or an IP address\n")
			return
		}
		switch r.Header.Get("Sec-Fetch-Site") {
		case "cross-site", "same-site":
			if r.Header.Get("Sec-Fetch-Mode") != "navigate" {
				refuse(w, http.StatusForbidden, "refused: another site asks for it\n")
				return
			}
		}
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, why) // #nosec G705 -- plain text, and nosniff; an error is whoever asked having gone
}

// atLoopback says whether the request came to a loopback address.
func atLoopback(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// ownName says whether a Host is an address, localhost or below it, or missing, as in HTTP/1.0,
// which no browser speaks.
func ownName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return host == "" || name == "localhost" || strings.HasSuffix(name, ".localhost")
}
