{{/* The chart's name, as a label. */}}
{{- define "datastream.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
The beginning of the names of objects: at most 53 characters, because parts have their names behind it, without dots, and with a
letter in front, because Services' names need that.
*/}}
{{- define "datastream.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | replace "." "-" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" $full) -}}
{{- $full = printf "datastream-%s" $full -}}
{{- end -}}
{{- $full | trunc 53 | trimSuffix "-" }}
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

{{/* The namespace of routing objects, Leases and claims. (root) */}}
{{- define "datastream.routesNamespace" -}}
{{- default .Release.Namespace .Values.routes.namespace }}
{{- end }}

{{/* HOST:PORT of a listener. (dict "root" $ "port" NUMBER) */}}
{{- define "datastream.listen" -}}
{{- printf "%s:%d" .root.Values.listenAddress (int64 .port) }}
{{- end }}
