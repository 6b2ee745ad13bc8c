{{/* A label; 58 characters at most, because the pod of `helm test` has one with `-test` behind it. */}}
{{- define "exporter.name" -}}
{{- regexReplaceAll "[^a-z0-9]+$" (.Values.nameOverride | default .Chart.Name | trunc 58) "" -}}
{{- end -}}

{{/*
The name of every object. That of a Service begins with a letter and has no dots, which the name of a
release may have; and 52 characters at most, because a StatefulSet's pods get a label with its name
and a hash behind it.
*/}}
{{- define "exporter.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = .Release.Name -}}
{{- if not (contains (include "exporter.name" .) $name) -}}
{{- $name = printf "%s-%s" $name (include "exporter.name" .) -}}
{{- end -}}
{{- end -}}
{{- $name = $name | replace "." "-" -}}
{{- if regexMatch "^[0-9]" $name }}{{ $name = printf "emr-%s" $name }}{{ end -}}
{{- regexReplaceAll "-+$" ($name | trunc 52) "" -}}
{{- end -}}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Those of the pod of `helm test`, which is neither served nor scraped. */}}
{{- define "exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/*
The labels of an object: list root, and labels of its own. Each stands there once: the chart's win,
which its selectors look for, and those of the object win over the common ones.
*/}}
{{- define "exporter.labels" -}}
{{- $labels := include (.selector | default "exporter.selectorLabels") .root | fromYaml -}}
{{- with .root -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service -}}
{{- end -}}
{{- toYaml (merge $labels (.labels | default dict) (.root.Values.commonLabels | default dict)) -}}
{{- end -}}

{{/* The metadata of an object: list root, its name, and labels and annotations of its own. */}}
{{- define "exporter.metadata" -}}
{{- $root := .root -}}
name: {{ .name | quote }}
namespace: {{ .namespace | default $root.Release.Namespace | quote }}
labels:
  {{- include "exporter.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) ($root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "exporter.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "exporter.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where a pod may run, the one of `helm test` too, and what pulls its image. */}}
{{- define "exporter.placement" -}}
{{- $given := dict -}}
{{- range $name := list "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" "affinity" -}}
{{- with index $.Values $name }}{{ $_ := set $given $name . }}{{ end -}}
{{- end -}}
{{- with $given }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "exporter.isTls" -}}
{{- if and .Values.webConfig.existingSecret .Values.webConfig.tls }}true{{ end -}}
{{- end -}}

{{- define "exporter.scheme" -}}
{{- if include "exporter.isTls" . }}https{{ else }}http{{ end -}}
{{- end -}}

{{- define "exporter.telemetryPath" -}}
{{- dig "web" "telemetry_path" "/metrics" (.Values.config | default dict) -}}
{{- end -}}

{{/* Whether the ledger is in PostgreSQL; the demo has one of its own. */}}
{{- define "exporter.isInPostgres" -}}
{{- if and .Values.postgres.url (not .Values.demo) }}true{{ end -}}
{{- end -}}

{{/* Whether there are several pods, one of which polls. */}}
{{- define "exporter.isReplicated" -}}
{{- if and (include "exporter.isInPostgres" .) (gt (int .Values.replicaCount) 1) }}true{{ end -}}
{{- end -}}

{{/* What kubectl calls the object that keeps the pod. */}}
{{- define "exporter.workload" -}}
{{ if include "exporter.isInPostgres" . }}deployment{{ else }}statefulset{{ end }}/{{ include "exporter.fullname" . }}
{{- end -}}

{{/* The ports of the servers in postgres.url, as a JSON list. */}}
{{- define "exporter.postgresPorts" -}}
{{- $ports := list -}}
{{- range regexReplaceAll "^[a-z]+://([^/@]*@)?([^/?]*).*$" .Values.postgres.url "${2}" | splitList "," -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "5432" | int) -}}
{{- end -}}
{{- range regexFindAll "[0-9]+" (regexFind "[?&]port=[0-9,]+" .Values.postgres.url) -1 -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* The exporter's settings, as the file has them. The demo's own hold is for scrapes every 15 s. */}}
{{- define "exporter.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- if .Values.demo -}}
{{- $config = merge $config (dict "ledger" (dict "birth_hold" "90s")) -}}
{{- else if .Values.postgres.url -}}
{{- $config = merge $config (dict "ledger" (pick .Values.postgres "url" "schema")) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "exporter.isMutualTls" -}}
{{- if and (include "exporter.isTls" .) .Values.webConfig.clientCertificates }}true{{ end -}}
{{- end -}}

{{/* The kubelet has no certificate; the health check of the image is content to be asked for one. */}}
{{- define "exporter.probe" -}}
{{- if include "exporter.isMutualTls" .root -}}
exec:
  command: [python, -I, -m, exporter.healthcheck, "127.0.0.1:9825"]
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ include "exporter.scheme" .root | upper }}
{{- end }}
{{- end -}}

{{/* How long a new series keeps its first value: scrapes have to come more often. */}}
{{- define "exporter.birthHold" -}}
{{- dig "ledger" "birth_hold" "90s" (.Values.config | default dict) | toJson | trimAll "\"" -}}
{{- end -}}

{{/* Seconds of a duration such as 90, 90s or 1m30s. */}}
{{- define "exporter.seconds" -}}
{{- $units := dict "ms" 0.001 "" 1 "s" 1 "m" 60 "h" 3600 "d" 86400 "w" 604800 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-z]*" (toString .) -1 -}}
{{- $unit := regexFind "[a-z]*$" . -}}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}
