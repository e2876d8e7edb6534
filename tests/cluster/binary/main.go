// Command cluster is the control plane of the tests' local cluster in one binary, see package dispatch.
//
// A program is added by one line in `programs`: its name and the constructor of its command, as in its upstream main.go.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"

	"pull-secret-webhook/tests/cluster/dispatch"
)

var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	if dispatch.Name() == "etcd" {
		// etcd parses os.Args itself and must run before any cobra command touches the global flag set.
		etcdmain.Main(os.Args)
		return
	}
	dispatch.Run(programs)
}
