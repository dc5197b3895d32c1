package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExitCodes(t *testing.T) {
	for code, lines := range map[int][][]string{
		0: {{"--help"}},
		1: {{"--fixed", "-1s"}, {"--listen", "127.0.0.1:99999"}},
		2: {{"--nonsense"}, {"extra"}},
	} {
		for _, args := range lines {
			require.Equal(t, code, run(args), "%v", args)
		}
	}
}
