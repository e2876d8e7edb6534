{{/*
Metadata and rules stand in the templates of each identity; what binds them is the same for all. The argument is
{root, component}: the component's ClusterRole, or Role, has the name of its ServiceAccount.
*/}}
{{- define "pull-secret-webhook.roleMetadata" -}}
{{- $name := include (printf "pull-secret-webhook.%sName" .component) .root -}}
name: {{ $name }}
labels:
  {{- include "pull-secret-webhook.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
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
  namespace: {{ .root.Release.Namespace | quote }}
  {{- include "pull-secret-webhook.roleMetadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
subjects:
  {{- include "pull-secret-webhook.subject" . | nindent 2 }}
{{- end -}}

{{- define "pull-secret-webhook.subject" -}}
- kind: ServiceAccount
  name: {{ include (printf "pull-secret-webhook.%sName" .component) .root }}
  namespace: {{ .root.Release.Namespace | quote }}
{{- end -}}
