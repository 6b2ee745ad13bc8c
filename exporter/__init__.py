"""Prometheus exporter for Spark sessions on Alibaba Cloud EMR Serverless."""

__version__ = "0.1.0"
