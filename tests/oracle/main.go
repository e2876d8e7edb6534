// Command oracle returns what the readers of pull secrets make of them. It reads cases from standard input, one JSON
// document each, and writes one verdict for each:
//
//   - an image alone: how the kubelet reads the reference;
//   - an image and a registry: whether the kubelet offers a credential of the one when the other is pulled;
//   - sources and a copy: where the kubelet, or Knative, is offered something else by the copy than by the sources.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"slices"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	keychain "github.com/google/go-containerregistry/pkg/authn/kubernetes"
	"github.com/google/go-containerregistry/pkg/logs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
	"k8s.io/kubernetes/pkg/util/parsers"
)

type question struct {
	Image    string   `json:"image"`
	Registry string   `json:"registry"`
	Sources  []source `json:"sources"`
	Copy     []byte   `json:"copy"`
	Images   []string `json:"images"`
}

// source is a Secret: its entries under the keys Without are passed over when it is compared with the copy, and each
// of the keys Alone is looked at by itself.
type source struct {
	Type    string   `json:"type"`
	Content []byte   `json:"content"`
	Without []string `json:"without"`
	Alone   []string `json:"alone"`
}

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

// comparison has an error of a reader for each side that it refuses as a whole.
type comparison struct {
	Offers      int                 `json:"offers"` // credentials that the copy offers, over all images and readers
	Errors      map[string][]string `json:"errors,omitempty"`
	Differences []difference        `json:"differences,omitempty"`
	Alone       []alone             `json:"alone,omitempty"`
}

type difference struct {
	Reader string       `json:"reader"`
	Image  string       `json:"image"`
	Source []credential `json:"source"`
	Copy   []credential `json:"copy"`
}

// alone is what an entry that is not in the copy offers by itself, and what the copy offers there.
type alone struct {
	Source int          `json:"source"`
	Key    string       `json:"key"`
	Reader string       `json:"reader"`
	Image  string       `json:"image"`
	Offer  []credential `json:"offer"`
	Copy   []credential `json:"copy"`
}

// credential is user name, password, identity token and registry token.
type credential [4]string

const (
	kubelet = "kubelet"
	knative = "knative"
)

func main() {
	logs.Warn.SetOutput(io.Discard)
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	cases, verdicts := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(output)
	verdicts.SetEscapeHTML(false)
	for {
		var asked question
		if err := cases.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := verdicts.Encode(answer(asked)); err != nil {
			log.Fatal(err)
		}
	}
}

func answer(asked question) any {
	if asked.Sources != nil {
		return compare(asked)
	}
	answer := verdict{Image: asked.Image, Registry: asked.Registry}
	if asked.Registry == "" {
		answer.Parts = read(asked.Image)
	} else {
		answer.Matches = offered(asked.Image, asked.Registry)
	}
	return answer
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

// reader returns what a reader is offered by Secrets for an image, in its order.
type reader func(image string) []credential

func compare(asked question) comparison {
	found := comparison{Errors: map[string][]string{}}
	copied := []v1.Secret{secret(string(v1.SecretTypeDockerConfigJson), asked.Copy)}
	var raw []v1.Secret
	for position, source := range asked.Sources {
		raw = append(raw, secret(source.Type, pick(source, func(key string) bool { return !slices.Contains(source.Without, key) })))
		for _, key := range source.Alone {
			found.Alone = append(found.Alone, lookAlone(position, source, key, asked.Images, copied)...)
		}
	}
	for _, name := range []string{kubelet, knative} {
		before, err := open(name, raw)
		if err != nil {
			found.Errors[name] = append(found.Errors[name], "sources: "+err.Error())
			continue
		}
		after, err := open(name, copied)
		if err != nil {
			found.Errors[name] = append(found.Errors[name], "copy: "+err.Error())
			continue
		}
		for _, image := range asked.Images {
			first, second := before(image), after(image)
			found.Offers += len(second)
			if !slices.Equal(first, second) {
				found.Differences = append(found.Differences, difference{name, image, first, second})
			}
		}
	}
	return found
}

func lookAlone(position int, source source, key string, images []string, copied []v1.Secret) (found []alone) {
	secrets := []v1.Secret{secret(source.Type, pick(source, func(other string) bool { return other == key }))}
	for _, name := range []string{kubelet, knative} {
		reader, err := open(name, secrets)
		if err != nil {
			continue
		}
		copy, err := open(name, copied)
		if err != nil {
			log.Fatal(err)
		}
		for _, image := range images {
			if offer := reader(image); len(offer) > 0 {
				found = append(found, alone{position, key, name, image, offer, copy(image)})
			}
		}
	}
	return found
}

// pick returns the content of a source with the entries that are wanted; as it is, where all of them are.
func pick(source source, wanted func(key string) bool) []byte {
	auths, err := entries(source)
	if err != nil {
		return source.Content
	}
	removed := false
	for key := range auths {
		if !wanted(key) {
			delete(auths, key)
			removed = true
		}
	}
	if !removed {
		return source.Content
	}
	var document any = auths
	if source.Type == string(v1.SecretTypeDockerConfigJson) {
		document = map[string]any{"auths": auths}
	}
	content, err := json.Marshal(document)
	if err != nil {
		log.Fatal(err)
	}
	return content
}

func entries(source source) (map[string]json.RawMessage, error) {
	if source.Type != string(v1.SecretTypeDockerConfigJson) {
		auths := map[string]json.RawMessage{}
		return auths, json.Unmarshal(source.Content, &auths)
	}
	document := struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}{}
	err := json.Unmarshal(source.Content, &document)
	return document.Auths, err
}

func secret(kind string, content []byte) v1.Secret {
	key := v1.DockerConfigJsonKey
	if kind == string(v1.SecretTypeDockercfg) {
		key = v1.DockerConfigKey
	}
	return v1.Secret{Type: v1.SecretType(kind), Data: map[string][]byte{key: content}}
}

func open(name string, passed []v1.Secret) (reader, error) {
	if name == kubelet {
		return openForKubelet(passed)
	}
	return openForKnative(passed)
}

func openForKubelet(passed []v1.Secret) (reader, error) {
	keyring, err := secrets.MakeDockerKeyring(passed, &credentialprovider.BasicDockerKeyring{})
	if err != nil {
		return nil, err
	}
	return func(image string) (offer []credential) {
		repository, _, _, err := parsers.ParseImageName(image)
		if err != nil {
			return nil
		}
		found, _ := keyring.Lookup(repository)
		for _, auth := range found {
			offer = append(offer, credential{auth.Username, auth.Password})
		}
		return offer
	}, nil
}

func openForKnative(passed []v1.Secret) (reader, error) {
	keys, err := keychain.NewFromPullSecrets(context.Background(), passed)
	if err != nil {
		return nil, err
	}
	return func(image string) []credential {
		ref, err := name.ParseReference(image, name.WeakValidation)
		if err != nil {
			return nil
		}
		authenticator, err := keys.Resolve(ref.Context())
		if err != nil {
			log.Fatal(err)
		}
		auth, err := authn.Authorization(context.Background(), authenticator)
		if err != nil {
			log.Fatal(err)
		}
		offer := credential{auth.Username, auth.Password, auth.IdentityToken, auth.RegistryToken}
		if offer == (credential{}) {
			return nil // anonymous
		}
		return []credential{offer}
	}, nil
}
