{{- define "pull-secret-webhook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 55 | trimSuffix "-" -}}
{{- end -}}

{{/* The limit is 55, not Helm's usual 63, because the Service adds "-webhook", and its name must be a DNS label. */}}
{{- define "pull-secret-webhook.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.namespace" -}}{{ .Values.namespaceOverride | default .Release.Namespace }}{{- end -}}
{{- define "pull-secret-webhook.webhookName" -}}{{ include "pull-secret-webhook.fullname" . }}-webhook{{- end -}}
{{- define "pull-secret-webhook.syncName" -}}{{ include "pull-secret-webhook.fullname" . }}-sync{{- end -}}
{{- define "pull-secret-webhook.cleanupName" -}}{{ include "pull-secret-webhook.fullname" . }}-cleanup{{- end -}}
{{- define "pull-secret-webhook.checkName" -}}{{ include "pull-secret-webhook.fullname" . }}-check{{- end -}}
{{- define "pull-secret-webhook.readerName" -}}{{ include "pull-secret-webhook.fullname" . }}-reader{{- end -}}

{{/* The ServiceAccount of a component. That of the check has no values. The argument is {root, component}. */}}
{{- define "pull-secret-webhook.serviceAccountName" -}}
{{- (get .root.Values .component | default dict).serviceAccount | default dict | dig "name" "" | default (include (printf "pull-secret-webhook.%sName" .component) .root) -}}
{{- end -}}

{{- define "pull-secret-webhook.tlsSecret" -}}{{ include "pull-secret-webhook.fullname" . }}-tls{{- end -}}
{{- define "pull-secret-webhook.caSecret" -}}{{ include "pull-secret-webhook.fullname" . }}-ca{{- end -}}
{{- define "pull-secret-webhook.stateSecret" -}}{{ include "pull-secret-webhook.fullname" . }}-state{{- end -}}
{{/* Different from that of sync: after a change of the mode, parts of both would not form a valid chain. */}}
{{- define "pull-secret-webhook.issuerSecret" -}}{{ include "pull-secret-webhook.fullname" . }}-issuer{{- end -}}

{{/* The name, or IP address, that the API server expects in the serving certificate. */}}
{{- define "pull-secret-webhook.servingName" -}}
{{- if .Values.webhook.url -}}
{{- (urlParse .Values.webhook.url).hostname | lower -}}
{{- else -}}
{{- include "pull-secret-webhook.webhookName" . }}.{{ include "pull-secret-webhook.namespace" . }}.svc
{{- end -}}
{{- end -}}
