{{/* The configuration document that the programs read. */}}
{{- define "pull-secret-webhook.configuration" -}}
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
optIn:
  label: {{ .Values.optIn.label | quote }}
  value: {{ .Values.optIn.value | quote }}
  mayDecline: {{ .Values.optIn.mayDecline }}
excludedNamespaces: {{ .Values.excludedNamespaces | toJson }}
{{- $pullSecrets := list }}
{{- range .Values.pullSecrets }}
{{- $pullSecrets = append $pullSecrets (merge (dict "sources" (include "pull-secret-webhook.sources" .sources | fromJsonArray)) .) }}
{{- end }}
pullSecrets:
  {{- toYaml $pullSecrets | nindent 2 }}
retired: {{ .Values.retired | toJson }}
{{- end -}}

{{/* Sources as mappings, as JSON: each can be the name of a Secret alone. */}}
{{- define "pull-secret-webhook.sources" -}}
{{- $sources := list -}}
{{- range . }}{{ $sources = append $sources (kindIs "string" . | ternary (dict "secretName" .) .) }}{{ end -}}
{{- $sources | toJson -}}
{{- end -}}

{{/*
Names for resourceNames, as JSON. A rule with an empty resourceNames applies to every object. Templates must omit the whole rule if
the list is "[]".
*/}}
{{- define "pull-secret-webhook.copyNames" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $names := list -}}
{{- range .Values.pullSecrets }}{{ $names = append $names .name }}{{ end -}}
{{- concat $names .Values.retired | uniq | toJson -}}
{{- end -}}

{{- define "pull-secret-webhook.sourceNames" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- $names := list -}}
{{- range .Values.pullSecrets -}}
{{- range include "pull-secret-webhook.sources" .sources | fromJsonArray }}{{ $names = append $names .secretName }}{{ end -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* "true" if a decision at admission needs more data of a namespace than the API server has already matched. */}}
{{- define "pull-secret-webhook.needsNamespaceLabels" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- if .Values.optIn.mayDecline }}true{{ end -}}
{{- range .Values.pullSecrets -}}
{{- $selector := .namespaceSelector | default dict -}}
{{- if or $selector.matchLabels $selector.matchExpressions }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/*
The condition (CEL) under which the API server calls the webhook: one of the configured names is missing in the list at the given
path. Most Pods then need no call, because they inherit the references of their ServiceAccount first. The condition searches for each
configured name in one pass of the API server, because the list can be long.
*/}}
{{- define "pull-secret-webhook.matchConditions" -}}
{{- $names := list -}}
{{- range .pullSecrets }}
{{- if not (and $.ofPods (eq (.pods | default "Always") "Never")) }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
- name: a-reference-is-missing
  {{- if $names }}
  expression: >-
    !has({{ .path }}) ||
    {{ $names | toJson }}.exists(name, !({"name": name} in {{ .path }}))
  {{- else }}
  expression: "false"
  {{- end }}
{{- end -}}
