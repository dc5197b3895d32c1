package main

import (
	"context"
	"flag"
	"fmt"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/kube"
)

// source is where policies come from.
type source interface {
	// Run follows it until ctx ends.
	Run(ctx context.Context) error
	// Reload has it looked at again, soon.
	Reload()
	Status() []control.PolicyStatus
	// Synced is closed when its policies are in force.
	Synced() <-chan struct{}
	Ready() bool
}

var (
	_ source = (*kube.Source)(nil)
	_ source = folder{}
)

// folder is a folder that has been loaded.
type folder struct{ *control.Folder }

func (f folder) Run(ctx context.Context) error {
	f.Watch(ctx)
	return nil
}

func (folder) Ready() bool { return true }

func (folder) Synced() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// kubernetesFlags say which API server, and what of it.
type kubernetesFlags struct {
	on                           bool
	kubeconfig, watch, namespace string
}

func (f *kubernetesFlags) declare(fs *flag.FlagSet) {
	fs.BoolVar(&f.on, "kubernetes", false, "serve the InferencePolicies of a Kubernetes API, in place of --policies, and tell them in their status what became of them")
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "`FILE` that says where the API server is (default: that of the pod, else as kubectl finds it)")
	fs.StringVar(&f.watch, "watch-namespace", "", "the only `NAMESPACE` whose policies are served (default all)")
	fs.StringVar(&f.namespace, "namespace", "", "`NAMESPACE` that fridayd is in, where its Secret is and no pod is injected (default: the pod's, else "+defaultNamespace+")")
}

// source opens the policies, and the API server where there is one.
func (f *serveFlags) source(ctx context.Context, compiler *control.Compiler, xds *control.Server, rollout *control.Rollout,
	log *zap.Logger, metrics *control.Metrics,
) (source, *cluster, error) {
	if f.kubernetes.on {
		api, err := connect(ctx, f.kubernetes.kubeconfig, f.kubernetes.namespace, log)
		if err != nil {
			return nil, nil, fmt.Errorf("--kubernetes: %w", err)
		}
		return kube.New(kube.Options{
			Client: api.client, Namespace: f.kubernetes.watch, Name: identity(), Compiler: compiler,
			Apply: rollout.Update, Nodes: xds.Nodes, Changes: xds.Changes(), View: rollout.Policies,
			Log: log, Metrics: metrics,
		}), api, nil
	}
	files := control.NewFolder(f.policies, compiler, rollout.Update, log, metrics)
	if err := files.Load(); err != nil {
		return nil, nil, err
	}
	if len(files.Status()) == 0 {
		rollout.Update(nil) // nothing is news, too: a rollback may hold
	}
	return folder{files}, nil, nil
}
