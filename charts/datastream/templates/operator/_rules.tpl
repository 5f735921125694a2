{{/* What the operator may do wherever subscriptions are served, and why. (root) */}}
{{- define "datastream.operatorRules" -}}
# To follow the subscriptions.
- apiGroups: [datastream.dev]
  resources: [datastreamsubscriptions]
  verbs: [list, watch]
# To say what became of them.
- apiGroups: [datastream.dev]
  resources: [datastreamsubscriptions/status]
  verbs: [patch]
# To keep a stream key beside every subscription. Rights cannot be narrowed to a label or to the end of a name. Nothing is ever
# deleted: a subscription's Secret goes with its owner.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
{{- if .Values.rbac.deleteSecrets }}
# To become the owner of a Secret that is there already, where the API server (OwnerReferencesPermissionEnforcement) lets only
# those do that who may delete it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [delete]
{{- end }}
# To tell in `kubectl describe` what happened.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* The end of a binding: a role to the operator's account. (dict "root" $ "kind" KIND "role" NAME) */}}
{{- define "datastream.toOperator" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "datastream.account" (dict "root" .root "component" "operator" "account" .root.Values.operator.serviceAccount) | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end }}
