{{/*
Maps on top of each other: what OVER says replaces what BASE says, key by key and at every depth; lists are replaced whole, and null
takes a key away. Changes BASE, and renders nothing. (dict "base" MAP "over" MAP)
*/}}
{{- define "datastream.over" -}}
{{- $base := .base -}}
{{- range $key, $value := .over -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $base $key -}}
{{- else if kindIs "map" $value -}}
{{- if not (kindIs "map" (get $base $key)) -}}
{{- $_ := set $base $key dict -}}
{{- end -}}
{{- include "datastream.over" (dict "base" (get $base $key) "over" $value) -}}
{{- else -}}
{{- $_ := set $base $key $value -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
Labels, annotations and the like: one map of strings, with each key once. Of the maps in the list, a later one wins; null takes a key
away. Nothing is rendered for no keys. (list MAP...)
*/}}
{{- define "datastream.strings" -}}
{{- $all := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $all $key -}}
{{- else -}}
{{- $_ := set $all $key (toString $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $all -}}
{{- toYaml . -}}
{{- end -}}
{{- end }}

{{/* A map of values without its nulls, or {} if nothing is left. (MAP) */}}
{{- define "datastream.map" -}}
{{- $all := dict -}}
{{- include "datastream.over" (dict "base" $all "over" .) -}}
{{- toYaml $all -}}
{{- end }}
