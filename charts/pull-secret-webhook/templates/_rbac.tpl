{{/*
The template of each identity has its metadata and rules. Their bindings are the same for all. The argument is {root, component}: the
ClusterRole or Role of a component has the name of its ServiceAccount.
*/}}
{{- define "pull-secret-webhook.roleMetadata" -}}
{{- include "pull-secret-webhook.metadata" (merge (dict "clusterWide" true) .) -}}
{{- end -}}

{{- define "pull-secret-webhook.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "pull-secret-webhook.roleMetadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
subjects:
  {{- include "pull-secret-webhook.subject" . | nindent 2 }}
{{- end -}}

{{- define "pull-secret-webhook.roleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "pull-secret-webhook.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
subjects:
  {{- include "pull-secret-webhook.subject" . | nindent 2 }}
{{- end -}}

{{- define "pull-secret-webhook.subject" -}}
- kind: ServiceAccount
  name: {{ include "pull-secret-webhook.serviceAccountName" . | quote }}
  namespace: {{ include "pull-secret-webhook.namespace" .root | quote }}
{{- end -}}

{{/* The argument is a list of names. */}}
{{- define "pull-secret-webhook.groups" -}}
{{- range . }}
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
The ServiceAccount of a component, unless it exists already. Its token is mounted by the Pods. The argument is {root, component,
annotations}.
*/}}
{{- define "pull-secret-webhook.serviceAccount" -}}
{{- $values := (get .root.Values .component | default dict).serviceAccount | default (dict "create" true) -}}
{{- if $values.create -}}
{{- $annotations := merge dict (.annotations | default dict) ($values.annotations | default dict) -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "pull-secret-webhook.metadata" (merge (dict "name" (include "pull-secret-webhook.serviceAccountName" .) "annotations" $annotations) .) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/* The annotations of the ServiceAccount and the rights of the cleanup Job. */}}
{{- define "pull-secret-webhook.cleanupRights" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end -}}
