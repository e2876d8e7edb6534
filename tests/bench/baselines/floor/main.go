// Command floor is a baseline for the benchmark of sync: the writes of sync and nothing else, by client-go without rate
// limits. It lists what it needs, writes a copy into each selected namespace and a reference into each "default"
// ServiceAccount, with as many writes at a time as sync has workers. Then each line on its input is a new content of the
// copies, as a path of a file. There is no queue, no cache, no Lease and no retry: a failure ends it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	account  = "default"
	manager  = "pull-secret-webhook"
	uidLabel = "pullsecrets.webhook/namespace-uid"
)

type body = map[string]any

// template is the body of a copy that sync has written, without what differs between namespaces.
type template struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Type        string            `json:"type"`
	Data        map[string]string `json:"data"`
}

// stored is a copy as the API server has it.
type stored struct{ uid, version string }

type namespace struct {
	name, uid string
	// The resourceVersion of its ServiceAccount.
	account string
	copy    stored
}

type floor struct {
	client  *kubernetes.Clientset
	workers int
	force   bool
	creator string
	all     []*namespace
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the identity of sync")
	label := flag.String("label", "", "the selector of the namespaces")
	workers := flag.Int("workers", 16, "writes at a time")
	content := flag.String("content", "", "a file with the first content of the copies")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	check(err)
	writer := &floor{client: client, workers: *workers, creator: fmt.Sprintf("%s-floor-%d", manager, os.Getpid())}
	writer.list(*label)
	first := read(*content)
	writer.each(func(one *namespace) {
		writer.apply(one, first)
		writer.refer(one, first.Name)
	})
	fmt.Println("complete")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		next := read(lines.Text())
		writer.each(func(one *namespace) { writer.apply(one, next) })
		fmt.Println("complete")
	}
}

// list reads the namespaces, and the versions of their ServiceAccounts.
func (f *floor) list(label string) {
	found := map[string]*namespace{}
	namespaces, err := f.client.CoreV1().Namespaces().List(context.Background(), metav1.ListOptions{LabelSelector: label})
	check(err)
	for index := range namespaces.Items {
		item := &namespaces.Items[index]
		one := &namespace{name: item.Name, uid: string(item.UID)}
		found[item.Name] = one
		f.all = append(f.all, one)
	}
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + account}
	accounts, err := f.client.CoreV1().ServiceAccounts("").List(context.Background(), options)
	check(err)
	for index := range accounts.Items {
		if one, selected := found[accounts.Items[index].Namespace]; selected {
			one.account = accounts.Items[index].ResourceVersion
		}
	}
}

// each calls write for every namespace.
func (f *floor) each(write func(*namespace)) {
	work := make(chan *namespace)
	var running sync.WaitGroup
	for range f.workers {
		running.Go(func() {
			for one := range work {
				write(one)
			}
		})
	}
	for _, one := range f.all {
		work <- one
	}
	close(work)
	running.Wait()
}

// apply creates or updates a copy by server-side apply: an update depends on the version that was seen, and is forced.
func (f *floor) apply(one *namespace, content *template) {
	labels := map[string]string{uidLabel: one.uid}
	for key, value := range content.Labels {
		if key != uidLabel {
			labels[key] = value
		}
	}
	metadata := body{"namespace": one.name, "name": content.Name, "labels": labels, "annotations": content.Annotations}
	force := one.copy.uid != ""
	options := metav1.PatchOptions{FieldManager: f.creator, Force: &force}
	if force {
		metadata["uid"], metadata["resourceVersion"] = one.copy.uid, one.copy.version
		options.FieldManager = manager
	}
	encoded, err := json.Marshal(body{
		"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": content.Type, "data": content.Data,
	})
	check(err)
	secret, err := f.client.CoreV1().Secrets(one.name).Patch(
		context.Background(), content.Name, types.ApplyPatchType, encoded, options,
	)
	check(err)
	one.copy = stored{string(secret.UID), secret.ResourceVersion}
}

// refer adds the reference to a ServiceAccount that has none.
func (f *floor) refer(one *namespace, name string) {
	encoded, err := json.Marshal([]body{
		{"op": "test", "path": "/metadata/resourceVersion", "value": one.account},
		{"op": "add", "path": "/imagePullSecrets", "value": []body{{"name": name}}},
	})
	check(err)
	_, err = f.client.CoreV1().ServiceAccounts(one.name).Patch(
		context.Background(), account, types.JSONPatchType, encoded, metav1.PatchOptions{FieldManager: manager},
	)
	check(err)
}

func read(file string) *template {
	data, err := os.ReadFile(file)
	check(err)
	content := &template{}
	check(json.Unmarshal(data, content))
	return content
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
