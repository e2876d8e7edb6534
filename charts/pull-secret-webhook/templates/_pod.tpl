{{- define "pull-secret-webhook.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "pull-secret-webhook.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "pull-secret-webhook.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "pull-secret-webhook.commonArgs" -}}
- --config=/etc/pullsecrets/config.yaml
- --namespace={{ .Release.Namespace }}
- --metrics-port=8080
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
{{- end -}}

{{- define "pull-secret-webhook.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}

{{/* The whole folder, not a subPath: a file mounted by subPath never changes. */}}
{{- define "pull-secret-webhook.volumeMounts" -}}
- name: config
  mountPath: /etc/pullsecrets
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "pull-secret-webhook.volumes" -}}
- name: config
  configMap:
    name: {{ include "pull-secret-webhook.fullname" . | quote }}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- end -}}
