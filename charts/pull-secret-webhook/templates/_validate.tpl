{{/* What the schema cannot see, or not say clearly; the programs would refuse it too, but only once installed. */}}
{{- define "pull-secret-webhook.validate" -}}
{{- if eq .Values.optIn.value "disabled" -}}
{{- fail "optIn.value: \"disabled\" is the value by which a single object opts out; choose another" -}}
{{- end -}}
{{- if contains "PRIVATE KEY" .Values.webhook.caBundle -}}
{{- fail "webhook.caBundle: a private key is in it; only certificates belong there" -}}
{{- end -}}
{{- if not (or .Values.deployments.enabled .Values.webhook.url) -}}
{{- fail "webhook.url: needed when deployments.enabled is false, so that the API server finds the webhook" -}}
{{- end -}}
{{- include "pull-secret-webhook.validateNames" . -}}
{{- end -}}

{{- define "pull-secret-webhook.validateNames" -}}
{{- $seen := list -}}
{{- $certificates := list (include "pull-secret-webhook.tlsSecret" .) (include "pull-secret-webhook.caSecret" .) -}}
{{- range $index, $pullSecret := .Values.pullSecrets -}}
{{- if has .name $seen -}}
{{- fail (printf "pullSecrets[%d].name: %q is there already; give each pull secret a name of its own" $index .name) -}}
{{- end -}}
{{- if has .name $.Values.retired -}}
{{- fail (printf "pullSecrets[%d].name: %q is also in retired; take it out of one of the two" $index .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- $copies := include "pull-secret-webhook.copyNames" . | fromJsonArray -}}
{{- $sources := include "pull-secret-webhook.sourceNames" . | fromJsonArray -}}
{{- range concat $copies $sources -}}
{{- if has . $certificates -}}
{{- fail (printf "pullSecrets: %q is the name of a Secret that holds the webhook's certificate; choose another" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
