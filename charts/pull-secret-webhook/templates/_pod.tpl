{{/*
The Pods of the three components. The argument is {root, component, pod}: `pod` has the values (of the webhook, or of sync) for
scheduling and extra content of a Pod.
*/}}
{{- define "pull-secret-webhook.podMetadata" -}}
labels:
  {{- merge (include "pull-secret-webhook.componentLabels" . | fromYaml) (.pod.podLabels | default dict) (.root.Values.commonLabels | default dict) | toYaml | nindent 2 }}
{{- with merge dict (.pod.podAnnotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "pull-secret-webhook.podSpec" -}}
serviceAccountName: {{ include "pull-secret-webhook.serviceAccountName" . | quote }}
automountServiceAccountToken: {{ (get .root.Values .component | default dict).serviceAccount | default dict | dig "automount" true }}
{{- /* The variables of a Service called pullsecrets-… would be read as settings of the program. */}}
enableServiceLinks: false
{{- with concat (.root.Values.imagePullSecrets | default list) (dig "imagePullSecrets" list (.root.Values.global | default dict)) }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") | quote }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .pod.dnsPolicy | default (and (eq .component "webhook") .root.Values.webhook.hostNetwork | ternary "ClusterFirstWithHostNet" "") }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .pod.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .pod.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "pull-secret-webhook.fullname" .root | quote }}
  - name: tmp
    emptyDir:
      medium: Memory
      sizeLimit: 16Mi
  {{- if and (eq .component "sync") .root.Values.providers.image }}
  - name: providers
    image:
      reference: {{ .root.Values.providers.image | quote }}
      pullPolicy: {{ .root.Values.providers.pullPolicy }}
  {{- end }}
  {{- with .pod.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The container without its arguments, ports and probes. */}}
{{- define "pull-secret-webhook.container" -}}
name: {{ .component }}
image: {{ include "pull-secret-webhook.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [pullsecrets]
{{- with .pod.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml (get .root.Values .component | default .root.Values.cleanup).resources | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
volumeMounts:
  {{- /* The whole folder, not a subPath: a file mounted by subPath never changes. */}}
  - name: config
    mountPath: /etc/pullsecrets
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- if and (eq .component "sync") .root.Values.providers.image }}
  - name: providers
    mountPath: {{ include "pull-secret-webhook.providersFolder" .root }}
    readOnly: true
    {{- with .root.Values.providers.path }}
    subPath: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .pod.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "pull-secret-webhook.image" -}}
{{- $repository := list (include "pull-secret-webhook.imageRegistry" .) .Values.image.repository | compact | join "/" -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The registry that is set beside the repository. */}}
{{- define "pull-secret-webhook.imageRegistry" -}}
{{- dig "imageRegistry" "" (.Values.global | default dict) | default .Values.image.registry | default "" | trimSuffix "/" -}}
{{- end -}}
