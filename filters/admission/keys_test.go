package admission_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/admission"
	"github.com/fridaymesh/friday/filters/admission/gate"
)

// hashOf is a key as a key file has it.
func hashOf(key string) string {
	hash := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(hash[:])
}

func TestKeys(t *testing.T) {
	keys, err := admission.ParseKeys([]byte("# the keys\n\n" +
		"acme " + hashOf("sk-1") + " # their first\r\n" +
		"acme\tsha256:" + strings.ToUpper(hashOf("sk-2")[7:]) + "\n" +
		"  big " + hashOf("sk-3") + " requests_per_minute=60 tokens_per_minute=0"))
	require.NoError(t, err)
	for key, want := range map[string]*admission.Tenant{
		"sk-1": {Name: "acme"}, "sk-2": {Name: "acme"},
		"sk-3": {Name: "big", Limits: gate.PerMinute{Requests: 60}, Own: true},
		"sk-4": nil, "": nil, hashOf("sk-1"): nil,
	} {
		require.Equal(t, want, keys.Find(key), key)
	}
}

func TestKeysRefused(t *testing.T) {
	good, zeros := hashOf("sk-1"), strings.Repeat("0", 64)
	for text, want := range map[string]string{
		"":                                       "no keys",
		"# nothing\n":                            "no keys",
		"acme":                                   "line 1: must be a tenant's name and a hash",
		"\nacme sk-plain-secret":                 "line 2: the second word: must be sha256: and 64 hexadecimal digits",
		"acme " + good[7:]:                       "line 1: the second word: must be sha256: and 64 hexadecimal digits",
		"acme " + good + "0":                     "line 1: the second word: must be sha256: and 64 hexadecimal digits",
		"acme " + good[:70]:                      "line 1: the second word: must be sha256: and 64 hexadecimal digits",
		"acme sha256:" + strings.Repeat("g", 64): "line 1: the second word: must be sha256: and 64 hexadecimal digits",
		"acme " + good + "\nacme " + good:        "line 2: the same key as on an earlier line",
		"acme " + good + " tokens_per_minute=1\nacme sha256:" + zeros: "line 2: other limits than on an earlier line of the same tenant",
		"acme " + good + " tokens_per_minute=-1":                      "line 1: tokens_per_minute: must be a number of up to 1125899906842624, once",
		"acme " + good + " tokens_per_minute":                         "line 1: tokens_per_minute: must be a number of up to 1125899906842624, once",
		"acme " + good + " tokens_per_minute=1 tokens_per_minute=1":   "line 1: tokens_per_minute: must be a number of up to 1125899906842624, once",
		"acme " + good + " sk-secret":                                 "line 1: word 3: must be requests_per_minute=N or tokens_per_minute=N",
		"\x01 " + good:                                                "line 1: the first word: must be a name of up to 128 visible characters",
		strings.Repeat("a", 129) + " " + good:                         "line 1: the first word: must be a name of up to 128 visible characters",
	} {
		_, err := admission.ParseKeys([]byte(text))
		require.EqualError(t, err, want, text)
		require.NotContains(t, err.Error(), "secret")
	}
}

// FuzzParseKeys: whatever a file holds, it is read or refused with a line; what is read
// finds the key that was hashed, and errors hold nothing of a line but names.
func FuzzParseKeys(f *testing.F) {
	f.Add("acme "+hashOf("k")+" tokens_per_minute=5\n", "k")
	f.Add("# c\n a sha256:00\n", "x")
	f.Add("a sk-12345678901234567890\n", "sk-12345678901234567890")
	f.Fuzz(func(t *testing.T, text, key string) {
		keys, err := admission.ParseKeys([]byte(text))
		if err == nil {
			require.Equal(t, strings.Contains(strings.ToLower(text), hashOf(key)) && found(text, hashOf(key)), keys.Find(key) != nil)
		} else if len(key) > 40 {
			require.NotContains(t, err.Error(), key)
		}
		if keys, err = admission.ParseKeys([]byte("own " + hashOf(key) + "\n")); err == nil {
			require.Equal(t, "own", keys.Find(key).Name)
		}
	})
}

// found says that a hash is the second word of a line that is no comment.
func found(text, hash string) bool {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && !strings.HasPrefix(words[0], "#") && strings.EqualFold(words[1][min(7, len(words[1])):], hash[7:]) {
			return true
		}
	}
	return false
}
