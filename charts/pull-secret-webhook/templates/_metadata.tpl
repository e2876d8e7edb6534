{{/* The labels of all objects of the release; commonLabels cannot replace them. */}}
{{- define "pull-secret-webhook.labels" -}}
{{- $labels := include "pull-secret-webhook.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $labels (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{- define "pull-secret-webhook.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pull-secret-webhook.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels that select the Pods of one component. The argument is {root, component}, here and below. */}}
{{- define "pull-secret-webhook.componentLabels" -}}
{{ include "pull-secret-webhook.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/*
The metadata of an object. The name is `name`, or that of its component. The namespace is `namespace`, or that of the release, unless the
object is `clusterWide`. `labels` and `annotations` are added to those of all objects.
*/}}
{{- define "pull-secret-webhook.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "pull-secret-webhook.fullname" .root) .component) | quote }}
{{- if not .clusterWide }}
namespace: {{ .namespace | default (include "pull-secret-webhook.namespace" .root) | quote }}
{{- end }}
labels:
  {{- $component := dict }}
  {{- with .component }}{{ $component = dict "app.kubernetes.io/component" . }}{{ end }}
  {{- merge $component (include "pull-secret-webhook.labels" .root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with merge dict (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
