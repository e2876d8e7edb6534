// Command nethttp is a baseline for the benchmark: what a Go programmer would tune by hand. net/http and encoding/json
// alone, and only the fields that the decision needs.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
)

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID    string `json:"uid"`
	Object struct {
		Spec struct {
			ImagePullSecrets []reference `json:"imagePullSecrets"`
		} `json:"spec"`
	} `json:"object"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	PatchType string `json:"patchType,omitempty"`
	Patch     []byte `json:"patch,omitempty"`
}

type reference struct {
	Name string `json:"name"`
}

func mutate(name string) http.HandlerFunc {
	list, _ := json.Marshal([]map[string]any{{"op": "add", "path": "/spec/imagePullSecrets", "value": []reference{{name}}}})
	item, _ := json.Marshal([]map[string]any{{"op": "add", "path": "/spec/imagePullSecrets/-", "value": reference{name}}})
	return func(writer http.ResponseWriter, incoming *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(writer, incoming.Body, 7<<20))
		var asked review
		if err != nil || json.Unmarshal(body, &asked) != nil || asked.Request == nil {
			http.Error(writer, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		answer := &response{UID: asked.Request.UID, Allowed: true, PatchType: "JSONPatch", Patch: list}
		for _, present := range asked.Request.Object.Spec.ImagePullSecrets {
			answer.Patch = item
			if present.Name == name {
				answer.PatchType, answer.Patch = "", nil
				break
			}
		}
		writer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(writer).Encode(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: answer})
	}
}

func main() {
	address := flag.String("address", "127.0.0.1:8443", "where to listen")
	certificate := flag.String("tls-cert-file", "", "PEM")
	key := flag.String("tls-private-key-file", "", "PEM")
	name := flag.String("name", "registry-credentials", "the reference to add")
	flag.Parse()
	http.HandleFunc("/mutate", mutate(*name))
	log.Fatal(http.ListenAndServeTLS(*address, *certificate, *key, nil))
}
