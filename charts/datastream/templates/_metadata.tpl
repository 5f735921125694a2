{{/* The labels that select the pods of a part; no value changes them. (dict "root" $ "component" NAME ["group" GROUP]) */}}
{{- define "datastream.selector" -}}
{{- $labels := dict "app.kubernetes.io/name" (include "datastream.name" .root) "app.kubernetes.io/instance" .root.Release.Name -}}
{{- with .component -}}
{{- $_ := set $labels "app.kubernetes.io/component" . -}}
{{- end -}}
{{- with .group -}}
{{- $_ := set $labels "datastream.dev/gateway-group" . -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end }}

{{/* The labels that the chart itself gives objects, beside those that select. (root) */}}
{{- define "datastream.release" -}}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- toYaml (dict "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" .Release.Service "helm.sh/chart" $chart) -}}
{{- end }}

{{/*
The labels of an object: the chart's own, which win (and datastream.checkLabels refuses others of their names), then those of its
part, then commonLabels. (dict "root" $ ["component" NAME] ["group" GROUP] ["labels" MAP])
*/}}
{{- define "datastream.labels" -}}
{{- $own := list (include "datastream.release" .root | fromYaml) (include "datastream.selector" . | fromYaml) -}}
{{- include "datastream.strings" (concat (list .root.Values.commonLabels .labels) $own) -}}
{{- end }}

{{/*
Name, namespace, labels and annotations of an object. Without a component for those that belong to none.
(dict "root" $ "name" NAME ["component" NAME] ["group" GROUP] ["namespace" NAME] ["clusterWide" true] ["labels" MAP] ["annotations" MAP])
*/}}
{{- define "datastream.metadata" -}}
name: {{ .name | quote }}
{{- if not .clusterWide }}
namespace: {{ default .root.Release.Namespace .namespace | quote }}
{{- end }}
labels:
  {{- include "datastream.labels" . | nindent 2 }}
{{- with include "datastream.strings" (list .annotations) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Labels and annotations of a pod. The labels are those that select it, which win, then those of its part, then commonLabels. Of the
annotations, what values say wins, but for the checksum that makes a new pod of a new configuration.
(dict "root" $ "component" NAME "pod" MERGED ["group" GROUP] ["checksum" TEXT])
*/}}
{{- define "datastream.podMetadata" -}}
{{- $own := include "datastream.selector" . | fromYaml -}}
{{- $container := dict "kubectl.kubernetes.io/default-container" .component -}}
{{- $checksum := dict -}}
{{- with .checksum -}}
{{- $checksum = dict "checksum/config" (sha256sum .) -}}
{{- end -}}
labels:
  {{- include "datastream.strings" (list .root.Values.commonLabels .pod.labels $own) | nindent 2 }}
annotations:
  {{- include "datastream.strings" (list $container .pod.annotations $checksum) | nindent 2 }}
{{- end }}

{{/* Refuses labels that are the chart's own. (dict "path" VALUE "labels" MAP) */}}
{{- define "datastream.checkLabels" -}}
{{- $path := .path -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "datastream.dev/gateway-group" -}}
{{- range $key, $_ := .labels -}}
{{- if has $key $own -}}
{{- fail (printf "%s: %s is a label of the chart's own, by which pods are found: take another name (nameOverride changes app.kubernetes.io/name)" $path $key) -}}
{{- end -}}
{{- end -}}
{{- end }}
