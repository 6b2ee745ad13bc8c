{{/* Combinations of valid values that cannot be meant; each message says what to do. */}}
{{- define "exporter.refuse" -}}
{{- $credentials := .Values.credentials -}}
{{- $config := .Values.config | default dict -}}
{{- range $value := list "nameOverride" "fullnameOverride" -}}
{{- $name := index $.Values $value | default "" -}}
{{- if not (regexMatch "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$" $name) -}}
{{- fail (printf "%s is %q: give lower-case letters, digits and dashes, with a letter or digit at both ends." $value $name) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.replicaCount) 1) (not (include "exporter.isReplicated" .)) -}}
{{- fail (printf "replicaCount is %d, and can be 1 or 0: a ledger on a disk has one writer, and two exporters would count every CU-hour twice. For replicas keep the ledger in PostgreSQL (postgres.url), or install the chart a second time under another name." (int .Values.replicaCount)) -}}
{{- end -}}
{{- $ways := list -}}
{{- if $credentials.rrsaRoleName }}{{ $ways = append $ways "credentials.rrsaRoleName" }}{{ end -}}
{{- if $credentials.existingSecret }}{{ $ways = append $ways "credentials.existingSecret" }}{{ end -}}
{{- if $credentials.ecsRamRole }}{{ $ways = append $ways "credentials.ecsRamRole" }}{{ end -}}
{{- if gt (len $ways) 1 -}}
{{- fail (printf "%s are set: give one of them. The exporter would silently take the first that it finds." (join " and " $ways)) -}}
{{- end -}}
{{- if not .Values.demo -}}
{{- if and (not $ways) (not .Values.extraEnv) (not .Values.extraEnvFrom) (not .Values.extraVolumes) -}}
{{- fail "no credential: set credentials.rrsaRoleName (RRSA), credentials.existingSecret (an access key) or credentials.ecsRamRole; or demo: true to try it without an account." -}}
{{- end -}}
{{- if not $config.region_id -}}
{{- if not $config.targets -}}
{{- fail "no region: set config.region_id, such as cn-hangzhou; or demo: true to try it without an account." -}}
{{- end -}}
{{- range $index, $target := $config.targets -}}
{{- if not $target.region_id -}}
{{- fail (printf "config.targets[%d] has no region_id: give it one, or set config.region_id for all." $index) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $credentials.rrsaRoleName (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "credentials.rrsaRoleName needs a ServiceAccount of its own: set serviceAccount.create, or name yours in serviceAccount.name and annotate it." -}}
{{- end -}}
{{- if dig "web" "health_auth" false $config -}}
{{- fail "config.web.health_auth: the probes of Kubernetes have no password; leave it off. The health endpoints show no metric." -}}
{{- end -}}
{{- if and .Values.webConfig.tlsSecret (not .Values.webConfig.existingSecret) -}}
{{- fail "webConfig.tlsSecret needs webConfig.existingSecret: the file in it says which certificate is served." -}}
{{- end -}}
{{- if and .Values.webConfig.clientCertificates (not (include "exporter.isTls" .)) -}}
{{- fail "webConfig.clientCertificates needs webConfig.existingSecret and webConfig.tls: certificates are a part of TLS." -}}
{{- end -}}
{{- with .Values.postgres -}}
{{- if and (not .url) (or .existingSecret .caSecret) -}}
{{- fail "postgres.existingSecret and postgres.caSecret need postgres.url: without it the ledger is a file on a disk." -}}
{{- end -}}
{{- if regexMatch "^[a-z]+://[^/@]*:[^@]*@|[?&](ssl)?password=" (toString .url) -}}
{{- fail "postgres.url holds a password: give it without one, and name a Secret with the password in postgres.existingSecret." -}}
{{- end -}}
{{- if and (regexMatch "[?&]sslmode=verify-" (toString .url)) (not (or .caSecret (contains "sslrootcert=" .url) $.Values.extraEnv $.Values.extraEnvFrom)) -}}
{{- fail "postgres.url has the certificate of the server checked: name the Secret with its authority in postgres.caSecret, or add sslrootcert=system to the URL for a public one." -}}
{{- end -}}
{{- end -}}
{{- with .Values.serviceMonitor -}}
{{- if .enabled -}}
{{- $tls := .tlsConfig | default dict -}}
{{- if and (include "exporter.isTls" $) (not (or $tls.serverName $tls.insecureSkipVerify)) -}}
{{- fail "serviceMonitor.tlsConfig has no serverName: Prometheus would look for the address of the pod in the certificate. Give serverName, and ca unless a public authority signed it; or webConfig.tls: false if the file has no tls_server_config." -}}
{{- end -}}
{{- if and (include "exporter.isMutualTls" $) (not (or $tls.cert $tls.certFile)) -}}
{{- fail "serviceMonitor.tlsConfig has no cert: the exporter requires client certificates (webConfig.clientCertificates). Give cert and keySecret." -}}
{{- end -}}
{{- $interval := .interval -}}
{{- $intervalSeconds := include "exporter.seconds" $interval | float64 -}}
{{- $timeout := .scrapeTimeout -}}
{{- if gt (include "exporter.seconds" $timeout | float64) $intervalSeconds -}}
{{- fail (printf "serviceMonitor.scrapeTimeout (%s) is longer than serviceMonitor.interval (%s): prometheus-operator would ignore the whole ServiceMonitor." $timeout $interval) -}}
{{- end -}}
{{- $hold := include "exporter.birthHold" $ -}}
{{- if ge $intervalSeconds (include "exporter.seconds" $hold | float64) -}}
{{- fail (printf "serviceMonitor.interval (%s) has to be shorter than config.ledger.birth_hold (%s): Prometheus would miss the first value of new counters, and lose the increase that follows." $interval $hold) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
