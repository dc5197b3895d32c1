// Command openaigo hands a batch over to Friday with OpenAI's own Go SDK, and reads what
// comes of it. It is built in a module of its own.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	n, err := strconv.Atoi(os.Getenv("LINES"))
	if err != nil {
		return err
	}
	client := openai.NewClient(option.WithBaseURL("http://"+os.Getenv("FRIDAY")+"/v1"), option.WithAPIKey("go"))
	var input strings.Builder
	for i := range n {
		fmt.Fprintf(&input, `{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"model":%q,"input":"text %d"}}`+"\n", i, os.Getenv("MODEL"), i)
	}
	file, err := client.Files.New(ctx, openai.FileNewParams{
		File: openai.File(strings.NewReader(input.String()), "lines.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		return err
	}
	batch, err := client.Batches.New(ctx, openai.BatchNewParams{
		InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1Embeddings, CompletionWindow: openai.BatchNewParamsCompletionWindow24h,
	})
	for err == nil && batch.Status != openai.BatchStatusCompleted {
		if batch.Status == openai.BatchStatusFailed || batch.Status == openai.BatchStatusExpired {
			return fmt.Errorf("%s: %v", batch.Status, batch.Errors)
		}
		time.Sleep(20 * time.Millisecond)
		batch, err = client.Batches.Get(ctx, batch.ID)
	}
	if err != nil {
		return err
	}
	if c := batch.RequestCounts; c.Total != int64(n) || c.Completed != int64(n) || c.Failed != 0 {
		return fmt.Errorf("counts: %+v", c)
	}
	resp, err := client.Files.Content(ctx, batch.OutputFileID)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	seen := map[string]bool{}
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		var line struct {
			CustomID string `json:"custom_id"`
			Response struct {
				Body openai.CreateEmbeddingResponse `json:"body"`
			} `json:"response"`
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return err
		}
		if len(line.Response.Body.Data) != 1 || len(line.Response.Body.Data[0].Embedding) == 0 {
			return fmt.Errorf("line %s", s.Text())
		}
		seen[line.CustomID] = true
	}
	listed := 0
	for pages := client.Batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: openai.Int(1)}); pages.Next(); {
		if b := pages.Current(); b.ID == batch.ID {
			listed++
		}
	}
	if len(seen) != n || listed != 1 {
		return fmt.Errorf("%d of %d lines, listed %d times", len(seen), n, listed)
	}
	fmt.Printf("%d lines completed\n", n)
	return nil
}
