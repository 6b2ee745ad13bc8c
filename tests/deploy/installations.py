"""Installations of the chart: values that operators may choose, each part of it on and off."""

from collections.abc import Mapping

import pytest

from tests.support.charts import Values

DEMO: Values = {"demo": True}
KEY: Values = {"config": {"region_id": "cn-hangzhou"}, "credentials": {"existingSecret": "emr-key"}}
RRSA: Values = {
    "config": {"region_id": "cn-hangzhou", "workspace_ids": ["w-0123456789abcdef"]},
    "credentials": {"rrsaRoleName": "emr-exporter"},
}
ECS: Values = {"config": {"region_id": "cn-hangzhou"}, "credentials": {"ecsRamRole": True}}
EVERY_SETTING: Values = {
    "config": {
        "targets": [
            {
                "region_id": "cn-hangzhou",
                "workspace_id": "w-0123456789abcdef",
                "livy_compute_ids": ["lc-0123456789abcdef"],
            },
            {
                "region_id": "ap-southeast-1",
                "role_arn": "acs:ram::1234567890123456:role/emr-exporter",
                "account": "data-science",
            },
        ],
        "session_clusters": {"enabled": True},
        "livy": {"enabled": True, "full_walk_interval": "6h", "settle_after": "1h30m"},
        "api": {"network": "vpc", "max_attempts": 3, "max_response_bytes": 33554432},
        "poll": {"interval": "1m", "timeout": 90.5},
        "discovery": {"include": ["prod-*"], "exclude": "*-test,*-old"},
        "sessions": {"max_series_sessions": 100000},
        "usage": {"by_proxy_user": False},
        "ledger": {"birth_hold": "150s"},
        "web": {"telemetry_path": "/emr/metrics"},
        "log": {"format": "json"},
    },
    "credentials": {"existingSecret": "emr-key"},
}
MONITOR: Values = {**KEY, "serviceMonitor": {"enabled": True, "labels": {"release": "kps"}}}
TLS: Values = {
    **KEY,
    "webConfig": {"existingSecret": "emr-web", "tlsSecret": "emr-tls"},
    "serviceMonitor": {
        "enabled": True,
        "interval": "1m15s",
        "tlsConfig": {
            "ca": {"secret": {"name": "emr-ca", "key": "ca.crt"}},
            "serverName": "emr-exporter",
        },
        "basicAuth": {
            "username": {"name": "emr-scrape", "key": "username"},
            "password": {"name": "emr-scrape", "key": "password"},
        },
        "relabelings": [{"action": "replace", "targetLabel": "cluster", "replacement": "prod"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "proxy_user"}],
    },
}
POLICY: Values = {
    **ECS,
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
    },
}
POSTGRES: Values = {
    **KEY,
    "postgres": {
        "url": "postgresql://emr@a.example:6432,b.example/emr?sslmode=verify-full&port=5433",
        "schema": "emr_2",
        "existingSecret": "emr-postgres",
        "caSecret": "emr-postgres-ca",
    },
    "networkPolicy": {"enabled": True},
}
EXTRAS: Values = {
    **KEY,
    "nameOverride": "emr",
    "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "data", "tier": "data", "app.kubernetes.io/name": "mine"},
    "commonAnnotations": {"owner": "data@example.com"},
    "podLabels": {"tier": "monitoring", "app.kubernetes.io/instance": "mine"},
    "podAnnotations": {"example.com/log": "yes"},
    "serviceAccount": {"name": "emr-sa", "annotations": {"example.com/a": "b"}},
    "service": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
    "persistence": {
        "storageClassName": "alicloud-disk-topology-alltype",
        "size": "40G",
        "accessMode": "ReadWriteOncePod",
        "annotations": {"e": "f"},
        "labels": {"g": "h", "app.kubernetes.io/name": "mine"},
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "kps"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "EMR"}, "namespace": "graf"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
}
MATRIX: Mapping[str, Values] = {
    "demo": DEMO,
    "access key": KEY,
    "temporary key": {
        **KEY,
        "credentials": {"existingSecret": "k", "keys": {"securityToken": "t"}},
    },
    "rrsa": RRSA,
    "ecs role": ECS,
    "every setting": EVERY_SETTING,
    "monitor": MONITOR,
    "tls": TLS,
    "client certificates": {
        **KEY,
        "webConfig": {"existingSecret": "emr-web", "clientCertificates": True},
    },
    "passwords only": {**KEY, "webConfig": {"existingSecret": "emr-web", "tls": False}},
    "rules": {**KEY, "prometheusRule": {"enabled": True}},
    "budgets": {
        **KEY,
        "prometheusRule": {
            "enabled": True,
            "budgets": [
                {"workspace": "w-1", "month": 40000},
                {"workspace": "w-1", "queue": "root_queue", "day": 2500.5, "month": 50000},
                {"queue": "*", "day": 1000},
                {"user": "ann", "month": 300},
            ],
            "acceptedPublicEndpoints": ["sc-1"],
        },
    },
    "alerts": {
        **KEY,
        "prometheusRule": {
            "enabled": True,
            "grafanaUrl": "https://grafana.example/",
            "exporterUrl": "",
            "extraLabels": {"team": "data", "severity": "never"},
            "disabled": ["EmrSparkSessionClusterPublicEndpoint"],
            "for": {"EmrSparkExporterTargetDown": "30m", "EmrSparkLivySessionFailed": "1m"},
            "severities": {"EmrSparkLivyBudgetExceeded": "critical"},
            "thresholds": {"clusterStuckSeconds": 3600, "failureRatio": 0.5},
        },
    },
    "dashboards": {**KEY, "dashboards": {"enabled": True}},
    "network policy": {**KEY, "networkPolicy": {"enabled": True}},
    "network policy with peers": POLICY,
    "no disk": {**KEY, "persistence": {"enabled": False}},
    "postgres": POSTGRES,
    "replicas": {**POSTGRES, "replicaCount": 3, "serviceMonitor": {"enabled": True}},
    "postgres of one line": {
        **RRSA,
        "postgres": {"url": "postgresql://emr@db/emr?sslmode=verify-full&sslrootcert=system"},
    },
    "demo beside postgres": {**DEMO, "postgres": POSTGRES["postgres"]},
    "a claim": {**KEY, "persistence": {"existingClaim": "ledger"}},
    "extras": EXTRAS,
    "no settings": {**DEMO, "config": None},
    "stopped": {**KEY, "replicaCount": 0},
    "no account of its own": {**KEY, "serviceAccount": {"create": False}},
}
ROLLED_OUT = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
