package control

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// quiet is how long the folder must be still before it is read: editors write
	// a file in several steps, and so does the kubelet with a ConfigMap.
	quiet = 50 * time.Millisecond
	// patience bounds that where the folder is never still.
	patience = 500 * time.Millisecond
	// resync is how often the folder is read in any case, for file systems that
	// tell of no changes, and polling how often where it cannot be watched.
	resync  = 30 * time.Second
	polling = 2 * time.Second
)

// Watch follows the folder until ctx ends. Changes are noticed through the
// operating system and, at the latest, every 30 s by looking; a folder that
// cannot be watched (it is gone, or the system's limit of watches is reached) is
// looked at every 2 s.
func (f *Folder) Watch(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.notice(ctx) })
	debounce(ctx, f.poke, quiet, patience, f.scan)
}

// debounce calls do when something came on in and then, for the time quiet,
// nothing more did, but at most the time patience after the first.
func debounce(ctx context.Context, in <-chan struct{}, quiet, patience time.Duration, do func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	if !timer.Stop() {
		<-timer.C
	}
	var latest time.Time // zero: nothing is due
	for {
		select {
		case <-ctx.Done():
			return
		case <-in:
			now := time.Now()
			if latest.IsZero() {
				latest = now.Add(patience)
			}
			timer.Reset(min(quiet, latest.Sub(now)))
		case <-timer.C:
			latest = time.Time{}
			do()
		}
	}
}

// notice asks for a reading whenever the folder may have changed.
func (f *Folder) notice(ctx context.Context) {
	w := &watch{dir: f.dir, log: f.log}
	defer w.close()
	w.arm()
	f.Reload() // what changed between Load and now
	for {
		timer := time.NewTimer(w.interval())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case e := <-w.events():
			// Names do not matter: a ConfigMap changes by a link of another name.
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.arm() // it may have been the folder itself
			}
		case err := <-w.errors():
			f.log.Warn("watching the policy folder failed", zap.Error(err))
		case <-timer.C:
			w.arm()
		}
		timer.Stop()
		f.Reload()
	}
}

// watch is the operating system's watch on a folder. It belongs to one
// goroutine.
type watch struct {
	dir string
	log *zap.Logger

	fs    *fsnotify.Watcher
	armed os.FileInfo // the folder that is watched; nil: none
	told  bool        // that watching fails
}

// arm sees to it that the folder that is now at dir is watched.
func (w *watch) arm() {
	info, err := os.Stat(w.dir)
	if err == nil && w.armed != nil && os.SameFile(info, w.armed) {
		return
	}
	// A watch follows the folder, not its name. Another folder of the same name
	// needs a watch of its own.
	w.close()
	if err == nil {
		w.fs, err = fsnotify.NewWatcher()
	}
	if err == nil {
		err = w.fs.Add(w.dir)
	}
	if err != nil {
		w.close()
		if !w.told {
			w.log.Warn("policy folder cannot be watched, looking at it every 2 s", zap.Error(err))
		}
		w.told = true
		return
	}
	w.armed, w.told = info, false
}

func (w *watch) interval() time.Duration {
	if w.armed == nil {
		return polling
	}
	return resync
}

// events is nil, which is never ready, where nothing is watched.
func (w *watch) events() <-chan fsnotify.Event {
	if w.fs == nil {
		return nil
	}
	return w.fs.Events
}

func (w *watch) errors() <-chan error {
	if w.fs == nil {
		return nil
	}
	return w.fs.Errors
}

func (w *watch) close() {
	if w.fs != nil {
		_ = w.fs.Close() // nothing can be done about it
	}
	w.fs, w.armed = nil, nil
}
