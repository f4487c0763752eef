package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"

	"skillsage/config"
	"skillsage/recording/command"
	"skillsage/recording/delivery"
	"skillsage/recording/retention"
	"skillsage/recording/store"
	"skillsage/recording/upload"
	"skillsage/recording/webhook"
)

// deliveryOptions say what follows the recordings of a store.
func deliveryOptions(cfg *config.Config, folders *store.Store, log *slog.Logger) (delivery.Options, error) {
	c := cfg.Recording
	options := delivery.Options{
		Store:          folders,
		DeleteUploaded: c.DeleteAfterUpload,
		Keep:           retention.Policy{Age: c.KeepFor, Share: float64(c.KeepShare) / 100},
		Uploads:        c.UploadParallel,
		Logger:         log,
	}
	var err error
	if options.Webhooks, err = webhookOptions(c, log); err != nil {
		return options, err
	}
	if c.UploadURL != "" {
		if into, inside := insideOf(c.Dir, c.UploadURL); inside {
			return options, fmt.Errorf("recording.upload_url: %s is inside of recording.dir", into)
		}
		options.Upload, err = upload.New(upload.Options{URL: c.UploadURL, Prefix: c.UploadPrefix, Bandwidth: c.UploadBandwidth, Logger: log})
		if err != nil {
			return options, fmt.Errorf("recording.upload_url: %w", err)
		}
	}
	if len(c.Exec) > 0 {
		options.Command, err = command.New(command.Options{Args: c.Exec, Timeout: c.ExecTimeout, Parallel: c.ExecParallel, Logger: log})
		if err != nil {
			return options, fmt.Errorf("recording.exec: %w", err)
		}
	}
	return options, nil
}

// webhookOptions are nil where nobody is to be told.
func webhookOptions(c config.Recording, log *slog.Logger) (*webhook.Options, error) {
	if len(c.WebhookURLs) == 0 {
		return nil, nil
	}
	options := &webhook.Options{
		URLs: c.WebhookURLs, MaxQueued: c.WebhookMaxQueued, RetryFor: c.WebhookRetryFor, Timeout: c.WebhookTimeout,
		Agent: "skillsage/" + version(), Logger: log,
	}
	for _, text := range c.WebhookSecrets {
		secret, err := webhook.ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("recording.webhook_secrets: %w", err)
		}
		options.Secrets = append(options.Secrets, secret)
	}
	return options, nil
}

// insideOf tells whether a bucket is a folder in dir, where its files would be taken for recordings.
func insideOf(dir, bucket string) (string, bool) {
	u, err := url.Parse(bucket)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	relative, err := filepath.Rel(absolute(dir), filepath.FromSlash(u.Path))
	return u.Path, err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}
