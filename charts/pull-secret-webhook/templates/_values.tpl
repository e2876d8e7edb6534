{{/*
Check the values against the strict schema in files/values.json, and fail with one sentence for each mistake.

Helm itself checks values.schema.json, which is generated from the same file. That one leaves out types, missing and unknown names,
regular expressions and conditions, because Helm reports those in words that do not help.
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
{{- $wrong := include "pull-secret-webhook.wrongType" (dict "whole" .whole "schema" $schema "value" .value "path" .path) -}}
{{- if $wrong -}}
{{- $_ := set .found "problems" (append .found.problems $wrong) -}}
{{- else if kindIs "map" .value -}}
{{- $before := len .found.problems -}}
{{- $properties := $schema.properties | default dict -}}
{{- range $key, $value := .value -}}
{{- $part := dict "whole" $.whole "value" $value "path" (list $.path $key | compact | join ".") "found" $.found -}}
{{- if and (kindIs "invalid" $value) (has $key ($schema.required | default list)) -}}
{{- /* It is reported as missing. */ -}}
{{- else if hasKey $properties $key -}}
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
{{- $path := list $.path . | compact | join "." -}}
{{- $part := get $properties . | default dict -}}
{{- with index $part "$ref" -}}{{- $part = get $.whole.definitions (trimPrefix "#/definitions/" .) -}}{{- end -}}
{{- $words := get $.whole.missing . | default (include "pull-secret-webhook.wanted" (dict "whole" $.whole "schema" $part "path" $path)) -}}
{{- $_ := set $.found "problems" (append $.found.problems (printf "%s: is missing; write %s" $path $words)) -}}
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

{{/* The type of a value in the words of JSON Schema. */}}
{{- define "pull-secret-webhook.typeOf" -}}
{{- if kindIs "string" . }}string
{{- else if kindIs "bool" . }}boolean
{{- else if kindIs "slice" . }}array
{{- else if kindIs "map" . }}object
{{- else if kindIs "invalid" . }}null
{{- else if eq (float64 .) (floor .) }}integer
{{- else }}number
{{- end -}}
{{- end -}}

{{/*
A sentence about a value that has another type than its schema requires, with the value to write; empty if its type is right. The
argument is {whole, schema, value, path}.
*/}}
{{- define "pull-secret-webhook.wrongType" -}}
{{- $types := include "pull-secret-webhook.types" .schema | fromJsonArray -}}
{{- $type := include "pull-secret-webhook.typeOf" .value -}}
{{- if and $types (not (has $type $types)) (not (and (eq $type "integer") (has "number" $types))) -}}
{{- $isScalar := has $type (list "string" "integer" "number" "boolean") -}}
{{- $shown := get (dict "array" "a list" "object" "a mapping" "null" "null") $type | default (toJson .value | trunc 80) -}}
{{- if and $isScalar (hasKey .schema "writeOnly") }}{{ $shown = "it" }}{{ end -}}
{{- $names := dict "string" "text" "integer" "a whole number" "number" "a number" "boolean" "a boolean" "array" "a list" "object" "a mapping" -}}
{{- $wanted := list -}}
{{- range has "number" $types | ternary (without $types "integer") $types }}{{ with get $names . }}{{ $wanted = append $wanted . }}{{ end }}{{ end -}}
{{- $text := toString .value -}}
{{- $write := include "pull-secret-webhook.wanted" . -}}
{{- if and (eq $type "string") (has "integer" $types) (regexMatch `^[0-9]+$` $text) -}}
{{- $write = printf "%s, without quotes" $text -}}
{{- else if and (eq $type "string") (has "boolean" $types) -}}
{{- $write = has (lower $text) (list "true" "false") | ternary (lower $text) "true or false" | printf "%s, without quotes" -}}
{{- else if and $isScalar (eq (first $types) "string") (not (has "number" $types)) (regexMatch (.schema.pattern | default "") $text) -}}
{{- $write = hasKey .schema "writeOnly" | ternary "it in quotes" (printf "it in quotes: %q" $text) -}}
{{- else if and (eq $type "string") (has "array" $types) (include "pull-secret-webhook.hasTexts" .) (regexMatch `^[A-Za-z0-9*][A-Za-z0-9*./_-]*$` $text) -}}
{{- $write = printf "a list: [%s]" $text -}}
{{- end -}}
{{- printf "%s: %s is not %s; write %s" .path $shown ($wanted | join " or ") $write -}}
{{- end -}}
{{- end -}}

{{/* The types that a schema allows, as JSON; an empty list if it allows any. */}}
{{- define "pull-secret-webhook.types" -}}
{{- kindIs "slice" .type | ternary .type (list .type | compact) | toJson -}}
{{- end -}}

{{/* Not empty if the items of a list may be text. */}}
{{- define "pull-secret-webhook.hasTexts" -}}
{{- $items := .schema.items | default dict -}}
{{- with index $items "$ref" -}}{{- $items = get $.whole.definitions (trimPrefix "#/definitions/" .) -}}{{- end -}}
{{- if has "string" (include "pull-secret-webhook.types" $items | fromJsonArray) }}true{{ end -}}
{{- end -}}

{{/* The value to write, in words: those of the schema, or the name of the type with the example in files/values.json. */}}
{{- define "pull-secret-webhook.wanted" -}}
{{- $type := include "pull-secret-webhook.types" .schema | fromJsonArray | first | default "" -}}
{{- $example := get .whole.examples (regexReplaceAll `^.*\.|\[[0-9]+\]$` .path "") -}}
{{- if hasSuffix "]" .path }}{{ $example = $example | trimPrefix "[" | trimSuffix "]" }}{{ end -}}
{{- if .schema.words -}}{{ .schema.words }}
{{- else if .schema.enum -}}{{ initial .schema.enum | join ", " }} or {{ last .schema.enum }}
{{- else if eq $type "boolean" -}}true or false, without quotes
{{- else if has $type (list "integer" "number") -}}a number without quotes, such as {{ .schema.minimum | default 1 }}
{{- else if eq $type "array" -}}a list{{ with $example }}, such as {{ . }}{{ end }}
{{- else if eq $type "object" -}}a mapping{{ with $example }}, such as {{ . }}{{ end }}
{{- else -}}text{{ with $example }}, such as {{ . }}{{ end }}
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
