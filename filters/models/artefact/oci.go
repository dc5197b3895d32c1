package artefact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// maxLayers bounds an artefact's manifest.
const maxLayers = 1000

// pull makes the folder of an artefact in a registry: layers that are archives are
// unpacked in their order, as those of an image are; others lie under their title
// (https://oras.land/docs/concepts/artifact). Layers that have come whole are kept, and of
// one that has not only the rest is asked for.
func (s *Source) pull(ctx context.Context, w *workshop, p *Progress) error {
	repo, err := s.repository()
	if err != nil {
		return err
	}
	layers, err := s.layers(ctx, repo)
	if err != nil {
		return fmt.Errorf("source: %s: %w", s, err)
	}
	blobs := w.path("blobs")
	if err := os.MkdirAll(blobs, 0o750); err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	var size int64
	for _, l := range layers {
		size += l.Size
	}
	if err := room(w.dir, 2*size); err != nil {
		return err
	}
	p.Size.Store(size)
	p.Done.Store(0)
	for _, l := range layers {
		if err := s.blob(ctx, repo, l, blobs, p); err != nil {
			return fmt.Errorf("source: %s: layer %s: %w", s, l.Digest, err)
		}
	}
	for _, l := range layers {
		if err := unpack(ctx, filepath.Join(blobs, l.Digest.Encoded()), nameOf(l), w.path("new")); err != nil {
			if ctx.Err() == nil {
				err = errors.Join(err, os.RemoveAll(blobs)) // it would be no better the next time
			}
			return err
		}
	}
	return os.RemoveAll(blobs)
}

// repository speaks to the registry, with the credentials that Docker's tools have; to one
// on this machine in cleartext, as they do.
func (s *Source) repository() (*remote.Repository, error) {
	ref, err := reference(s.url.Host, s.url.Path)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(ref.Registry)
	if err != nil {
		host = ref.Registry
	}
	ip := net.ParseIP(host)
	repo := &remote.Repository{Reference: ref, PlainHTTP: host == "localhost" || ip != nil && ip.IsLoopback()}
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache()}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		client.Credential = credentials.Credential(store)
	}
	repo.Client = client
	return repo, nil
}

// reference reads registry/repository:tag or @digest.
func reference(host, path string) (registry.Reference, error) {
	ref, err := registry.ParseReference(host + path)
	if err == nil && ref.Reference == "" {
		err = errors.New("names neither a tag nor a digest")
	}
	return ref, err
}

// layers are those of the manifest; of an index there is none that is a model's.
func (s *Source) layers(ctx context.Context, repo *remote.Repository) ([]ocispec.Descriptor, error) {
	desc, r, err := repo.FetchReference(ctx, repo.Reference.Reference)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // read only
	text, err := content.ReadAll(r, desc)
	if err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if n := len(manifest.Layers); n == 0 || n > maxLayers {
		return nil, fmt.Errorf("a manifest (%s) of %d layers", desc.MediaType, n)
	}
	for _, l := range manifest.Layers {
		if err := l.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
	}
	return manifest.Layers, nil
}

// nameOf is the name of a layer's file, whose ending says whether it is an archive.
func nameOf(l ocispec.Descriptor) string {
	switch {
	case strings.HasSuffix(l.MediaType, "tar+gzip"), strings.HasSuffix(l.MediaType, "tar.gzip"):
		return "layer.tar.gz"
	case strings.HasSuffix(l.MediaType, ".tar"), strings.HasSuffix(l.MediaType, "+tar"):
		return "layer.tar"
	}
	if title := filepath.Base(filepath.FromSlash(l.Annotations[ocispec.AnnotationTitle])); title != "." && title != string(filepath.Separator) && title != ".." {
		return title
	}
	return l.Digest.Encoded()
}

// blob gets one layer, or the rest of it, and checks that it is what the manifest says.
func (s *Source) blob(ctx context.Context, repo *remote.Repository, l ocispec.Descriptor, dir string, p *Progress) (err error) {
	whole := filepath.Join(dir, l.Digest.Encoded())
	if info, err := os.Stat(whole); err == nil && info.Size() == l.Size {
		p.Done.Add(l.Size)
		return nil
	}
	f, err := os.OpenFile(whole+".part", os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- in the repository
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	check := l.Digest.Verifier()
	have, err := io.Copy(check, f)
	if err != nil {
		return err
	}
	r, err := repo.Fetch(ctx, l)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // read to the end, or given up
	if seeker, can := r.(io.Seeker); can && have > 0 && have < l.Size {
		_, err = seeker.Seek(have, io.SeekStart)
	} else if have > 0 {
		have, check = 0, l.Digest.Verifier()
		err = errors.Join(f.Truncate(0), rewind(f))
	}
	if err != nil {
		return err
	}
	p.Done.Add(have)
	n, err := io.Copy(io.MultiWriter(f, check), &counted{ctx: ctx, r: io.LimitReader(r, l.Size-have+1), p: p})
	switch {
	case err != nil:
		return err
	case have+n < l.Size:
		return io.ErrUnexpectedEOF
	case have+n > l.Size || !check.Verified():
		return errors.Join(errors.New("it is not what the manifest says"), os.Remove(whole+".part"))
	}
	return os.Rename(whole+".part", whole)
}

func rewind(f io.Seeker) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}
