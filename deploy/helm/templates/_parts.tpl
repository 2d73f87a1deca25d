{{- define "driftline.labels" -}}
app.kubernetes.io/name: driftline
app.kubernetes.io/instance: {{ .release }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* What is the same of all pods: nobody special, and what their containers mount. */}}
{{- define "driftline.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "driftline.volumes" -}}
- name: settings
  configMap:
    name: {{ .Release.Name }}
- name: tmp
  emptyDir: {}
{{- end }}

{{/* A container: root, name, port, resources, and the arguments beside the settings. */}}
{{- define "driftline.container" -}}
name: {{ .name }}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
args: {{ concat (list .name "-c" "/etc/driftline/driftline.toml") (.args | default list) | toJson }}
{{- with .resources }}
resources: {{ toJson . }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "driftline.mounts" -}}
- name: settings
  mountPath: /etc/driftline
  readOnly: true
- name: local
  mountPath: /var/lib/driftline
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "driftline.secrets" -}}
- name: secrets
  mountPath: /run/secrets/driftline
  readOnly: true
{{- end }}

{{- define "driftline.env" -}}
- name: DRIFTLINE_DATABASE__URL_FILE
  value: /run/secrets/driftline/database_url
- name: DRIFTLINE_NOTIFY__SECRETS_KEY_FILE
  value: /run/secrets/driftline/channels_key
- name: DRIFTLINE_STORAGE__OPTIONS__ACCESS_KEY_ID_FILE
  value: /run/secrets/driftline/access_key_id
- name: DRIFTLINE_STORAGE__OPTIONS__SECRET_ACCESS_KEY_FILE
  value: /run/secrets/driftline/secret_access_key
{{- end }}

{{/* Of a process that answers nothing but /metrics and /healthz. */}}
{{- define "driftline.metrics-env" -}}
- name: DRIFTLINE_METRICS__HOST
  value: 0.0.0.0
- name: DRIFTLINE_METRICS__TOKEN_FILE
  value: /run/secrets/driftline/metrics_token
{{- end }}

{{- define "driftline.metrics-probe" -}}
ports:
  - name: metrics
    containerPort: {{ . }}
livenessProbe:
  exec:
    command: ["python", "/opt/driftline/healthy.py", "{{ . }}"]
  initialDelaySeconds: 30
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 4
{{- end }}

{{/* A cluster asks by the pod's address, which is no name of ours. */}}
{{- define "driftline.asked" -}}
httpGet:
  path: {{ . }}
  port: http
  httpHeaders:
    - name: Host
      value: localhost
{{- end }}

{{- define "driftline.http" -}}
ports:
  - name: http
    containerPort: {{ .port }}
startupProbe:
  {{- include "driftline.asked" "/healthz" | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 60
readinessProbe:
  {{- include "driftline.asked" .ready | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  {{- include "driftline.asked" "/healthz" | nindent 2 }}
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 4
lifecycle: # Requests still come while the cluster takes this pod out of the service.
  preStop:
    exec:
      command: ["sleep", "5"]
{{- end }}

{{- define "driftline.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .release }}-{{ .name }}
  labels:
    {{- include "driftline.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "driftline.labels" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .port }}
      targetPort: http
{{- end }}
