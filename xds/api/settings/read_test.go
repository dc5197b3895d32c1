package settings_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/xds/api/settings"
)

const duration = "type.googleapis.com/google.protobuf.Duration"

// config is a filter's configuration, made of a Duration.
type config struct{ seconds int64 }

func parse(d *durationpb.Duration) (*config, error) {
	if d.GetSeconds() < 0 {
		return nil, errors.New("seconds: must not be negative")
	}
	return &config{d.GetSeconds()}, nil
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name string
		any  *anypb.Any
		want any
		says string
	}{
		{"none", nil, &config{}, ""},
		{"good", &anypb.Any{TypeUrl: duration, Value: []byte{8, 7}}, &config{7}, ""},
		{"another type", &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Empty"}, nil, `type_url: "type.googleapis.com/google.protobuf.Empty": must be "` + duration + `"`},
		{"other bytes", &anypb.Any{TypeUrl: duration, Value: []byte{8}}, nil, "value: not a google.protobuf.Duration: "},
		{"refused", &anypb.Any{TypeUrl: duration, Value: []byte{8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}}, nil, "seconds: must not be negative"},
	} {
		got, err := settings.Parse(tc.any, parse)
		if tc.says != "" {
			require.ErrorContains(t, err, tc.says, tc.name)
			require.Equal(t, any(nil), got, "%s: no config, not one that is nil", tc.name)
			continue
		}
		require.NoError(t, err, tc.name)
		require.Equal(t, tc.want, got, tc.name)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(duration, []byte{8, 7, 16, 1})
	f.Add(duration, []byte{8})
	f.Add("x", []byte{})
	f.Fuzz(func(t *testing.T, url string, value []byte) {
		got, err := settings.Parse(&anypb.Any{TypeUrl: url, Value: value}, parse)
		if err != nil {
			require.Equal(t, any(nil), got)
			return
		}
		d := new(durationpb.Duration)
		require.NoError(t, proto.Unmarshal(value, d))
		require.Equal(t, &config{d.GetSeconds()}, got)
	})
}
