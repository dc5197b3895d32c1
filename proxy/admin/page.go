package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// pageTemplate escapes what it is given by where it stands.
var pageTemplate = template.Must(template.New("page").Parse(pageHTML)) //nolint:gochecknoglobals // never written

// pagePolicy forbids the browser to load or run anything but the style that the
// page carries, named by its hash.
func pagePolicy() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

type pageData struct {
	CSS      template.CSS
	State    string
	Reason   string
	Info     Info
	Uptime   string
	Clusters []ClusterStatus
	Batches  []batchMean
	Jobs     *jobFigures
	Entries  []entry
}

// batchMean is how many items the batcher's upstream calls had.
type batchMean struct {
	Cluster, Model string
	Calls          uint64
	Mean           float64
}

func (d *door) page(w http.ResponseWriter, _ *http.Request) {
	data := pageData{
		CSS:      template.CSS(pageCSS), // #nosec G203 -- compiled in
		Info:     d.o.Info,
		Uptime:   d.uptime(),
		Clusters: d.o.Clusters(),
		Batches:  d.batchMeans(),
		Jobs:     d.jobFigures(),
		Entries:  slices.DeleteFunc(slices.Clone(d.entries), func(e entry) bool { return !slices.Contains(e.methods, http.MethodGet) || e.Path == "/" }),
	}
	data.State, data.Reason = d.state()
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=UTF-8")
	h.Set("Content-Security-Policy", pagePolicy())
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(b.Bytes()) // whoever asked has gone if it fails
}

// batchMeans reads the batcher's histogram, so that the door needs to know no
// filter. A registry that fails partly gives what it has.
func (d *door) batchMeans() (means []batchMean) {
	families, _ := d.o.Registry.Gather() // see above
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "friday_batch_size" })
	if i < 0 {
		return nil
	}
	for _, m := range families[i].GetMetric() {
		b := batchMean{Calls: m.GetHistogram().GetSampleCount()}
		if b.Calls == 0 {
			continue
		}
		b.Mean = m.GetHistogram().GetSampleSum() / float64(b.Calls)
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "cluster":
				b.Cluster = l.GetValue()
			case "model":
				b.Model = l.GetValue()
			}
		}
		means = append(means, b)
	}
	return means
}
