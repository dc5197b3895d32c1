package accesslog_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/accesslog"
	"github.com/fridaymesh/friday/proxy/format"
)

func TestLinesAreGatheredForASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	written := func() string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(text)
	}
	synctest.Test(t, func(t *testing.T) {
		file, err := accesslog.Open(path)
		require.NoError(t, err)
		text, err := format.New("%RESPONSE_CODE%\n", "-")
		require.NoError(t, err)
		log := accesslog.New(accesslog.Config{Text: text, When: func(f *format.Facts) bool { return f.Status >= 400 }}, file)
		facts := func(status int) *format.Facts {
			return &format.Facts{Request: &proxy.Request{Header: new(fasthttp.RequestHeader)}, Status: status}
		}
		log.Write(facts(200))
		log.Write(facts(404))
		log.Write(facts(500))
		require.Empty(t, written())
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, "404\n500\n", written())
		log.Write(facts(503))
		require.NoError(t, file.Close())
		require.Equal(t, "404\n500\n503\n", written())
		log.Write(facts(504)) // of a request that outlived its configuration
		require.NoError(t, file.Close())
		require.Equal(t, "404\n500\n503\n", written())
	})
}

func TestOpenRefuses(t *testing.T) {
	_, err := accesslog.Open(filepath.Join(t.TempDir(), "no", "such", "folder"))
	require.ErrorContains(t, err, "access log: ")
}
