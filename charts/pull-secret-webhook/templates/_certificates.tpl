{{/* "true" if sync issues the certificate and sets the caBundle. */}}
{{- define "pull-secret-webhook.selfManaged" -}}
{{- if eq .Values.certificates.mode "self-managed" }}true{{ end -}}
{{- end -}}

{{/* A duration such as 1h30m, in seconds. */}}
{{- define "pull-secret-webhook.seconds" -}}
{{- $units := dict "d" 86400 "h" 3600 "m" 60 "s" 1 -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[dhms]" . -1 -}}
{{- $unit := substr (sub (len .) 1 | int) (len .) . -}}
{{- /* Not `int`, which reads 030 as an octal number. */ -}}
{{- $seconds = add $seconds (mul (trimSuffix $unit . | atoi) (get $units $unit)) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/* A share of a duration in the format of cert-manager, which does not support days. The argument is {duration, share}. */}}
{{- define "pull-secret-webhook.goDuration" -}}
{{- div (include "pull-secret-webhook.seconds" .duration) (.share | default 1) }}s
{{- end -}}

{{- define "pull-secret-webhook.ownIssuer" -}}{{ include "pull-secret-webhook.fullname" . }}-ca{{- end -}}
{{- define "pull-secret-webhook.selfSignedIssuer" -}}{{ include "pull-secret-webhook.fullname" . }}-self-signed{{- end -}}
{{- define "pull-secret-webhook.certificate" -}}{{ include "pull-secret-webhook.fullname" . }}-webhook{{- end -}}

{{/* Renewal after two thirds of the lifetime, with a new key, like in sync. */}}
{{- define "pull-secret-webhook.renewal" -}}
duration: {{ include "pull-secret-webhook.goDuration" (dict "duration" .) }}
renewBefore: {{ include "pull-secret-webhook.goDuration" (dict "duration" . "share" 3) }}
privateKey:
  algorithm: ECDSA
  size: 256
  rotationPolicy: Always
{{- end -}}
