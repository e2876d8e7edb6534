// Package dispatch runs one of several Kubernetes programs in one binary: the one that the binary is started as (argv[0]). One
// link step instead of four is what makes the first build bearable.
package dispatch

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// Name returns the name that the binary was started as.
func Name() string {
	return filepath.Base(os.Args[0])
}

// Run runs the program of that name and ends the process. The programs are constructors of commands, as in upstream's main.go.
func Run(programs map[string]func() *cobra.Command) {
	command, ok := programs[Name()]
	if !ok {
		names := slices.Sorted(maps.Keys(programs))
		fmt.Fprintf(os.Stderr, "%q is none of the programs in this binary; start it by a link named %s\n", Name(), strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Exit(cli.Run(command()))
}
