package client

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

func TestStateFileRoundTrip(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue"), xdstest.Cluster("green"), xdstest.StaticCluster(t, "s", "10.0.0.5:1")))
	path := filepath.Join(t.TempDir(), "deep", "er", "state")
	for range 2 { // the second replaces the first
		require.NoError(t, writeFile(path, encodeState(d.s)))
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary files are left")
	info, err := entries[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	m, err := decodeState(data)
	require.NoError(t, err)
	again := newDrive(t, nil)
	require.NoError(t, again.s.restore(m))
	// green, whose endpoints had not come, was not in force.
	again.want("in>blue blue=10.0.0.1:80 s=10.0.0.5:1")
	require.Equal(t, "2", again.s.known[eds].items["blue"].version)
	require.Equal(t, d.s.known[eds].items["blue"].updated.UTC(), again.s.known[eds].items["blue"].updated.UTC())
}

func TestRestoreLeavesOutWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	d := first(t)
	m, err := decodeState(encodeState(d.s))
	require.NoError(t, err)
	bad := proto.CloneOf(m.GetGenericXdsConfigs()[0])
	bad.XdsConfig = &anypb.Any{TypeUrl: bad.GetTypeUrl(), Value: []byte{0xff}}
	m.GenericXdsConfigs = append(m.GenericXdsConfigs, bad)
	again := newDrive(t, nil)
	require.Error(t, again.s.restore(m))
	again.want("in>blue blue=10.0.0.1:80")
}

func TestCorruptStateFilesAreIgnored(t *testing.T) {
	t.Parallel()
	good := encodeState(first(t).s)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{
		"empty": {}, "another": []byte("hello"), "cut": good[:len(good)-3], "flipped": flipped, "no body": []byte(stateMagic),
	} {
		_, err := decodeState(data)
		require.ErrorIs(t, err, errCorrupt, name)

		path := filepath.Join(t.TempDir(), "state")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		c := New(Options{StateFile: path, Parser: &resource.Parser{Registry: filters.NewRegistry()}, Apply: func(*config.Resources) error { return errors.New("not to be called") }})
		c.restore()
		require.False(t, c.Ready(), name)
		require.False(t, c.state.Load().complete)
	}
}

func TestRestoredConfigurationThatIsRefusedIsIgnored(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.WriteFile(path, encodeState(first(t).s), 0o600))
	c := New(Options{StateFile: path, Parser: &resource.Parser{Registry: filters.NewRegistry()}, Apply: func(*config.Resources) error { return errors.New("no") }})
	c.restore()
	require.False(t, c.Ready())
	require.Empty(t, c.state.Load().known[lds].items)
}

func FuzzDecodeState(f *testing.F) {
	f.Add(encodeState(first(f).s))
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeState(data)
		if err != nil {
			require.ErrorIs(t, err, errCorrupt)
			return
		}
		d := newDrive(t, nil)
		_ = d.s.restore(m)
		check(t, d)
	})
}
