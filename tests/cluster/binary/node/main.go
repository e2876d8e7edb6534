// Command node is the scheduler and what runs on a node of the tests' local cluster, for `make e2e`, in one binary; see package
// dispatch.
package main

import (
	"context"

	"github.com/spf13/cobra"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"pull-secret-webhook/tests/cluster/dispatch"
)

func main() {
	dispatch.Run(map[string]func() *cobra.Command{
		"kube-proxy":     proxy.NewProxyCommand,
		"kube-scheduler": func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kubelet":        func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	})
}
