package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	k8sjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
	"github.com/fridaymesh/friday/deploy/inject"
)

const outputYAML = "yaml"

// manifestFlags are of the commands that read manifests and write them changed.
type manifestFlags struct {
	file, output string
	out, notes   io.Writer
	in           io.Reader
}

func (f *manifestFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&f.file, "f", "", "`FILE` of manifests, YAML or JSON; - is the standard input")
	fs.StringVar(&f.output, "o", outputYAML, "yaml or json")
}

func (f *manifestFlags) check() error {
	switch {
	case f.file == "":
		return cli.Usagef("-f is missing: a file of manifests, or - for the standard input")
	case f.output != outputYAML && f.output != outputJSON:
		return cli.Usagef("-o: %q is neither yaml nor json", f.output)
	case f.file != "-":
		return cli.NeedPath("-f", f.file)
	}
	return nil
}

func injectCommand(f *manifestFlags) cli.Command {
	s := inject.Defaults(inject.DefaultImage(version.String()))
	mode := string(s.Mode)
	return cli.Command{
		Name: "inject",
		Short: "Puts Friday into the pods of manifests, as fridayd's webhook does, and prints them. Asks no cluster. " +
			"What is left as it was, and why, is said on the standard error.",
		Flags: func(fs *flag.FlagSet) {
			f.declare(fs)
			fs.StringVar(&s.Image, "image", s.Image, "Friday's `IMAGE`")
			fs.StringVar(&s.XDS, "xds", s.XDS, "fridayd's `ADDR`ESS, for pods with a policy")
			fs.StringVar(&mode, "mode", mode, "how requests come to Friday, unless a pod says it: port or redirect")
			fs.StringVar(&s.OTLP, "otlp-endpoint", "", "`URL` of a collector that sidecars send traces to (default: requests are not traced)")
			fs.BoolVar(&s.Native, "native-sidecars", s.Native, "native sidecars, which Kubernetes has from 1.29 on; else ordinary containers")
		},
		Run: func(context.Context, []string) error {
			if s.Mode = inject.Mode(mode); s.Mode != inject.ModePort && s.Mode != inject.ModeRedirect {
				return cli.Usagef("--mode: %q is neither port nor redirect", mode)
			}
			if err := s.Check(); err != nil {
				return cli.Usagef("--otlp-endpoint: %v", err)
			}
			s.Sleep = s.Native
			return f.run(s.Pod)
		},
	}
}

func uninjectCommand(f *manifestFlags) cli.Command {
	return cli.Command{
		Name:  "uninject",
		Short: "Takes Friday out of the pods of manifests that it was put into, which are then as they were.",
		Flags: f.declare,
		Run: func(context.Context, []string) error {
			return f.run(func(pod map[string]any, _ inject.Place) (inject.Result, error) { return inject.Remove(pod) })
		},
	}
}

// run prints all documents, or none where one is at fault.
func (f *manifestFlags) run(change inject.Change) error {
	if err := f.check(); err != nil {
		return err
	}
	text, err := f.read()
	if err != nil {
		return err
	}
	var (
		printed bytes.Buffer
		faults  []error
	)
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.file, err)
		}
		if err := f.document(&printed, doc, n, change); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return &cli.Findings{Err: errors.Join(faults...)}
	}
	_, err = f.out.Write(printed.Bytes())
	return err
}

func (f *manifestFlags) read() ([]byte, error) {
	if f.file == "-" {
		return io.ReadAll(f.in)
	}
	return os.ReadFile(f.file) // #nosec G304 -- the file that was asked for
}

// document prints the n-th document: as it was written where nothing changes.
func (f *manifestFlags) document(out *bytes.Buffer, doc []byte, n int, change inject.Change) error {
	object, err := decode(doc)
	if err != nil {
		return fmt.Errorf("%s: document %d: %w", f.file, n, err)
	}
	if object == nil {
		return nil // empty, or comments
	}
	after, changed, err := f.object(object, change)
	if err != nil {
		return err
	}
	if f.output == outputJSON {
		return printJSON(out, after)
	}
	if out.Len() > 0 {
		out.WriteString("---\n")
	}
	if !changed {
		out.Write(bytes.TrimSuffix(bytes.TrimLeft(doc, "\n"), []byte("\n")))
		out.WriteString("\n")
		return nil
	}
	written, err := json.Marshal(after)
	if err == nil {
		written, err = sigsyaml.JSONToYAML(written)
	}
	out.Write(written)
	return err
}

func decode(doc []byte) (map[string]any, error) {
	asJSON, err := sigsyaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if bytes.Equal(bytes.TrimSpace(asJSON), []byte("null")) {
		return nil, nil //nolint:nilnil // there is nothing, which is no error
	}
	var object map[string]any
	if err := k8sjson.Unmarshal(asJSON, &object); err != nil {
		return nil, errors.New("not an object of Kubernetes")
	}
	return object, nil
}

// object changes one object, or the items of a list of them.
func (f *manifestFlags) object(object map[string]any, change inject.Change) (after map[string]any, changed bool, err error) {
	items, _ := object["items"].([]any) // nil where there are none
	if object["kind"] != "List" {
		r, err := inject.Manifest(object, change)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %s: %w", f.file, title(object), lines(err, f.file+": "+title(object)+": "))
		}
		f.tell(object, r)
		return r.Pod, r.Reason == "", nil
	}
	list := make([]any, len(items))
	var faults []error
	for i, item := range items {
		one, ok := item.(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf("%s: items[%d]: not an object of Kubernetes", f.file, i))
			continue
		}
		out, did, err := f.object(one, change)
		faults = append(faults, err)
		list[i], changed = out, changed || did
	}
	if err := errors.Join(faults...); err != nil || !changed {
		return object, false, err
	}
	after = maps.Clone(object)
	after["items"] = list
	return after, true, nil
}

// lines begins the second and every further line of an error like the first.
func lines(err error, begin string) error {
	if text := err.Error(); strings.Contains(text, "\n") {
		return errors.New(strings.ReplaceAll(text, "\n", "\n"+begin))
	}
	return err
}

func (f *manifestFlags) tell(object map[string]any, r inject.Result) {
	if r.Reason != "" {
		_, _ = fmt.Fprintf(f.notes, "%s: %s: unchanged: %s\n", f.file, title(object), r.Reason)
	}
	for _, w := range r.Warnings {
		_, _ = fmt.Fprintf(f.notes, "%s: %s: %s\n", f.file, title(object), w)
	}
}

// title is kind and name, as kubectl has them.
func title(object map[string]any) string {
	kind, _ := object["kind"].(string)                 // empty where there is none
	metadata, _ := object["metadata"].(map[string]any) // as above
	for _, key := range []string{"name", "generateName"} {
		if name, ok := metadata[key].(string); ok {
			return strings.ToLower(kind) + "/" + name
		}
	}
	return strings.ToLower(kind)
}
