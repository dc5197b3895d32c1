package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/fridaymesh/friday/xds/client"
)

// adminDoor is the server of the admin port: HTTP for people and probes and, by HTTP/2
// in cleartext, gRPC for the client status discovery service.
func adminDoor(admin http.Handler, xds *client.Client) *http.Server {
	csds := xds.StatusHandler()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				csds.ServeHTTP(w, r)
				return
			}
			admin.ServeHTTP(w, r)
		}),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
	}
}
