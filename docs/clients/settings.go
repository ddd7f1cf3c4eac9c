// The settings of one provider, by REST: keeps the last good ones and their ETag, and waits for Retry-After.
// Call Refresh on a timer, and Settings whenever you need them. Go 1.19 or newer, the standard library alone:
//
//	go run settings.go
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// Effective is what is in force for one provider.
type Effective struct {
	Status string  `json:"status"`
	Cure   *string `json:"cure"`
	Model  *string `json:"model"`
	// Request is what to send with a call: the model, and each parameter that it takes, by the vendor's names.
	Request          map[string]any `json:"request"`
	MaxRetries       int            `json:"maxRetries"`
	RetryBackoffMs   int            `json:"retryBackoffMs"`
	RequestTimeoutMs int            `json:"requestTimeoutMs"`
	CustomSettings   map[string]any `json:"customSettings"`
}

type answer struct {
	Success bool       `json:"success"`
	Data    *Effective `json:"data"`
	Error   struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Client keeps the last good settings of one provider. It is safe for goroutines.
type Client struct {
	url, token, provider string
	http                 http.Client
	mu                   sync.Mutex
	last                 *Effective
	etag                 string
	waitUntil            time.Time
}

// Settings returns the last good settings, nil while there are none.
func (c *Client) Settings() *Effective {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Refresh asks for what is in force: "changed", "unchanged", or "kept" if there was no good answer; the error says why.
func (c *Client) Refresh() (string, error) {
	c.mu.Lock()
	etag, wait := c.etag, time.Until(c.waitUntil)
	c.mu.Unlock()
	if wait > 0 {
		return "kept", fmt.Errorf("asked to wait %s", wait.Round(time.Second))
	}
	request, err := http.NewRequest("GET", c.url+"/api/llm/settings?provider="+url.QueryEscape(c.provider), nil)
	if err != nil {
		return "kept", err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "kept", err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified {
		return "unchanged", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		c.waitUntil = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	var got answer
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return "kept", fmt.Errorf("%s: %w", response.Status, err)
	}
	if !got.Success || got.Data == nil {
		return "kept", fmt.Errorf("%s: %s", got.Error.Code, got.Error.Message)
	}
	c.last, c.etag = got.Data, response.Header.Get("ETag")
	return "changed", nil
}

func main() {
	client := &Client{
		url:      os.Getenv("LLM_SETTINGS_URL"),
		token:    os.Getenv("LLM_SETTINGS_TOKEN"),
		provider: "openai",
		http:     http.Client{Timeout: 5 * time.Second},
	}
	for poll := 0; poll < 2; poll++ {
		outcome, err := client.Refresh()
		settings := client.Settings()
		if settings == nil {
			fmt.Fprintln(os.Stderr, "No settings of openai:", err)
			os.Exit(1)
		}
		model := "none"
		if settings.Model != nil {
			model = *settings.Model
		}
		fmt.Println(outcome, model)
	}
}
