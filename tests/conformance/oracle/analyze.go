package main

import (
	"fmt"
	"os"
	"strings"

	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/config/resource"
)

// Message is one finding of Istio's analyzers.
type Message struct {
	Code     string   `json:"code"`
	Level    string   `json:"level"`
	Resource string   `json:"resource"`
	About    []string `json:"about,omitempty"`
}

// analyze: what `istioctl analyze --use-kube=false` says of the resources of a case, in the mesh of the case.
func analyze(c *Case, text string) ([]Message, error) {
	a := local.NewSourceAnalyzer(analyzers.AllCombined(), resource.Namespace(""), resource.Namespace("istio-system"), nil)
	a.SetSuppressions(nil)
	if text := meshText(c); strings.TrimSpace(text) != "" {
		f, err := os.CreateTemp("", "mesh-*.yaml")
		if err != nil {
			return nil, err
		}
		defer os.Remove(f.Name())
		if _, err := f.WriteString(text); err != nil {
			return nil, err
		}
		f.Close()
		if err := a.AddFileKubeMeshConfig(f.Name()); err != nil {
			return nil, err
		}
	}
	if err := a.AddTestReaderKubeSource([]local.ReaderSource{{Name: "case.yaml", Reader: strings.NewReader(text)}}); err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	defer close(stop)
	result, err := a.Analyze(stop)
	if err != nil {
		return nil, err
	}
	var out []Message
	for _, m := range result.Messages {
		msg := Message{Code: m.Type.Code(), Level: m.Type.Level().String()}
		if m.Resource != nil {
			msg.Resource = fmt.Sprintf("%s %s", m.Resource.Metadata.Schema.Kind(), m.Resource.Metadata.FullName)
		}
		for _, p := range m.Parameters {
			msg.About = append(msg.About, fmt.Sprint(p))
		}
		out = append(out, msg)
	}
	return out, nil
}
