{{/* The chart's name, as a label. */}}
{{- define "datastream.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What the names of objects begin with. */}}
{{- define "datastream.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name }}
{{- end }}
{{- end }}

{{/* The labels that select the pods of a part. (dict "root" $ "component" NAME ["group" GROUP]) */}}
{{- define "datastream.selector" -}}
app.kubernetes.io/name: {{ include "datastream.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .group }}
datastream.dev/gateway-group: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The labels of an object; without a component for those that belong to none. (As above.) */}}
{{- define "datastream.labels" -}}
app.kubernetes.io/name: {{ include "datastream.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .group }}
datastream.dev/gateway-group: {{ . | quote }}
{{- end }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The name of a part's service account. (dict "root" $ "component" NAME "account" VALUES) */}}
{{- define "datastream.account" -}}
{{- if .account.name -}}
{{- .account.name }}
{{- else if .account.create -}}
{{- printf "%s-%s" (include "datastream.fullname" .root) .component }}
{{- else -}}
default
{{- end }}
{{- end }}
