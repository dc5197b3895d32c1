package report_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/report"
)

func TestTable(t *testing.T) {
	table := report.Table{Title: "A title", Head: []string{"callers", "way", "p50 ms", "gain"}}
	table.Row("1", "direct", "0.123", "")
	table.Row("64", "through Friday", "12.0", "1.50×")
	table.Rule()
	table.Row("128", "ü", "–")
	table.Rule() // none is drawn at the end
	var b strings.Builder
	_, err := table.WriteTo(&b)
	require.NoError(t, err)
	require.Equal(t, `A title
  callers  way             p50 ms   gain
  -------  --------------  ------  -----
        1  direct           0.123
       64  through Friday    12.0  1.50×
  -------  --------------  ------  -----
      128  ü                    –
`, b.String())
}

func TestFigures(t *testing.T) {
	for got, due := range map[string]string{
		report.Millis(0):                         "0",
		report.Millis(123 * time.Microsecond):    "0.123",
		report.Millis(-120 * time.Microsecond):   "-0.120",
		report.Millis(1234 * time.Microsecond):   "1.23",
		report.Millis(12345 * time.Microsecond):  "12.3",
		report.Millis(123456 * time.Microsecond): "123",
		report.Rate(9.87):                        "9.9",
		report.Rate(1234.4):                      "1,234",
		report.Rate(1234567):                     "1,234,567",
		report.Rate(math.NaN()):                  "–",
		report.Count(999):                        "999",
		report.Count(-1000):                      "-1,000",
		report.Count(uint64(1e6)):                "1,000,000",
		report.Ratio(3, 2):                       "1.50×",
		report.Ratio(3, 0):                       "–",
		report.Percent(.9327):                    "93.3%",
	} {
		require.Equal(t, due, got)
	}
}

func TestMedian(t *testing.T) {
	require.Zero(t, report.Median[float64](nil))
	require.InDelta(t, 2, report.Median([]float64{9, 1, 2}), 1e-9)
	require.InDelta(t, 2.5, report.Median([]float64{9, 1, 2, 3}), 1e-9)
}
