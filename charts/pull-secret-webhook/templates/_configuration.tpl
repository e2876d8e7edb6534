{{/* The configuration document, as the programs read it. */}}
{{- define "pull-secret-webhook.configuration" -}}
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
optIn:
  label: {{ .Values.optIn.label | quote }}
  value: {{ .Values.optIn.value | quote }}
  mayDecline: {{ .Values.optIn.mayDecline }}
excludedNamespaces: {{ .Values.excludedNamespaces | toJson }}
pullSecrets:
  {{- toYaml .Values.pullSecrets | nindent 2 }}
retired: {{ .Values.retired | toJson }}
{{- end -}}

{{/*
Names for resourceNames, as JSON. A rule with an empty resourceNames is a rule about every object: whoever includes one
of these leaves the whole rule out when the list is "[]".
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
{{- range .Values.pullSecrets }}{{ range .sources }}{{ $names = append $names .secretName }}{{ end }}{{ end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* "true" when a decision at admission needs more of a namespace than the API server has matched already. */}}
{{- define "pull-secret-webhook.needsNamespaceLabels" -}}
{{- include "pull-secret-webhook.validateGrants" . -}}
{{- if .Values.optIn.mayDecline }}true{{ end -}}
{{- range .Values.pullSecrets -}}
{{- $selector := .namespaceSelector | default dict -}}
{{- if or $selector.matchLabels $selector.matchExpressions }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/*
The condition (CEL) under which the API server asks the webhook about an object: one of the names that may be due is not
in the list at the path given. In the steady state it then asks about no Pod at all, because each gets its references
from its ServiceAccount before. Only our names are looked up, each in one pass of the API server's own: a list can be long.
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
