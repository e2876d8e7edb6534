// Command oracle says what the kubelet makes of image references and of registry keys in a Secret. It reads cases from
// standard input, one JSON document each, and writes them back with a verdict: for an image alone how it is read, for
// an image and a registry whether a credential for the one is offered when the other is pulled.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"github.com/distribution/reference"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/util/parsers"
)

type verdict struct {
	Image    string `json:"image"`
	Registry string `json:"registry,omitempty"`
	Matches  *bool  `json:"matches,omitempty"`
	Parts    *parts `json:"parts,omitempty"` // absent: no image reference
}

type parts struct {
	Domain string `json:"domain"`
	Path   string `json:"path"`
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
}

func main() {
	cases, verdicts := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	verdicts.SetEscapeHTML(false)
	for {
		var asked verdict
		if err := cases.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		answer := verdict{Image: asked.Image, Registry: asked.Registry}
		if asked.Registry == "" {
			answer.Parts = read(asked.Image)
		} else {
			answer.Matches = offered(asked.Image, asked.Registry)
		}
		if err := verdicts.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}

func read(image string) *parts {
	if _, _, _, err := parsers.ParseImageName(image); err != nil {
		return nil
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		log.Fatal(err)
	}
	found := parts{Domain: reference.Domain(named), Path: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		found.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		found.Digest = digested.Digest().String()
	}
	return &found
}

func offered(image, registry string) *bool {
	repository, _, _, err := parsers.ParseImageName(image)
	if err != nil {
		return new(bool)
	}
	keyring := &credentialprovider.BasicDockerKeyring{}
	keyring.Add(nil, credentialprovider.DockerConfig{registry: {Username: "u", Password: "p"}})
	_, found := keyring.Lookup(repository)
	return &found
}
