package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	sigsyaml "sigs.k8s.io/yaml"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/manifests"
)

// meshDepth: fields of MeshConfig are told so deep; below are mostly telemetry providers.
const meshDepth = 3

// fields lists every field of the kinds whose CRDs are of networking.istio.io, and of MeshConfig,
// as paths: `ports[].number`, `labels{}` for the values of a map.
func fields() (map[string][]string, error) {
	b, err := manifests.FS.ReadFile("charts/base/files/crd-all.gen.yaml")
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, text := range strings.Split(string(b), "\n---\n") {
		crd := apiextensions.CustomResourceDefinition{}
		if err := sigsyaml.Unmarshal([]byte(text), &crd); err != nil {
			return nil, err
		}
		if crd.Spec.Group != "networking.istio.io" {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if v.Name == "v1" {
				var out []string
				schemaFields(v.Schema.OpenAPIV3Schema.Properties["spec"], "", &out)
				sort.Strings(out)
				found[crd.Spec.Names.Kind] = out
			}
		}
	}
	var out []string
	protoFields((&meshconfig.MeshConfig{}).ProtoReflect().Descriptor(), "", 1, &out)
	sort.Strings(out)
	found["MeshConfig"] = out
	return found, nil
}

func schemaFields(s apiextensions.JSONSchemaProps, path string, out *[]string) {
	if s.Items != nil && s.Items.Schema != nil {
		schemaFields(*s.Items.Schema, path+"[]", out)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		schemaFields(*s.AdditionalProperties.Schema, path+"{}", out)
	}
	for name, inner := range s.Properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		*out = append(*out, at)
		schemaFields(inner, at, out)
	}
}

func protoFields(d protoreflect.MessageDescriptor, path string, depth int, out *[]string) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		at := strings.TrimPrefix(path+"."+f.JSONName(), ".")
		*out = append(*out, at)
		inner := f.Message()
		switch {
		case f.IsMap():
			at, inner = at+"{}", f.MapValue().Message()
		case f.IsList():
			at += "[]"
		}
		// google.protobuf: durations and wrappers are plain values in YAML
		if inner != nil && depth < meshDepth && inner.ParentFile().Package() != "google.protobuf" {
			protoFields(inner, at, depth+1, out)
		}
	}
}

func printFields() error {
	found, err := fields()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{"istio": istioVersion(), "fields": found}, "", " ")
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(b))
	return err
}
