// Command controllerruntime is a baseline for the benchmark: the idiom of the field. A webhook on controller-runtime's
// admission package that decodes a typed Pod, adds one reference, and answers with PatchResponseFromRaw.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

type injector struct {
	decoder   admission.Decoder
	reference corev1.LocalObjectReference
}

func (i *injector) Handle(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := i.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if slices.Contains(pod.Spec.ImagePullSecrets, i.reference) {
		return admission.Allowed("")
	}
	pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, i.reference)
	patched, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, patched)
}

func main() {
	address := flag.String("address", "127.0.0.1:8443", "where to listen")
	certificate := flag.String("tls-cert-file", "", "PEM")
	key := flag.String("tls-private-key-file", "", "PEM")
	name := flag.String("name", "registry-credentials", "the reference to add")
	flag.Parse()

	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		log.Fatal(err)
	}
	handler := &injector{admission.NewDecoder(scheme), corev1.LocalObjectReference{Name: *name}}
	http.Handle("/mutate", &webhook.Admission{Handler: handler})
	log.Fatal(http.ListenAndServeTLS(*address, *certificate, *key, nil))
}
