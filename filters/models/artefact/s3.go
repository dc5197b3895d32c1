package artefact

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// signed is how long an address that was signed is good for: a fetch that takes longer
	// goes on, and one that is begun anew has another.
	signed = time.Hour
	// metadata is how long an instance's metadata service may take to say who it is.
	metadata = 3 * time.Second
)

// address is where the file is got: the source itself or, of an object in S3, an address
// that is signed with the credentials of the environment, as AWS's tools find them
// (https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html).
func (s *Source) address(ctx context.Context) (string, error) {
	if s.url.Scheme != schemeS3 {
		return s.url.String(), nil
	}
	endpoint, err := url.Parse(first(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com"))
	if err != nil {
		return "", fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
	}
	if endpoint.Host == "" {
		return "", fmt.Errorf("AWS_ENDPOINT_URL: %q names no host", endpoint)
	}
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		providers = append(providers, &credentials.IAM{})
	}
	creds := credentials.NewChainCredentials(providers)
	who, err := creds.GetWithContext(&credentials.CredContext{Client: &http.Client{Timeout: metadata}})
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	bucket, object := s.url.Host, strings.TrimPrefix(s.url.Path, "/")
	if who.SignerType.IsAnonymous() {
		endpoint.Path = strings.TrimSuffix(endpoint.Path, "/") + "/" + bucket + "/" + object
		return endpoint.String(), nil
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: creds, Secure: endpoint.Scheme == "https", Region: first(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
	})
	if err != nil {
		return "", err
	}
	u, err := client.PresignedGetObject(ctx, bucket, object, signed, nil)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// first is the first that is not empty.
func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
