package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fridaymesh/friday/bench/jobs"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/filters/jobs/store"
)

// lines is how many there are in a batch that runs through a fault.
const lines = 2000

// batch is one, and who asks for it.
type batch struct {
	client    *jobs.Client
	transport *http.Transport
	id        string
}

func (s *scene) batch() *batch {
	transport := new(http.Transport)
	return &batch{&jobs.Client{Address: s.listen, HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}}, transport, ""}
}

func (b *batch) close() { b.transport.CloseIdleConnections() }

func (b *batch) String() string {
	return fmt.Sprintf("a batch of %d lines meanwhile: each has one result", lines)
}

func (b *batch) create(ctx context.Context) error {
	file, err := b.client.Upload(ctx, jobs.Lines(lines), "upload")
	if err != nil {
		return err
	}
	created, err := b.client.Create(ctx, file, 0, "create")
	b.id = created.ID
	return err
}

// end waits for the batch, and is an error where a line has no result, or several.
func (b *batch) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ended, err := b.client.Await(ctx, b.id, 50*time.Millisecond)
	if err != nil {
		return err
	}
	times, err := b.client.Results(ctx, ended.OutputFileID, lines)
	if err != nil {
		return fmt.Errorf("%+v: %w", ended, err)
	}
	for i, n := range times {
		if n != 1 {
			return fmt.Errorf("line %d of the batch has %d results", i, n)
		}
	}
	return nil
}

// killedPostgres has a batch run whose database goes away.
func killedPostgres(ctx context.Context, s *scene) (st *story, err error) {
	program, err := realserver.PreparePostgres(ctx, func(string) {})
	if errors.Is(err, realserver.ErrUnavailable) {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err != nil {
		return nil, err
	}
	database, err := program.Start(ctx, s.group)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, database.Remove()) }()
	sidecars, operator, err := jobs.Database(ctx, database, "jobs", s.group.File)
	if err != nil {
		return nil, err
	}
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	if s.friday, err = sidecar.WithPostgresJobs(ctx, s.group, s.bin, "friday", s.upstream, s.listen, s.admin, sidecars); err != nil {
		return nil, err
	}
	b := s.batch()
	defer b.close()
	said := 0
	st, err = s.tell(ctx, func(ctx context.Context) error {
		if err := b.create(ctx); err != nil {
			return err
		}
		database.Kill()
		var err error
		said, err = s.upload(ctx)
		return err
	}, database.Begin)
	if err != nil {
		return nil, err
	}
	if said != http.StatusServiceUnavailable {
		return st, fmt.Errorf("a file was answered %d while there was no database", said)
	}
	if err := b.end(ctx); err != nil {
		return st, err
	}
	if _, err := store.Postgres(operator).Verify(ctx, ""); err != nil {
		return st, err
	}
	st.note = fmt.Sprintf("a file was answered %d then; %s", said, b)
	return st, nil
}
