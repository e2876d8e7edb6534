{{/*
Check the values against the strict schema in files/values.json, and fail with one sentence for each mistake.

Helm itself checks values.schema.json, which is generated from the same file. That one leaves out unknown names, regular expressions
and conditions, because Helm reports those in words that do not help.
*/}}
{{- define "pull-secret-webhook.validateValues" -}}
{{- $schema := .Files.Get "files/values.json" | fromJson -}}
{{- $found := dict "problems" list -}}
{{- include "pull-secret-webhook.validateValue" (dict "whole" $schema "schema" $schema "value" .Values "path" "" "found" $found) -}}
{{- with $found.problems }}{{ fail (join "\n" .) }}{{ end -}}
{{- end -}}

{{/* The argument is {whole, schema, value, path, found}: `schema` is the part of the whole schema for the value at that path. */}}
{{- define "pull-secret-webhook.validateValue" -}}
{{- $schema := .schema -}}
{{- with index $schema "$ref" -}}{{- $schema = get $.whole.definitions (trimPrefix "#/definitions/" .) -}}{{- end -}}
{{- if kindIs "map" .value -}}
{{- $before := len .found.problems -}}
{{- $properties := $schema.properties | default dict -}}
{{- range $key, $value := .value -}}
{{- $part := dict "whole" $.whole "value" $value "path" (list $.path $key | compact | join ".") "found" $.found -}}
{{- if hasKey $properties $key -}}
{{- include "pull-secret-webhook.validateValue" (set $part "schema" (get $properties $key)) -}}
{{- else if kindIs "map" $schema.additionalProperties -}}
{{- with $schema.propertyNames -}}
{{- include "pull-secret-webhook.validateValue" (dict "whole" $.whole "schema" . "value" $key "path" $.path "found" $.found) -}}
{{- end -}}
{{- include "pull-secret-webhook.validateValue" (set $part "schema" $schema.additionalProperties) -}}
{{- else if and (hasKey $schema "additionalProperties") (not (kindIs "invalid" $value)) -}}
{{- $advice := include "pull-secret-webhook.unknownValue" (dict "whole" $.whole "parent" $.path "key" $key "siblings" (keys $properties | sortAlpha)) -}}
{{- $_ := set $.found "problems" (append $.found.problems (printf "%s: %s" $part.path $advice)) -}}
{{- end -}}
{{- end -}}
{{- if eq $before (len .found.problems) -}}
{{- range $schema.required -}}
{{- if not (and (hasKey $.value .) (not (kindIs "invalid" (get $.value .)))) -}}
{{- $words := get $.whole.missing . | default "a value" -}}
{{- $_ := set $.found "problems" (append $.found.problems (printf "%s: is missing; write %s" (list $.path . | compact | join ".") $words)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "slice" .value) $schema.items -}}
{{- range $index, $item := .value -}}
{{- include "pull-secret-webhook.validateValue" (dict "whole" $.whole "schema" $schema.items "value" $item "path" (printf "%s[%d]" $.path $index) "found" $.found) -}}
{{- end -}}
{{- else if and (kindIs "string" .value) $schema.pattern -}}
{{- if not (regexMatch $schema.pattern .value) -}}
{{- $shown := hasKey $schema "writeOnly" | ternary "" (printf " %q" (trunc 80 .value)) -}}
{{- $_ := set .found "problems" (append .found.problems (printf "%s:%s is not valid; write %s" .path $shown $schema.words)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Advice for a name that the chart does not have: where the value belongs. The argument is {whole, parent, key, siblings}: the siblings
are the names that the parent has.
*/}}
{{- define "pull-secret-webhook.unknownValue" -}}
{{- $parent := regexReplaceAll `\[[0-9]+\]` .parent "[]" -}}
{{- $path := list $parent .key | compact | join "." -}}
{{- $names := list (include "pull-secret-webhook.plainName" .key) -}}
{{- range $other, $targets := .whole.otherNames -}}
{{- if has (include "pull-secret-webhook.plainName" $other) $names -}}
{{- range $targets }}{{ $names = append $names (include "pull-secret-webhook.plainName" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $near := list -}}
{{- $neighbours := include "pull-secret-webhook.neighbours" .key | fromJsonArray -}}
{{- range .siblings -}}
{{- $plain := include "pull-secret-webhook.plainName" . -}}
{{- $close := false -}}
{{- range include "pull-secret-webhook.neighbours" . | fromJsonArray }}{{ if has . $neighbours }}{{ $close = true }}{{ end }}{{ end -}}
{{- if or (has $plain $names) $close }}{{ $near = append $near (list $.parent . | compact | join ".") }}{{ end -}}
{{- end -}}
{{- $elsewhere := list -}}
{{- if not $near -}}
{{- $paths := include "pull-secret-webhook.schemaPaths" (dict "whole" .whole "schema" .whole "path" "") | trim | splitList "\n" | reverse -}}
{{- range $name := $names -}}
{{- if not $elsewhere -}}
{{- range $paths -}}
{{- if eq (include "pull-secret-webhook.plainName" (regexReplaceAll `^.*\.` . "")) $name }}{{ $elsewhere = append $elsewhere . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if hasKey .whole.advice $path -}}
{{- get .whole.advice $path -}}; the chart has no value of that name
{{- else if $near -}}
is not a value of the chart; did you mean {{ $near | join " or " }}?
{{- else if and $elsewhere (le (len $elsewhere) 4) -}}
set {{ $elsewhere | join " and " }}; the chart has no value of that name
{{- else if hasKey .whole.advice .key -}}
{{- get .whole.advice .key -}}; the chart has no value of that name
{{- else if and .siblings (le (len .siblings) 14) -}}
is not a value of the chart; {{ $parent | default "the top level" }} has {{ .siblings | join ", " }}
{{- else -}}
is not a value of the chart; "helm show values" lists those that {{ $parent | default "it" }} has
{{- end -}}
{{- end -}}

{{/* A name as people compare it: without case, hyphens and underscores. */}}
{{- define "pull-secret-webhook.plainName" -}}
{{- . | lower | replace "-" "" | replace "_" "" -}}
{{- end -}}

{{/* A name and what is left of it without one of its letters, as JSON. Two names of which one is mistyped have one in common. */}}
{{- define "pull-secret-webhook.neighbours" -}}
{{- $name := include "pull-secret-webhook.plainName" . -}}
{{- $all := list $name -}}
{{- if gt (len $name) 3 -}}
{{- range until (len $name) }}{{ $all = append $all (printf "%s%s" (substr 0 . $name) (substr (add1 . | int) (len $name) $name)) }}{{ end -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* The path of every value that the schema has, one a line. */}}
{{- define "pull-secret-webhook.schemaPaths" -}}
{{- $schema := .schema -}}
{{- with index $schema "$ref" -}}{{- $schema = get $.whole.definitions (trimPrefix "#/definitions/" .) -}}{{- end -}}
{{- range $key, $part := $schema.properties }}
{{ list $.path $key | compact | join "." }}
{{- include "pull-secret-webhook.schemaPaths" (dict "whole" $.whole "schema" $part "path" (list $.path $key | compact | join ".")) -}}
{{- end -}}
{{- with $schema.items }}{{ include "pull-secret-webhook.schemaPaths" (dict "whole" $.whole "schema" . "path" (printf "%s[]" $.path)) }}{{ end -}}
{{- end -}}
